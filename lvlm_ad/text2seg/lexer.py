"""Turn an answer's text into tokens, and tell to which classes of words and signs each token belongs.

The classes are those of ``vocabulary.CLASSES``. Patterns over tokens are regular expressions over their names, see
``form``.

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

from lvlm_ad.text2seg.vocabulary import CLASSES

LONGEST = 100_000
"""How many characters of an answer are read: the last ones, because a model reasons first and answers last."""


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
    members["other_mark"] = frozenset(["<mark>"])
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

    @classmethod
    def joined(cls, parts: Sequence[Text], by: str = "") -> Text:
        """Return several texts as one, with a separator between them."""
        origins = [origin for part in parts for origin in (*[-1] * len(by), *part.origins)]
        return cls(by.join(part.text for part in parts), origins[len(by) :])

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
        "/": "\u2044\u2215",
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
_ESCAPES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ESCAPED = re.compile("|".join(_ESCAPES))
_ARROW = re.compile("[-=]>")
_BOX = re.compile(r"<(?:\|box_start\||box|bbox)>[^<>\n]{0,200}<(?:\|box_end\||/box|/bbox)>", re.IGNORECASE)
TAG = re.compile(r"<[/!]?([a-z|][a-z|_]{0,30})[^<>\n]{0,80}>", re.IGNORECASE)
_TAG_MEANS = {"td": "|", "th": "|", "tr": "\n", "br": "\n", "p": "\n", "li": "\n", "div": "\n"}
_BULLET = re.compile(r"^( *+)[*+\u2022\u25e6\u25aa\u25cf\u2023\u2043\u25cb\u25a0] ", re.MULTILINE)
_ELISION = re.compile(r"\b(d|l|dell|nell)'(?=[^\W0-9_])", re.IGNORECASE)
_POSSESSIVE = re.compile(
    r"(?:(?<=[0-9])|(?<=\bimage)|(?<=\bpicture)|(?<=\bphoto)|(?<=\breference)|(?<=\bsample))'s\b", re.IGNORECASE
)
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Kana, Chinese characters and Hangul, whose words stand together without spaces."""
_KNOWN = sorted((word for word in _MEMBERS["word"] if re.match(f"[{_UNSPACED}]", word)), key=len, reverse=True)
_BOUNDARY = re.compile(f"(?<=[{_UNSPACED}])(?=[0-9])|(?<=[0-9%])(?=[{_UNSPACED}])")
_LETTER = rf"[^\W0-9_{_UNSPACED}]"
_TOKEN = re.compile(
    rf"""
      [\ *`"_\\\#$~>]++
    | (?P<line> \n[\n ]*+ )
    | (?P<number> (?> [0-9]++ (?:\.[0-9]++)*+ | \.[0-9]++ ) (?: [eE][+-]?[0-9]++ )? )
    | (?P<word> {_LETTER}++ (?: '{_LETTER}++ )*+
              | (?=[{_UNSPACED}]) (?: {"|".join(_KNOWN)} | (?: (?! {"|".join(_KNOWN)} ) [{_UNSPACED}] )++ ) )
    | (?P<mark> . )
    """,
    re.VERBOSE,
)
_COMPOSED = re.compile(r"[^\W0-9_][\u0300-\u036f]++")
_SINGLE_SIGNS = re.compile("[\u00bc-\u00be\u2150-\u215e\u2460-\u2473]")  # one half, a 3 in a circle
_FULL_STOP = re.compile(r"(?<!\d)\u3002(?=\d)")  # a sentence ends; the digits after it are no decimals
_MIDDLE_DOT = re.compile("(?<=[0-9])[\u00b7\u22c5\u2219](?=[0-9])")


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
    text = text.replaced(_FULL_STOP, lambda _: ". ")
    translated = Text(text.text.translate(_PLAIN), text.origins)
    translated = translated.replaced(
        _SINGLE_SIGNS, lambda sign: unicodedata.normalize("NFKC", sign[0]).replace("\u2044", "/")
    ).replaced(_MIDDLE_DOT, lambda _: ".")
    translated = translated.replaced(_COMPOSED, lambda letter: unicodedata.normalize("NFC", letter[0]))
    translated = translated.replaced(_INVISIBLES, lambda _: "").replaced(_ESCAPED, lambda sign: _ESCAPES[sign[0]])
    return translated.replaced(_ARROW, lambda _: "=")


def lex(source: Text) -> Tokens:
    """Split ``plain`` text into tokens; emphasis, quotation marks, heading signs, pictographs and tags vanish."""
    source = source.replaced(_BOX, lambda _: " box ").replaced(TAG, lambda tag: _TAG_MEANS.get(tag[1].lower(), " "))
    source = source.replaced(_BULLET, lambda bullet: f"{bullet[1]}- ").replaced(_POSSESSIVE, lambda _: " ")
    source = source.replaced(_ELISION, lambda article: f"{article[1]} ").replaced(_BOUNDARY, lambda _: " ")
    items: list[Token] = []
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup
        pictograph = kind == "mark" and match[0] >= "\u2000" and unicodedata.category(match[0]) == "So"
        if kind is not None and not pictograph:
            items.append(Token(kind, match[0].lower(), *match.span()))
    return Tokens(source, items)
