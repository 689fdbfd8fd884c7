"""Reads JSON as models write it: trailing commas, single quotes, comments, bare words, or cut off in the middle.

The standard parser would refuse all of these, stops at a nesting that it calls recursion, and says nothing about how
far it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from lvlm_ad.text2seg.traced import Traced

__all__ = ["Array", "Object", "Scalar", "Value", "read_object"]

_DEEPEST = 32
_SKIPPED = re.compile(r"(?:[\s,;]++|//[^\n]*+\n)*+")
_STRING = re.compile(r""" "((?:[^"\\\n]|\\.)*+)" | '((?:[^'\\\n]|\\.)*+)' """, re.VERBOSE)
_NUMBER = re.compile(r"[-+]?(?:[0-9]++(?:\.[0-9]++)*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+%?+(?![\w.])")
_WORD = re.compile(r"[^\W0-9][\w #-]{0,40}+")
_SPACE = re.compile(r"\s*+")
_COLON = re.compile(r"\s*+(?::|=>|=)")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, a number, or a word such as ``true``.

    Attributes:
        text: as written, without quotation marks.
        word: whether it is a bare word.
    """

    text: Traced
    word: bool = False


@dataclass(slots=True)
class Array:
    """A JSON array."""

    items: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """A JSON object; a key may occur more than once."""

    pairs: list[tuple[str, Value]] = field(default_factory=list)


Value: TypeAlias = "Scalar | Array | Object"


def read_object(source: Traced, start: int) -> tuple[Object, int, bool]:
    """Read the object that begins at a "{".

    Returns:
        What could be read of it, where reading ended (past ``start``), and whether the object was closed.
    """
    text = source.text
    root = Object()
    open_: list[Object | Array] = [root]
    position = start + 1
    while True:
        position = _after(_SKIPPED, text, position)
        inner = open_[-1]
        mark = text[position : position + 1]
        if mark == ("}" if isinstance(inner, Object) else "]"):
            position += 1
            open_.pop()
            if not open_:
                return root, position, True
            continue
        key = ""
        if isinstance(inner, Object):
            read_key = _key(source, position)
            if read_key is None:
                return root, position, False
            key, position = read_key
            mark = text[position : position + 1]
        value: Value
        if mark in {"{", "["}:
            if len(open_) == _DEEPEST:
                return root, position, False
            value = nested = Object() if mark == "{" else Array()
            open_.append(nested)
            position += 1
        else:
            read = _scalar(source, position)
            if read is None:
                return root, position, False
            value, position = read
        if isinstance(inner, Object):
            inner.pairs.append((key, value))
        else:
            inner.items.append(value)


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _scalar(source: Traced, position: int) -> tuple[Scalar, int] | None:
    text = source.text
    if match := _STRING.match(text, position):
        return Scalar(source.part(*match.span(1 if match[1] is not None else 2))), match.end()
    if match := _NUMBER.match(text, position):
        return Scalar(source.part(*match.span())), match.end()
    if match := _WORD.match(text, position):
        return Scalar(source.part(match.start(), match.start() + len(match[0].rstrip())), word=True), match.end()
    return None


def _key(source: Traced, position: int) -> tuple[str, int] | None:
    """Read a key and its colon; the position returned is where the value begins."""
    read = _scalar(source, position)
    if read is None:
        return None
    colon = _COLON.match(source.text, read[1])
    return None if colon is None else (read[0].text.text, _after(_SPACE, source.text, colon.end()))
