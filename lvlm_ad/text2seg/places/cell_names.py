"""The names of a grid's cells: B3, B4-C5, (2, 3), "row 2, column 3"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple

from lvlm_ad.text2seg.json_values import Object, Scalar
from lvlm_ad.text2seg.places.written import plain_key

if TYPE_CHECKING:
    from lvlm_ad.text2seg.json_values import Value

__all__ = ["CellNames", "Naming", "Span"]

Naming = Literal["chess", "rc"]
"""``chess``: letter of the column, number of the row from the top (B3); ``rc``: row and column from 1, (3, 2)."""

_MOST_DIGITS = 6
_BY_NAMING = {
    "chess": r"(?<![\w.]) (?P<letter{0}>[a-z]{{1,2}}) (?P<number{0}>[0-9]++) (?!\w|\.[0-9])",
    "rc": (
        r"[(\[] \s{{0,3}} (?P<row{0}>[0-9]++) \s{{0,3}},\s{{0,3}} (?P<column{0}>[0-9]++) \s{{0,3}} [)\]]"
        r"| (?<![\w.,]) (?P<row_bare{0}>[0-9]++) \s?,\s? (?P<column_bare{0}>[0-9]++) (?= \s{{0,2}}[:=] )"
    ),
}
_BARE_PAIR = re.compile(r"\s*[0-9]+\s*,\s*[0-9]+\s*")
_IN_WORDS = r"""
    \b row [\s:=\#"'_-]{{0,5}} (?P<row_named{0}>[0-9]++) [\s,;&"']{{0,4}} (?:and\s)? (?:the\s)?
       col(?:umn)? [\s:=\#"'_-]{{0,5}} (?P<column_named{0}>[0-9]++|[a-z]\b)
  | \b col(?:umn)? [\s:=\#"'_-]{{0,5}} (?P<column_first{0}>[0-9]++|[a-z]\b) [\s,;&"']{{0,4}} (?:and\s)? (?:the\s)?
       row [\s:=\#"'_-]{{0,5}} (?P<row_last{0}>[0-9]++)
  | \b r (?P<row_short{0}>[0-9]++) \s?c (?P<column_short{0}>[0-9]++) (?!\w)
"""
_ROW_GROUPS = frozenset({"number", "row", "row_bare", "row_named", "row_last", "row_short"})


class Span(NamedTuple):
    """Cells from a first to a last row and column, all from 1; they may lie outside the grid."""

    top: int
    left: int
    bottom: int
    right: int

    def within(self, rows: int, columns: int) -> Span:
        """Return the part that lies in a grid; it may be empty."""
        return Span(max(self.top, 1), max(self.left, 1), min(self.bottom, rows), min(self.right, columns))

    def cells(self) -> Iterator[tuple[int, int]]:
        """Yield row and column of each cell, row by row."""
        return product(range(self.top, self.bottom + 1), range(self.left, self.right + 1))


class CellNames:
    """Reads the names of cells.

    Args:
        naming: how they are named.
        columns: columns of the grid; only with more than 26 may a name have two letters: "IP67" is none otherwise.
    """

    def __init__(self, naming: Naming, columns: int) -> None:
        own = _BY_NAMING[naming] if columns > 26 else _BY_NAMING[naming].replace("{{1,2}}", "")  # noqa: PLR2004 - letters
        cell = f"(?: {own} | {_IN_WORDS} )"
        self._pattern = re.compile(
            rf"{cell.format('1')} (?: (?: [ \t]{{0,3}}(?:-|to\b|through\b)[ \t]{{0,3}} | : ) {cell.format('2')} )?",
            re.VERBOSE | re.IGNORECASE,
        )
        self._naming = naming

    def found(self, text: str) -> Iterator[tuple[int, int, Span]]:
        """Yield where each name begins and ends in a text, and its cells."""
        for match in self._pattern.finditer(text):
            yield match.start(), match.end(), self._span_of(match)

    def begins(self, text: str, at: int) -> bool:
        """Return whether a name begins at this place of a text."""
        return self._pattern.match(text, at) is not None

    def in_value(self, value: Value) -> list[Span] | None:
        """Read the cells in a JSON value; None if it is no cell."""
        if isinstance(value, Scalar):
            text = value.text.text
            if self._naming == "rc" and _BARE_PAIR.fullmatch(text):
                text = f"({text})"
            spans = [self._span_of(match) for match in self._pattern.finditer(text)]
            return spans if spans and not re.search(r"[0-9]", self._pattern.sub("", text)) else None
        if not isinstance(value, list):
            return self._in_fields(value)
        numbers = [one.text.text for one in value if isinstance(one, Scalar)]
        if self._naming == "rc" and len(value) == len(numbers) == 2 and all(map(str.isdecimal, numbers)):  # noqa: PLR2004 - row and column
            row, column = map(_index, numbers)
            return [Span(row, column, row, column)]
        inner = [self.in_value(one) for one in value]
        return [span for one in inner if one is not None for span in one] if inner and None not in inner else None

    def _in_fields(self, entry: Object) -> list[Span] | None:
        """Read the row and the column of an object that names them."""
        named = {plain_key(key): value.text.text for key, value in entry.pairs if isinstance(value, Scalar)}
        row, column = named.get("row", ""), named.get("column", named.get("col", ""))
        if not re.fullmatch("[0-9]+", row) or not re.fullmatch("[0-9]+|[A-Za-z]", column):
            return None
        return [Span(_index(row), _index(column), _index(row), _index(column))]

    @staticmethod
    def _span_of(match: re.Match[str]) -> Span:
        corners = []
        for part in "12":
            names = {name[:-1]: value for name, value in match.groupdict().items() if name[-1] == part and value}
            if names:
                row = next(value for name, value in names.items() if name in _ROW_GROUPS)
                column = next(value for name, value in names.items() if name not in _ROW_GROUPS)
                corners.append((_index(row), _index(column)))
        (top, left), (bottom, right) = corners[0], corners[-1]
        return Span(min(top, bottom), min(left, right), max(top, bottom), max(left, right))


def _index(written: str) -> int:
    """Return a row or column as a number from 1; 0 if it has too many digits. A is 1, Z 26, AA 27."""
    if written.isdecimal():
        return int(written) if len(written.lstrip("0")) < _MOST_DIGITS else 0
    value = 0
    for letter in written.upper():
        value = 26 * value + ord(letter) - ord("A") + 1
    return value
