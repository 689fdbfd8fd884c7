"""Read prose, lists and lines: every number that they explicitly give to the image or to regions.

``_Reader`` looks for labels ("region 3", "anomaly score", "overall"); ``attached`` finds the number that belongs to a
label.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from operator import itemgetter

from lvlm_ad.text2seg.attached import attached
from lvlm_ad.text2seg.lexer import Text, Tokens, form, lex
from lvlm_ad.text2seg.numbers import (
    INTEGER,
    Number,
    Span,
    read_integer,
    read_list,
    read_more,
    read_number,
    read_regions,
    read_separated,
    skip_bracket,
)
from lvlm_ad.text2seg.pictures import (
    introduces,
    is_about_reference,
    is_general,
    read_after,
    read_of_picture,
    read_picture,
    starts_clause,
)
from lvlm_ad.text2seg.scores import REFERENCE, Statement
from lvlm_ad.text2seg.tables import TableReader
from lvlm_ad.text2seg.unread import unread_numbers

_NEARBY = 12
"""How many tokens before a score may tell whose it is."""

_LABEL = form(
    """
      (?P<line> {line} ) | (?P<mark> {mark} ) | (?P<region> {region} ) | (?P<image> {image} )
    | (?P<score> {score} | (?<= {anomaly} ) {measure} )
    | (?<= {line|opens} ) (?P<id> {id} ) (?= ':=' {integer} )
    """
)
"""Where something to read may begin."""

# "3rd" region.
_NTH = form(r"(?: {before_nth} (?P<second> {integer} ) {nth}?+ | (?P<first> {integer} ) {nth} {of}?+ ) \Z")
# Around "score".
_QUALIFIERS = form(r"(?: (?: {qualifier} | '-' ){0,7} {qualifier} )? \Z")  # "image-level anomaly" score
_SUBJECT = form("(?: {filler} ){1,6}+")  # image 2 "has an" anomaly score
_OUT_OF = form("'(['?+ '/' {integer} ')]'?+ (?= ':=' )")  # score "/10"
_OF_PRODUCT = form("{of_or_for} (?: (?! {region|score|is} ) {word} ){0,6}+ (?= {is} | ':=' )")  # "of this nut" is
_TO_REGION = form("{to_or_for} {article}?+ (?= {region} )")  # a score of 0.7 "for the" region 3
# After "image", and after "region 3: 0.7".
_MEASURED = form("(?: {qualifier|measure} | '-' (?= {qualifier} ) ){0,7}+")  # image "-level anomaly probability"
_NEXT_REGION = form("(?: ',;' | {and|line} )++ '-'?+ (?P<region> {INTEGER} )", INTEGER=INTEGER)  # "; 5" (0.4)
_NEXT_PICTURE = form("(?: ',;' | {and} )*+")  # for the reference ", and" 0.8
# Before and after numbers.
_QUANTITY = form("(?<= {number|quantity} ) | (?<= {touching} ) '='")  # width: 0.7; x"="0.7
_BULLET = form("'-' | {number} '.)'")
_LISTED = form("'|-' | {number} '.)' | {region|image|anomaly|score|line}")  # a line that belongs to the heading above


@dataclass(slots=True)
class _Waiting:
    """Regions that were named and may get their score later in the text."""

    regions: tuple[Span, ...]
    heading: bool  # they head what follows ("Region 3: a scratch. Score: 0.7"), not just occur in a sentence
    clause: bool  # they begin a clause
    after_for: bool  # "for" stands before them
    fills_line: bool  # the heading fills the line
    indent: int  # of their line, in characters
    bullet: bool  # their line is an item of a list
    same_line: bool = True  # no line has begun since
    comma: bool = False  # a comma has come since


def read_prose(text: Text) -> list[Statement]:
    """Return the statements in a plain text, in its order."""
    return _Reader(lex(text)).read()


class _Reader:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._table = TableReader(tokens)
        self._statements: list[Statement] = []
        self._waiting: _Waiting | None = None
        self._line = 0
        """Index of the first token of the present line."""
        self._lists_regions = False
        """Whether a word for a region came without a number, so that numbers after it may be regions."""
        self._passed_over: set[int] = set()
        """Indices of numbers that are scores in general, not of anything in the picture."""
        self._section: int | None = None
        """The picture that the last heading names, as in a statement."""
        self._named: tuple[int | None, int] = (None, len(tokens) + 1)
        """The last picture named, and the index of the token after its name."""
        self._on_reference = False
        """Whether the present clause is about a reference, and so are its regions."""
        self._headed: tuple[int | None, int] | None = None
        """The picture that the heading above the present line names, and the index of the token after the heading."""

    def read(self) -> list[Statement]:
        read_label = {
            "line": lambda at: self._begin_line(at + 1),
            "mark": self._mark,
            "region": self._region,
            "id": lambda at: self._region(at) if self._lists_regions else at + 1,
            "score": self._score,
            "image": self._image,
        }
        at = self._begin_line(0)
        while label := _LABEL.search(self._tokens.shape, at):
            at = read_label[str(label.lastgroup)](label.start())
        return self._with_unread()

    def _with_unread(self) -> list[Statement]:
        """Return the statements and the notes on numbers that were not read, in the order of the text."""
        placed = [(each.score.start, each) for each in self._statements if each.score is not None]
        used = {at for each in self._statements if each.score for at in range(each.score.start, each.score.end)}
        notes = unread_numbers(self._tokens, used | self._passed_over)
        placed += [(at, Statement(None, note=note, unread=True)) for at, note in notes]
        return [statement for _, statement in sorted(placed, key=itemgetter(0))]

    def _add(self, number: Number, regions: tuple[Span, ...] = (), *, picture: int | None = None) -> int:
        if regions and self._of_reference():
            picture = REFERENCE
        self._statements.append(Statement(number, regions, picture=picture))
        self._waiting = None
        return number.end

    def _of_reference(self) -> bool:
        return self._on_reference or (self._headed is not None and self._headed[0] == REFERENCE)

    def _begin_line(self, at: int) -> int:
        """Read the line if it is a table's row; otherwise decide whether the regions of a heading still wait."""
        self._on_reference = False
        if self._headed is not None and not self._belongs_to(self._headed[1], at):
            self._headed = None
        row = self._table.read_row(at)
        if row is not None:
            of_reference = self._of_reference()
            self._statements += [
                replace(each, picture=REFERENCE) if of_reference and each.regions else each for each in row[0]
            ]
            self._waiting = None
            return row[1]
        self._line = at
        waiting = self._waiting
        if waiting is not None:
            waiting.same_line = False
            deeper = self._indent() > waiting.indent or (self._is_bullet() and not waiting.bullet)
            if not (waiting.heading and (waiting.fills_line or deeper)):
                self._waiting = None
        return at

    def _belongs_to(self, heading: int, at: int) -> bool:
        """Return whether the line that begins here belongs to the heading that ends before the index ``heading``."""
        follows = at == heading or self._tokens[at - 1].text.count("\n") == 1
        return at < heading or (follows and _LISTED.match(self._tokens.shape, at) is not None)

    def _indent(self) -> int:
        before = self._tokens[self._line - 1].text
        return len(before) - before.rfind("\n") - 1 if self._line else 0

    def _is_bullet(self) -> bool:
        return _BULLET.match(self._tokens.shape, self._line) is not None

    def _mark(self, at: int) -> int:
        """Read the score after a separator or in a bracket, as in "Region 3: a scratch (0.7)"."""
        waiting, tokens = self._waiting, self._tokens
        if tokens.is_mark(at, ".!?"):
            self._on_reference = False
        if waiting is None or not waiting.same_line:
            return at + 1
        if waiting.heading:
            number = read_separated(tokens, at)
            if number is not None and not _QUANTITY.match(tokens.shape, at):
                return self._add(number, waiting.regions)
        elif tokens.is_mark(at, ".;!?"):
            self._waiting = None
        waiting.comma |= tokens.is_mark(at, ",")
        return at + 1

    def _region(self, at: int) -> int:
        """Read a score that is attached to regions, or remember the regions for a score that follows."""
        tokens = self._tokens
        named = _NTH.search(tokens.shape, max(at - 3, 0), at)
        read = self._nth_region(at, named) if named else read_regions(tokens, at)
        if read is None:
            self._lists_regions |= tokens.has(at, "region")
            return at + 1
        regions, end = read
        first = named.start() if named else at
        heads_clause, heads_line = tokens.has(first - 1, "opens|line"), tokens.has(first - 1, "line")
        number = attached(tokens, end, heads_clause=heads_clause, heads_line=heads_line)
        if number is not None:
            return self._more_regions(self._add_each(number, regions))
        # "Region 3 (top left)" is followed by what follows the bracket.
        after = skip_bracket(tokens, end)
        after += tokens.is_mark(after, ")]")
        sign = tokens.is_mark(after, ":-=.")
        fills_line = tokens.has(after + sign, "line")
        self._waiting = _Waiting(
            regions,
            heading=heads_clause and (sign or fills_line),
            clause=heads_clause,
            after_for=tokens.has(first - 1, "for"),
            fills_line=fills_line,
            indent=self._indent(),
            bullet=self._is_bullet(),
        )
        return end

    def _nth_region(self, at: int, named: re.Match[str]) -> tuple[tuple[Span, ...], int]:
        """Read "3rd region"."""
        number = read_integer(self._tokens, named.start(str(named.lastgroup)))
        return ((number, number),), at + 1

    def _add_each(self, number: Number, regions: tuple[Span, ...]) -> int:
        """Add the score of several regions, or one score for each."""
        numbers = read_more(self._tokens, number) if len(regions) > 1 else [number]
        if len(numbers) == len(regions):
            for each, region in zip(numbers, regions, strict=True):
                self._add(each, (region,))
        elif len(numbers) == 1:
            self._add(number, regions)
        else:
            written = self._tokens.written(number.start, numbers[-1].end)
            self._add(replace(number, value=math.nan, written=written), regions)
        return numbers[-1].end

    def _more_regions(self, at: int) -> int:
        """Read on in "region 1: 0.9, 3: 0.7; 5: 0.4"."""
        tokens = self._tokens
        while True:
            after = skip_bracket(tokens, at + tokens.is_mark(at, ")]"))
            following = _NEXT_REGION.match(tokens.shape, after)
            number = read_separated(tokens, following.end()) if following else None
            if following is None or number is None:
                return at
            region = read_integer(tokens, following.start("region"))
            at = self._add(number, ((region, region),))

    def _score(self, at: int) -> int:
        """Read "anomaly score: 0.9", of the image or of the regions that were named last."""
        tokens = self._tokens
        qualifiers = _QUALIFIERS.search(tokens.shape, max(at - 8, 0), at)
        first = at if qualifiers is None else qualifiers.start()
        if first == at and tokens.has(at - 1, "word") and not tokens.has(at - 1, "before_score"):
            return at + 1
        picture, after = read_of_picture(tokens, at + 1)
        of_image = after > at + 1 or tokens.contain(first, at, "image")
        named, end = self._named
        if end <= at and (first <= end or first <= tokens.skip(_SUBJECT, end)):
            of_image, picture = True, named
        elif tokens.has(first - 1, "reference") or is_about_reference(tokens, first):
            of_image, picture = True, REFERENCE
        if of_image and picture is None and self._headed is not None:
            picture = self._headed[0]
        if of_image or tokens.has(at + 2, "this"):
            after = max(after, tokens.skip(_OF_PRODUCT, at + 1))
        listed = self._scores_in_list(after)
        if listed is not None:
            return listed
        after = tokens.skip(_OUT_OF, after)
        number = attached(tokens, after, after_score=True, heads_line=tokens.has(first - 1, "line"))
        if number is None:
            return at + 1
        if picture != REFERENCE and is_general(tokens, first):
            return self._pass_over(number)
        after_number, _ = read_after(tokens, number.end)
        if of_image or after_number is not None:
            self._section = picture if after_number is None else after_number
            return self._add_pictures(number, self._section)
        return self._unnamed_score(first, at, number)

    def _add_pictures(self, number: Number, picture: int | None) -> int:
        """Read on in "0.1 for the reference image and 0.8 for the test image"."""
        tokens = self._tokens
        while True:
            end = self._add(number, picture=picture)
            _, named = read_after(tokens, end)
            following = read_number(tokens, tokens.skip(_NEXT_PICTURE, named)) if named > end else None
            if following is None or following.plain:
                return end
            picture, named = read_after(tokens, following.end)
            if named == following.end:
                return end
            number = following

    def _scores_in_list(self, at: int) -> int | None:
        """Read "score[3] = 0.7" and "score(region 3): 0.7", and "scores: [0.7, 0.4]" of the regions named before."""
        tokens, waiting = self._tokens, self._waiting
        if tokens.is_mark(at, ":=") and tokens.is_mark(at + 1, "[") and waiting is not None:
            number = read_number(tokens, at + 2)
            return None if number is None or number.plain else self._add_each(number, waiting.regions)
        if not tokens.is_mark(at, "(["):
            return None
        named = tokens.has(at + 1, "region")
        read = read_regions(tokens, at + 1) if named else read_list(tokens, at + 1) if tokens.is_mark(at, "[") else None
        if read is None or not tokens.is_mark(read[1], ")]"):
            return None
        number = attached(tokens, read[1] + 1, after_score=True)
        return None if number is None else self._add_each(number, read[0])

    def _unnamed_score(self, first: int, at: int, number: Number) -> int:
        """Read a score that does not say that it is the image's."""
        tokens, waiting = self._tokens, self._waiting
        to = _TO_REGION.match(tokens.shape, number.end)
        read = read_regions(tokens, to.end()) if to else None
        if read is not None:
            self._add(number, read[0])
            return read[1]
        if waiting is not None and self._belongs(waiting, number, first):
            return self._more_regions(self._add(number, waiting.regions))
        if tokens.contain(max(first - _NEARBY, self._line), first, "box"):
            return at + 1
        general = tokens.has(first - 1, "region") or self._is_general(first, at, number)
        return self._pass_over(number) if general else self._add(number, picture=self._section)

    def _pass_over(self, number: Number) -> int:
        self._passed_over.update(range(number.start, number.end))
        return number.end

    def _belongs(self, waiting: _Waiting, number: Number, first: int) -> bool:
        """Tell whether a score that does not say whose it is belongs to the regions named before it."""
        tokens = self._tokens
        if waiting.heading:
            # "Region 3: a scratch.\n Anomaly score: 0.8; region 3: 0.8." begins a verdict on the image.
            lists_regions = tokens.is_mark(number.end, ";,") and tokens.has(number.end + 1, "region")
            return waiting.same_line or not lists_regions
        # "A scratch in region 3, with a score of 0.7", but "with a scratch in region 3, I give a score of 0.7".
        close = not waiting.comma or waiting.clause or tokens.has(first - 2, "with")
        # "Region 3 has the score 0.7", "For region 3, the score is 0.7": the clause is about the region.
        subject = waiting.clause and (waiting.after_for or not waiting.comma)
        return subject or (close and tokens.has(first - 1, "indefinite"))

    def _is_general(self, first: int, at: int, number: Number) -> bool:
        """Tell whether a phrase speaks of scores in general: "a score of 0.5 means doubt"."""
        tokens = self._tokens
        if not tokens.has(first - 1, "indefinite"):
            return False
        if tokens.has(number.end, "defines"):
            return True
        return first == at and not tokens.contain(max(first - _NEARBY, self._line), first, "image")

    def _image(self, at: int) -> int:
        """Read "Image: 0.9" and "Overall anomaly: 0.9"; remember which picture is named."""
        tokens = self._tokens
        picture, named = read_picture(tokens, at)
        explicit = picture is not None or tokens.contain(at - 1, named, "inspected")
        if self._on_reference and not explicit and at <= self._named[1] + 2:
            picture = REFERENCE  # "Reference image: the image anomaly score is 0.1"
        self._named = picture, named
        end = tokens.skip(_MEASURED, named)
        if tokens.has(end, "score"):
            self._waiting = None
            return end
        number = read_separated(tokens, end)
        if number is None and tokens.is_mark(end, ":=") and tokens.contain(at + 1, end, "anomaly"):
            number = read_number(tokens, end + 1)
        if picture == REFERENCE and number is not None and tokens.is_mark(number.end, ")]"):
            return self._pass_over(number)  # "0.8 (reference image: 0.1); region 3: 0.7" goes on with the same picture
        opens = starts_clause(tokens, at)
        heads = number is None and opens and tokens.has(named + tokens.is_mark(named, ":"), "line")
        introduced = tokens.is_mark(named, ":,") or tokens.has(named, "region")
        self._on_reference = picture == REFERENCE and not heads and introduced and introduces(tokens, at)
        if heads:
            self._section = picture
            self._headed = picture, named + tokens.is_mark(named, ":") + 1
        elif explicit:
            self._headed = None
        return self._add(number, picture=picture) if number is not None and opens else named
