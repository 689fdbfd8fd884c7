"""Reads prose, lists and lines: every score that is explicitly attached to the image or to a region."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.attach import attached, closing, listed, separated
from lvlm_ad.text2seg.labels import read_regions, starts_clause
from lvlm_ad.text2seg.numbers import Number, read_integer, read_number
from lvlm_ad.text2seg.statements import Finding, Span
from lvlm_ad.text2seg.tables import TableReader
from lvlm_ad.text2seg.tokens import lex
from lvlm_ad.text2seg.words import (
    AND,
    ANOMALY,
    ARTICLES,
    BEFORE_SCORE,
    DEFINES,
    FOR,
    IMAGE,
    IMAGE_FILLERS,
    INDEFINITE,
    IS,
    MEASURE,
    OF,
    QUALIFIERS,
    QUANTITIES,
    REGION,
    SCORE,
)

if TYPE_CHECKING:
    from lvlm_ad.text2seg.tokens import Tokens
    from lvlm_ad.text2seg.traced import Traced

__all__ = ["read_phrases"]

_WORDS = 8
_SENTENCE = 12


@dataclass(slots=True)
class _Pending:
    """Regions that were named and may get their score later in the text.

    Attributes:
        regions: which.
        heading: whether they head what follows ("Region 3: a scratch. Score: 0.7"), not just occur in a sentence.
        clause: whether they begin a clause.
        named_for: whether "for" stands before them.
        alone: whether the heading fills its line.
        indent: the indent of the heading's line, in characters.
        bullet: whether the heading is an item of a list.
        same_line: whether no line has begun since.
        comma: whether a comma has come since.
    """

    regions: tuple[Span, ...]
    heading: bool
    clause: bool
    named_for: bool
    alone: bool
    indent: int
    bullet: bool
    same_line: bool = True
    comma: bool = False


def read_phrases(text: Traced) -> list[Finding]:
    """Return the scores in a text, in its order.

    Args:
        text: plain text, see ``tokens.plain``.
    """
    return _PhraseReader(lex(text)).read()


class _PhraseReader:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._tables = TableReader(tokens)
        self._found: list[Finding] = []
        self._pending: _Pending | None = None
        self._line = 0

    def read(self) -> list[Finding]:
        tokens = self._tokens
        index = self._begin_line(0)
        while index < len(tokens):
            token = tokens[index]
            if token.kind == "line":
                index = self._begin_line(index + 1)
            elif token.kind == "mark":
                index = self._mark(index)
            elif token.kind == "number":
                index += 1
            elif token.text in REGION:
                index = self._region(index)
            elif token.text in SCORE or (token.text in MEASURE and tokens.is_word(index - 1, ANOMALY)):
                index = self._score(index)
            elif token.text in IMAGE:
                index = self._image(index)
            else:
                index += 1
        return self._found

    def _add(self, number: Number, regions: tuple[Span, ...] = ()) -> int:
        self._found.append(Finding(number, regions))
        self._pending = None
        return number.end

    def _add_listed(self, number: Number, regions: tuple[Span, ...]) -> int:
        """Add the score of several regions, or one for each."""
        numbers = listed(self._tokens, number) if len(regions) > 1 else [number]
        if len(numbers) == 1:
            return self._add(number, regions)
        if len(numbers) == len(regions):
            for each, region in zip(numbers, regions, strict=True):
                self._add(each, (region,))
        else:
            written = self._tokens.written(number.start, numbers[-1].end)
            self._add(replace(number, value=math.nan, written=written), regions)
        return numbers[-1].end

    def _begin_line(self, index: int) -> int:
        """Read a table's row, if the line is one; otherwise decide whether a heading still holds."""
        row = self._tables.read_row(index)
        if row is not None:
            findings, index = row
            self._found.extend(findings)
            self._pending = None
            return index
        self._line = index
        pending = self._pending
        if pending is not None:
            pending.same_line = False
            deeper = self._indent() > pending.indent or (self._is_bullet() and not pending.bullet)
            if not (pending.heading and (pending.alone or deeper)):
                self._pending = None
        return index

    def _indent(self) -> int:
        before = self._tokens[self._line - 1]
        return len(before.text) - before.text.rfind("\n") - 1 if self._line else 0

    def _is_bullet(self) -> bool:
        tokens = self._tokens
        return tokens.is_mark(self._line, "-") or (
            tokens[self._line].kind == "number" and tokens.is_mark(self._line + 1, ".)")
        )

    def _mark(self, index: int) -> int:
        pending = self._pending
        if pending is None or not pending.same_line:
            return index + 1
        if pending.heading:
            number = separated(self._tokens, index)
            if number is not None and self._describes(index):
                return self._add(number, pending.regions)
        elif self._tokens[index].text in ".;!?":
            self._pending = None
        pending.comma |= self._tokens[index].text == ","
        return index + 1

    def _describes(self, index: int) -> bool:
        """Whether what a separator or bracket follows may be a defect ("scratch: 0.7"), not a quantity ("x=0.7")."""
        tokens = self._tokens
        glued = tokens[index].text == "=" and tokens.touches(index - 1)
        return not (glued or tokens[index - 1].kind == "number" or tokens.is_word(index - 1, QUANTITIES))

    def _region(self, index: int) -> int:
        """Read a score that is attached to regions, or remember the regions for one that follows."""
        tokens = self._tokens
        read = read_regions(tokens, index)
        if read is None:
            return index + 1
        regions, end = read
        heads = starts_clause(tokens, index)
        number = attached(tokens, end, heads_clause=heads, heads_line=tokens[index - 1].kind == "line")
        if number is not None:
            return self._shorthand(self._add_listed(number, regions))
        # "Region 3 (top left)" is followed by what follows the bracket.
        closed = closing(tokens, end) if tokens.is_mark(end, "([") else None
        after = end if closed is None else closed + 1
        after += tokens.is_mark(after, ")]")
        headed = tokens.is_mark(after, ":-=.") or tokens[after].kind == "line"
        after += tokens.is_mark(after, ":-=.")
        self._pending = _Pending(
            regions,
            heading=headed and heads,
            clause=heads,
            named_for=tokens[index - 1].text == "for",
            alone=tokens[after].kind == "line",
            indent=self._indent(),
            bullet=self._is_bullet(),
        )
        return end

    def _shorthand(self, index: int) -> int:
        """Read on in "region 1: 0.9, 3: 0.7; 5: 0.4"."""
        tokens = self._tokens
        while True:
            at = index + tokens.is_mark(index, ")]")
            if tokens.is_mark(at, "(["):
                closed = closing(tokens, at)
                at = at if closed is None else closed + 1
            joint = at
            while (
                tokens.is_mark(at, ",;") or tokens.is_word(at, AND) or (tokens[at].kind == "line" and at < len(tokens))
            ):
                at += 1
            joined = at > joint
            at += tokens.is_mark(at, "-")
            region = read_integer(tokens, at)
            number = separated(tokens, at + 1)
            if not joined or region is None or number is None:
                return index
            self._found.append(Finding(number, ((region, region),)))
            index = number.end

    def _score(self, index: int) -> int:
        """Read "anomaly score: 0.9", of the image or of the region that was named last."""
        tokens = self._tokens
        first = index
        while first > index - _WORDS and (
            tokens.is_word(first - 1, QUALIFIERS) or (first < index and tokens.is_mark(first - 1, "-"))
        ):
            first -= 1
        qualifiers = {tokens[at].text for at in range(first, index)}
        before = tokens[first - 1]
        if first == index and before.kind == "word" and before.text not in BEFORE_SCORE:
            return index + 1
        of_image = self._of_image(qualifiers, index)
        after = self._past_product(index + 1, named=of_image)
        number = attached(tokens, after, fillers=IMAGE_FILLERS, score=True, heads_line=tokens[first - 1].kind == "line")
        if number is None:
            return index + 1
        to = self._addressee(number.end)
        if to is not None and not of_image:
            self._add(number, to[0])
            return to[1]
        pending = self._pending
        if pending is not None and not of_image and self._binds(pending, number, first):
            return self._shorthand(self._add(number, pending.regions))
        if not of_image and (tokens.is_word(first - 1, REGION) or self._is_general(first, qualifiers, number)):
            return number.end
        return self._add(number)

    def _of_image(self, qualifiers: set[str], index: int) -> bool:
        """Whether the words around "score" say that it is the image's."""
        tokens = self._tokens
        after = index + 1 + tokens.is_mark(index + 1, "([")
        if tokens.is_word(after, FOR | OF):
            after += 1
            after += tokens.is_word(after, ARTICLES)
        return bool(qualifiers & IMAGE) or tokens.is_word(after, IMAGE)

    def _past_product(self, index: int, *, named: bool) -> int:
        """Return where to read on after "for this metal nut"; "for the scratch" only if the image is named."""
        tokens = self._tokens
        if not (tokens.is_word(index, OF) and (tokens[index + 1].text == "this" or named)):
            return index
        for at in range(index + 1, index + _WORDS):
            token = tokens[at]
            if token.kind != "word" or token.text in REGION | SCORE:
                break
            if token.text in IS:
                return at
        else:
            return index
        return at if tokens.is_mark(at, ":=") else index

    def _addressee(self, index: int) -> tuple[tuple[Span, ...], int] | None:
        """Read "to region 3" after a score."""
        tokens = self._tokens
        if not tokens.is_word(index, FOR):
            return None
        index += 1
        index += tokens.is_word(index, ARTICLES)
        return read_regions(tokens, index) if tokens.is_word(index, REGION) else None

    def _binds(self, pending: _Pending, number: Number, first: int) -> bool:
        """Whether a score that does not say whose it is belongs to the regions named before it."""
        tokens = self._tokens
        if pending.heading:
            # "Region 3: a scratch.\n Anomaly score: 0.8; region 3: 0.8." begins a statement on the image.
            opens = tokens.is_mark(number.end, ";,") and tokens.is_word(number.end + 1, REGION)
            return pending.same_line or not opens
        # "A scratch in region 3, with a score of 0.7", but "with a scratch in region 3, I give a score of 0.7".
        close = not pending.comma or pending.clause or tokens[first - 2].text == "with"
        # "Region 3 has the score 0.7", "For region 3, the score is 0.7": the region is what the clause is about.
        subject = pending.clause and (pending.named_for or not pending.comma)
        return subject or (close and tokens.is_word(first - 1, INDEFINITE))

    def _is_general(self, first: int, qualifiers: set[str], number: Number) -> bool:
        """Whether a phrase speaks of scores in general, or of something unnamed: "a score of 0.5 means doubt"."""
        tokens = self._tokens
        if not tokens.is_word(first - 1, INDEFINITE):
            return False
        if tokens.is_word(number.end, DEFINES):
            return True
        nearby = (tokens[at] for at in range(first - 1, max(first - 1 - _SENTENCE, self._line - 1), -1))
        return not qualifiers and not any(token.text in IMAGE for token in nearby)

    def _image(self, index: int) -> int:
        """Read "Image: 0.9" and "Overall anomaly: 0.9"."""
        tokens = self._tokens
        at = index + 1
        while at < index + _WORDS and (
            tokens.is_word(at, QUALIFIERS | MEASURE) or (tokens.is_mark(at, "-") and tokens.is_word(at + 1, QUALIFIERS))
        ):
            at += 1
        if tokens.is_word(at, SCORE):
            self._pending = None
            return at
        measured = any(tokens.is_word(between, ANOMALY) for between in range(index + 1, at))
        number = separated(tokens, at)
        if number is None and measured and tokens.is_mark(at, ":="):
            number = read_number(tokens, at + 1)
        if number is None or not starts_clause(tokens, index):
            return index + 1
        return self._add(number)
