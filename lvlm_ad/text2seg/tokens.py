"""Turns an answer into tokens: typographic variants made plain, reasoning and markup taken off.

Every pattern here is a loop over one class of characters, possessive where it could back up, so the time is linear in
the length of the text whatever the text is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from lvlm_ad.text2seg.traced import Traced

__all__ = ["LONGEST", "TOO_LONG", "Token", "Tokens", "lex", "plain", "tail", "without_reasoning"]

LONGEST = 100_000
"""How many characters of an answer are read, the last ones; what comes before them is reasoning."""
TOO_LONG = f"Only the last {LONGEST} characters were read."

Kind = Literal["word", "number", "mark", "line"]


class Token(NamedTuple):
    """One piece of an answer.

    Attributes:
        kind: "word" (letters, lower case), "number" (digits and points), "mark" (one character), "line" (line breaks).
        text: what it says; of a "line", the breaks and the indent that follows them.
        start: where it begins in the text, in characters.
        end: where it ends.
    """

    kind: Kind
    text: str
    start: int
    end: int


def _plain_characters() -> dict[int, str]:
    plainer: dict[int, str] = {}
    # Where Unicode keeps spaces, dashes and invisible characters.
    for code in (*range(0x80, 0x3100), *range(0xFE00, 0xFFFF), *range(0xE0000, 0xE0080)):
        category = unicodedata.category(chr(code))
        if category in {"Zs", "Pd"}:
            plainer[code] = " " if category == "Zs" else "-"
        elif category in {"Zl", "Zp"}:
            plainer[code] = "\n"
        elif category == "Cf":
            plainer[code] = ""
    # The full-width forms repeat ASCII in order.
    plainer |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    groups = {
        "-": "\u2212\u2796",
        ":": "\u2236\ufe55\ufe13",
        ",": "\u3001\ufe50",
        ".": "\u3002",
        "'": "\u2018\u2019\u201b\u02bc",
        '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb",
        "=": "\u2192\u21d2\u27a1\u2794\u279c\u27f6\u2248\u2245",
        "\n": "\r\v\f\x85\x1c\x1d\x1e",
        " ": "\t",
        "": "\ufe0f\u20e3",
    }
    return plainer | {ord(variant): mark for mark, variants in groups.items() for variant in variants}


_PLAIN = _plain_characters()

_REASONING = re.compile(r"(?:<|\u25c1)(/?)(?:think|thinking|thought|reasoning|reflection)(?:>|\u25b7)", re.IGNORECASE)
_BOX = re.compile(r"<(?:\|box_start\||box|bbox)>[^<>\n]{0,200}<(?:\|box_end\||/box|/bbox)>", re.IGNORECASE)
_TAG = re.compile(r"<[/!]?([a-z|][a-z|_]{0,30})[^<>\n]{0,80}>", re.IGNORECASE)
_TAG_MEANS = {"td": "|", "th": "|", "tr": "\n", "br": "\n", "p": "\n", "li": "\n", "div": "\n"}
_BULLET = re.compile(r"^( *+)[*+\u2022\u25e6\u25aa\u25cf\u2023\u2043\u25cb\u25a0] ", re.MULTILINE)
_ARROW = re.compile(r"[-=]>")
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


def tail(text: str) -> Traced:
    """Return the part of an answer that is read, its last ``LONGEST`` characters, cut between words."""
    end = len(text.rstrip())
    start = len(text) - len(text.lstrip())
    if end - start > LONGEST:
        start = end - LONGEST
        start = max(text.find(" ", start, start + 1000), start)
    return Traced.whole(text).part(start, max(start, end))


def plain(text: Traced) -> Traced:
    """Write typographic variants (full-width forms, dashes, quotation marks, spaces, arrows) as plain characters."""
    return text.translated(_PLAIN).replaced(_ARROW, lambda _: "=")


def without_reasoning(text: Traced) -> Traced:
    """Take off reasoning blocks such as ``<think>...</think>``, closed or not.

    Everything before a closing tag without an opening one is reasoning too: some chat templates write the opening tag
    themselves.
    """
    kept: list[Traced] = []
    start, inside = 0, False
    for tag in _REASONING.finditer(text.text):
        if not tag[1]:
            if not inside:
                kept.append(text.part(start, tag.start()))
            inside = True
        else:
            if not inside:
                kept.clear()
            inside = False
        start = tag.end()
    if not inside:
        kept.append(text.part(start))
    return Traced.lines(kept)


class Tokens:
    """The tokens of a text; beyond its end there are only line breaks.

    Args:
        source: plain text, see ``plain``.
        items: its tokens.
    """

    def __init__(self, source: Traced, items: list[Token]) -> None:
        text = source.text
        self.text = text
        self.items = items
        self._origins = source.origins
        self._end = Token("line", "\n", len(text), len(text))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Token:
        return self.items[index] if 0 <= index < len(self.items) else self._end

    def is_mark(self, index: int, marks: str) -> bool:
        """Whether there is a mark here, and one of these."""
        token = self[index]
        return token.kind == "mark" and token.text in marks

    def is_word(self, index: int, words: frozenset[str]) -> bool:
        """Whether there is a word here, and one of these."""
        token = self[index]
        return token.kind == "word" and token.text in words

    def touches(self, index: int) -> bool:
        """Whether nothing, not even a space, lies between this token and the next."""
        return self[index].end == self[index + 1].start and index + 1 < len(self.items)

    def origin(self, index: int) -> int:
        """Return where in the answer a token begins; the token must be there."""
        return self._origins[self.items[index].start]

    def written(self, start: int, end: int) -> str:
        """Return the text from one token up to another."""
        return self.text[self[start].start : self[max(start, end - 1)].end]


def lex(source: Traced) -> Tokens:
    """Split plain text into tokens; emphasis, quotation marks, heading signs, pictographs and tags vanish.

    Args:
        source: plain text, see ``plain``.
    """
    source = source.replaced(_BOX, lambda _: " ").replaced(_TAG, lambda tag: _TAG_MEANS.get(tag[1].lower(), " "))
    source = source.replaced(_BULLET, lambda bullet: f"{bullet[1]}- ").replaced(_POSSESSIVE, lambda _: " ")
    items = []
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup
        if kind == "word":
            items.append(Token("word", match[0].lower(), match.start(), match.end()))
        elif kind == "number":
            items.append(Token("number", match[0], match.start(), match.end()))
        elif kind == "line":
            items.append(Token("line", match[0], match.start(), match.end()))
        elif kind == "mark" and (match[0] < "\u2000" or unicodedata.category(match[0]) != "So"):
            items.append(Token("mark", match[0], match.start(), match.end()))
    return Tokens(source, items)
