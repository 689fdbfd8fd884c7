"""Turn an answer's text into tokens, and tell to which classes of words and signs each token belongs.

``CLASSES`` is the reader's vocabulary: to teach it a word, such as one for "region" in another language, add the word
to its class. Patterns over tokens are regular expressions over the names of classes, see ``form``.

Every pattern here is a loop over one class of characters, possessive where it could back up, so the time is linear in
the length of the text whatever the text is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

LONGEST = 100_000
"""How many characters of an answer are read: the last ones, because a model reasons first and answers last."""

CLASSES = {
    # What a score is the score of.
    "region": "region regions section sections segment segments area areas zone zones cell cells superpixel "
    "superpixels",
    "picture": "image images picture pictures photo photos",
    "image": "image picture photo overall whole entire global",
    # Which picture is meant.
    "reference": "reference references template golden flawless perfect normal good free training support example "
    "comparison baseline",
    "inspected": "test query target inspected inspection current",
    "product": "product products sample samples part parts object objects item items surface",
    "nth": "st nd rd th",
    "ordinal": "first second third fourth fifth",
    "box": "box boxes bbox bboxes bounding",
    # What a number measures.
    "score": "score scores scored rating rated",
    "measure": "probability likelihood level index",
    "anomaly": "anomaly anomalies anomalous abnormality abnormal defect anomalousness",
    "not_anomaly": "confidence confident sure certain certainty normal similarity normality",
    "quantity": "@not_anomaly size width height length depth diameter radius ratio position coordinates x y threshold "
    "scale accuracy iou brightness contrast distance angle thickness weight quality",
    "unit": "mm cm m km um nm \u00b5m \u03bcm inch inches px pixel pixels x times deg degree degrees s sec secs second "
    "seconds minute minutes hour hours am pm kg g mg ml l hz kb mb v mv kv w ohm ohms \u00b0 \u00d7",
    # How numbers are written: percentages, fractions, ranges.
    "percent": "% percent pct percentage percentages",
    "fraction": "@percent / out",
    "range": "- to",
    "region_range": "@range through thru until",
    # What stands between "region" and its number.
    "numbered": "number numbers no nos nr num id ids index anomaly score scores",
    "id": "number no nr num id index",
    # What stands before "score".
    "qualifier": "@image @anomaly level final total wide based estimated resulting",
    "has": "has have had gets get receives receive should would will is are",
    "always": "always usually typically normally often generally close near",
    "indefinite": "a an its with this their",
    "before_score": "@indefinite @reference the my of is and or as give assign s therefore region regions section",
    # What stands between a label and its number, and what follows the number.
    "article": "the this",
    "verb": "is are was were be at to gets get receives receive of scored",
    "filler_but_the": "@verb @score a an this has have had having with i we would could should might may can will i'd "
    "i'll it its my their also given give giving assigned assign assigning estimated estimate being been both each all "
    "respectively about around approximately roughly approx likely therefore thus set rated deserves anomaly anomalies "
    "anomalous abnormality abnormal defect level value probability likelihood final resulting individual relatively "
    "very high low moderate medium higher lower slightly",
    "filler": "@filler_but_the the",
    "image_filler": "@filler @image @article for in level product object item part sample surface given full scale",
    "connective": "@region @image and because due since while but as with for which indicating suggesting given so "
    "therefore where if although or though likely in on to",
    "defines": "means mean represents represent corresponds or above below would being if and",
    # A clause begins after one of these.
    "opens": ". ; : , | ( ) [ ] { } - = ! ? and for then so but finally",
    # Words that state a scale.
    "scale": "scale scales range ranges ranging",
    "points": "point points pts",
    "max": "max maximum maximal",
    "means": "means mean is being indicates represents = :",
    "in_or_as": "in as",
    "unit_of": "unit units",
    # The heads of a table's columns.
    "label_column": "@region @image no id number nr",
    "score_column": "@score probability likelihood value",
    # Small words that a phrase depends on.
    **{word: word for word in ("and", "for", "of", "out", "the", "this", "with")},
    "of_or_for": "of for",
    "to_or_for": "to for in on",
    "is": "is would was",
}
"""Class -> its words and signs, in lower case; ``@name`` stands for all members of an earlier class."""


def _members() -> dict[str, frozenset[str]]:
    """Return the members of each class; ``<kind>`` stands for tokens that the vocabulary does not list."""
    members: dict[str, frozenset[str]] = {}
    for name, listed in CLASSES.items():
        parts = [members[item[1:]] if item[0] == "@" else {item} for item in listed.split()]
        members[name] = frozenset[str]().union(*parts)
    listed_words = frozenset(item for each in members.values() for item in each if item[0].isalpha())
    listed_marks = frozenset("+&").union(*members.values()) - listed_words
    members |= {kind: frozenset([f"<{kind}>"]) for kind in ("script", "integer", "decimal", "broken", "line")}
    members["word"] = listed_words | {"<word>", "<script>"}
    members["number"] = members["integer"] | members["decimal"] | members["broken"]
    members["mark"] = listed_marks | {"<mark>"}
    return members


_MEMBERS = _members()
_CODES = {item: 0x1000 + 2 * code for code, item in enumerate(sorted(frozenset[str]().union(*_MEMBERS.values())))}
"""Member -> the code of its letter in ``Tokens.shape``; the next code is its letter where it touches the next token."""


@cache
def _letters(names: str) -> frozenset[str]:
    """Return the letters of some classes, such as "region|image"."""
    if names == "touching":
        return frozenset(chr(code + 1) for code in _CODES.values())
    members = frozenset[str]().union(*(_MEMBERS[name] for name in names.split("|")))
    return frozenset(chr(_CODES[item] + touching) for item in members for touching in (0, 1))


def form(pattern: str, **parts: str) -> re.Pattern[str]:
    """Compile a pattern over tokens, to be matched against ``Tokens.shape``.

    It is a verbose regular expression in which ``{region}`` is a token of a class, ``{and|number}`` one of either
    class, ``{touching}`` one without a space after it, and ``':='`` one of these signs. Besides those of ``CLASSES``
    there are the classes ``word``, ``number``, ``mark`` and ``line``; ``integer``, ``decimal`` and ``broken`` (a number
    with two points); and ``script``, a word in the digits of another script. ``{INTEGER}`` is one of the ``parts``.
    """

    def letters(match: re.Match[str]) -> str:
        if match[1]:
            return f"[{''.join(sorted(_letters(match[1])))}]"
        return f"[{''.join(chr(_CODES[sign] + touching) for sign in match[2] for touching in (0, 1))}]"

    for name, part in parts.items():
        pattern = pattern.replace(f"{{{name}}}", part)
    return re.compile(re.sub(r"\{([a-z][a-z_|]*)\}|'([^']+)'", letters, pattern), re.VERBOSE)


@dataclass(frozen=True, slots=True)
class Text:
    """A text made from an answer, and for each character the index in the answer of what it stands for; -1 for none."""

    text: str
    origins: Sequence[int]

    @classmethod
    def of(cls, answer: str) -> Text:
        """Return an answer as it is."""
        return cls(answer, range(len(answer)))

    def part(self, start: int, end: int | None = None) -> Text:
        """Return the text between two indices."""
        return Text(self.text[start:end], self.origins[start:end])

    def replaced(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> Text:
        """Return the text with every match replaced; a replacement stands where the match began."""
        texts: list[str] = []
        origins: list[int] = []
        end = 0
        for match in pattern.finditer(self.text):
            new = by(match)
            texts += (self.text[end : match.start()], new)
            origins += self.origins[end : match.start()]
            origins += [self.origins[match.start()]] * len(new)
            end = match.end()
        if not end:
            return self
        return Text("".join(texts) + self.text[end:], [*origins, *self.origins[end:]])


class Token(NamedTuple):
    """One piece of a text."""

    kind: str  # "word" (letters), "number" (digits and points), "mark" (one character) or "line" (line breaks)
    text: str  # the piece, in lower case; of a "line", the breaks and the indent that follows them
    start: int  # where it begins in the text, in characters
    end: int  # where it ends


class Tokens:
    """The tokens of a text; before its first and after its last token there are only line breaks.

    Attributes:
        shape: one letter for each token, by which ``form`` knows the token's classes, and one for the line break at the
            end. An index in it is the index of a token.
    """

    def __init__(self, source: Text, items: list[Token]) -> None:
        self._text = source.text
        self._items = items
        self._origins = source.origins
        self._outside = Token("line", "\n", len(source.text), len(source.text))
        following = [token.start for token in items[1:]]
        self.shape = "".join(map(_letter, items, [*following, -1])) + chr(_CODES["<line>"])

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Token:
        return self._items[index] if 0 <= index < len(self._items) else self._outside

    def has(self, index: int, names: str) -> bool:
        """Tell whether the token is of a class, or of one of several, as in "region|image"."""
        letter = self.shape[index] if 0 <= index < len(self.shape) else self.shape[-1]
        return letter in _letters(names)

    def contain(self, start: int, end: int, names: str) -> bool:
        """Tell whether a token from ``start`` up to ``end`` is of one of these classes."""
        return not _letters(names).isdisjoint(self.shape[start:end])

    def is_mark(self, index: int, marks: str) -> bool:
        """Tell whether the token is one of these signs."""
        token = self[index]
        return token.kind == "mark" and token.text in marks

    def skip(self, pattern: re.Pattern[str], index: int) -> int:
        """Return the index of the token after what matches a pattern here; ``index`` itself where nothing does."""
        match = pattern.match(self.shape, index)
        return index if match is None else match.end()

    def origin(self, index: int) -> int:
        """Return where in the answer a token begins."""
        return self._origins[self._items[index].start]

    def written(self, start: int, end: int) -> str:
        """Return the text of the tokens from ``start`` up to ``end``."""
        return self._text[self[start].start : self[max(start, end - 1)].end]


def _letter(token: Token, following: int) -> str:
    name = token.text
    if token.kind == "number":
        name = "<integer>" if name.isdecimal() else "<broken>" if name.count(".") > 1 else "<decimal>"
    elif name not in _CODES or token.kind == "line":
        name = "<script>" if name[0].isdigit() else f"<{token.kind}>"
    return chr(_CODES[name] + (token.end == following))


_INVISIBLE = "\u200b"
"""Stands for every invisible character, until ``plain`` removes them."""


def _plain_characters() -> dict[int, str]:
    table: dict[int, str] = {}
    # Unicode keeps its spaces, dashes and invisible characters in these ranges.
    for code in (*range(0x80, 0x3100), *range(0xFE00, 0xFFFF), *range(0xE0000, 0xE0080)):
        sign = {"Zs": " ", "Pd": "-", "Zl": "\n", "Zp": "\n", "Cf": _INVISIBLE}.get(unicodedata.category(chr(code)))
        if sign is not None:
            table[code] = sign
    # Arrows that point to the right.
    for code in (*range(0x2190, 0x2200), *range(0x2794, 0x27C0), *range(0x27F5, 0x2800), *range(0x2900, 0x2980)):
        if "RIGHTWARDS" in unicodedata.name(chr(code), ""):
            table[code] = "="
    # The full-width forms repeat ASCII in its order.
    table |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    variants = {
        "-": "\u2212\u2796",
        ":": "\u2236\ufe55\ufe13",
        ",": "\u3001\ufe50\u060c",
        ";": "\u061b",
        ".": "\u3002\u0964\u066b",
        "%": "\u066a",
        "'": "\u2018\u2019\u201b\u02bc",
        '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb",
        "=": "\u2248\u2245\u2250\u225f",
        "\n": "\r\v\f\x85\x1c\x1d\x1e",
        " ": "\t",
        _INVISIBLE: "\ufe0f\u20e3",
    }
    return table | {ord(variant): sign for sign, listed in variants.items() for variant in listed}


_PLAIN = _plain_characters()
_INVISIBLES = re.compile(f"{_INVISIBLE}++")
_ARROW = re.compile("[-=]>")
_BOX = re.compile(r"<(?:\|box_start\||box|bbox)>[^<>\n]{0,200}<(?:\|box_end\||/box|/bbox)>", re.IGNORECASE)
TAG = re.compile(r"<[/!]?([a-z|][a-z|_]{0,30})[^<>\n]{0,80}>", re.IGNORECASE)
_TAG_MEANS = {"td": "|", "th": "|", "tr": "\n", "br": "\n", "p": "\n", "li": "\n", "div": "\n"}
_BULLET = re.compile(r"^( *+)[*+\u2022\u25e6\u25aa\u25cf\u2023\u2043\u25cb\u25a0] ", re.MULTILINE)
_POSSESSIVE = re.compile(r"(?<=[0-9])'s\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"""
      (?P<line> \n[\n ]*+ )
    | (?P<number> (?> [0-9]++ (?:\.[0-9]++)*+ | \.[0-9]++ ) (?: [eE][+-]?[0-9]++ )? )
    | (?P<word> [^\W0-9_]++ (?: '[^\W0-9_]++ )*+ )
    | [\ *`"_\\\#$~>]++
    | (?P<mark> . )
    """,
    re.VERBOSE,
)


def tail(text: str) -> Text:
    """Return the part of an answer that is read, its last ``LONGEST`` characters, cut between words."""
    end = len(text.rstrip())
    start = len(text) - len(text.lstrip())
    if end - start > LONGEST:
        start = end - LONGEST
        start = max(text.find(" ", start, start + 1000), start)
    return Text.of(text).part(start, max(start, end))


def plain(text: Text) -> Text:
    """Write typographic variants (full-width forms, dashes, quotation marks, spaces, arrows) as plain characters."""
    translated = Text(text.text.translate(_PLAIN), text.origins)
    return translated.replaced(_INVISIBLES, lambda _: "").replaced(_ARROW, lambda _: "=")


def lex(source: Text) -> Tokens:
    """Split ``plain`` text into tokens; emphasis, quotation marks, heading signs, pictographs and tags vanish."""
    source = source.replaced(_BOX, lambda _: " ").replaced(TAG, lambda tag: _TAG_MEANS.get(tag[1].lower(), " "))
    source = source.replaced(_BULLET, lambda bullet: f"{bullet[1]}- ").replaced(_POSSESSIVE, lambda _: " ")
    items: list[Token] = []
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup
        pictograph = kind == "mark" and match[0] >= "\u2000" and unicodedata.category(match[0]) == "So"
        if kind is not None and not pictograph:
            items.append(Token(kind, match[0].lower(), *match.span()))
    return Tokens(source, items)
