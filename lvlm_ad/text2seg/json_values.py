"""Read JSON as models write it: with comments, trailing commas, single quotes and bare words, or cut off in the middle.

The standard parser refuses all of these, fails at deep nesting, and does not report how far it got.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from lvlm_ad.text2seg.lexer import Text

_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, a number, or a bare word such as ``true``; a string without its quotation marks."""

    text: Text
    word: bool = False


@dataclass(slots=True)
class Object:
    """A JSON object; a key may occur more than once."""

    pairs: list[tuple[str, Value]] = field(default_factory=list)


Value: TypeAlias = "Scalar | list[Value] | Object"


_SKIPPED = re.compile(r"(?:[\s,;]++|(?://|\#(?!\s*+[0-9]))[^\n]{0,500}+\n|/\*(?:[^*]|\*(?!/)){0,500}+\*/)*+")
_OPENING = {"{": "}", "[": "]", "(": ")"}
_COLON = re.compile(r"\s*+(?::|=>|=)\s*+")
_SCALAR = re.compile(
    r"""
      "(?P<double> (?:[^"\\\n]|\\.)*+ )"
    | '(?P<single> (?:[^'\\\n]|\\.)*+ )'
    | (?P<number> [-+]?(?:[0-9]++(?:\.[0-9]++)*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+%?+(?![\w.]) )
    | (?P<word> [^\W0-9][\w\ \#-]{0,40}+ )
    """,
    re.VERBOSE,
)


def read_value(source: Text, start: int) -> tuple[Value, int, list[Value]]:
    """Read the object or array at a bracket.

    Returns:
        What could be read; where reading ended; and the objects and arrays that are not closed, from outside to inside.
    """
    text = source.text
    root = _new(text[start])
    unclosed: list[tuple[Object | list[Value], str]] = [(root, _OPENING[text[start]])]
    position = start + 1
    while True:
        skipped = _SKIPPED.match(text, position)
        position = skipped.end() if skipped else position
        inner, closing = unclosed[-1]
        if text.startswith(closing, position):
            position += 1
            unclosed.pop()
            if not unclosed:
                return root, position, []
            continue
        key = ""
        if isinstance(inner, Object):
            named = _read_scalar(source, position)
            colon = _COLON.match(text, named[1]) if named else None
            if named is None or colon is None:
                return root, position, [value for value, _ in unclosed]
            key, position = named[0].text.text, colon.end()
        value: Value
        opening = text[position : position + 1]
        if opening in _OPENING:
            if len(unclosed) == _DEEPEST:
                return root, position, [value for value, _ in unclosed]
            value = nested = _new(opening)
            unclosed.append((nested, _OPENING[opening]))
            position += 1
        else:
            read = _read_scalar(source, position)
            if read is None:
                return root, position, [value for value, _ in unclosed]
            value, position = read
        if isinstance(inner, Object):
            inner.pairs.append((key, value))
        else:
            inner.append(value)


def _new(opening: str) -> Object | list[Value]:
    return Object() if opening == "{" else []


def _read_scalar(source: Text, position: int) -> tuple[Scalar, int] | None:
    match = _SCALAR.match(source.text, position)
    if match is None:
        return None
    kind = str(match.lastgroup)
    start, end = match.span(kind)
    if kind == "word":
        end = start + len(match[0].rstrip())
    return Scalar(source.part(start, end), word=kind == "word"), match.end()
