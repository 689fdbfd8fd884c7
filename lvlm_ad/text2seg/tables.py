"""Reads the rows of Markdown and HTML tables: one cell names a region or the image, another holds its score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.text2seg.labels import read_list, read_regions
from lvlm_ad.text2seg.numbers import Number, read_number
from lvlm_ad.text2seg.statements import Finding, Span
from lvlm_ad.text2seg.words import ANOMALY, IMAGE, REGION, SCORE

if TYPE_CHECKING:
    from lvlm_ad.text2seg.tokens import Tokens

__all__ = ["TableReader"]

_Cell = tuple[int, int]
"""The first token of a cell and the token after its last."""

_SCORES = SCORE | frozenset({"probability", "likelihood", "value"})
_NUMBERS = frozenset({"no", "id", "number", "nr"})


class TableReader:
    """Reads rows one after the other and remembers the header of the table they are in.

    Args:
        tokens: the answer.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._ends = _rows(tokens)
        self._next = -1
        self._region_column: int | None = None
        self._score_column: int | None = None

    def read_row(self, index: int) -> tuple[list[Finding], int] | None:
        """Read the line that begins at a token.

        Returns:
            What its cells say and the index of the token that ends the line; None if it is no row of a table.
        """
        end = self._ends.get(index)
        if end is None:
            return None
        if index != self._next:
            self._region_column = self._score_column = None
        cells = _cells(self._tokens, index, end)
        if self._is_header(cells):
            self._next = end + 1
            return [], end
        finding = self._read_cells(cells)
        ruled = all(self._tokens.is_mark(at, "|-:+=") for at in range(index, end))
        if finding is None and not ruled and self._region_column is None:
            return None
        self._next = end + 1
        return [] if finding is None else [finding], end

    def _is_header(self, cells: list[_Cell]) -> bool:
        """Whether a row has a cell "Region" and a cell "Score", and remember where."""
        tokens = self._tokens
        region = score = None
        for column, (start, end) in enumerate(cells):
            words = {tokens[at].text for at in range(start, min(end, start + 8))}
            if any(tokens[at].kind == "number" for at in range(start, end)) and not words & _SCORES:
                return False
            if region is None and words & (REGION | _NUMBERS | IMAGE) and not words & SCORE:
                region = column
            elif score is None and words & _SCORES and not any(map(self._scored, range(start, end))):
                score = column
        if region is None or score is None:
            return False
        self._region_column, self._score_column = region, score
        return True

    def _scored(self, index: int) -> bool:
        """Whether a separator and a number follow one another here, as in "score: 0.9"."""
        return self._tokens.is_mark(index, ":=") and self._tokens[index + 1].kind == "number"

    def _read_cells(self, cells: list[_Cell]) -> Finding | None:
        column = self._region_column or 0
        if column >= len(cells):
            return None
        regions = self._label(cells[column])
        if regions is None:
            return None
        if self._score_column is not None:
            chosen = cells[self._score_column : self._score_column + 1]
        else:
            chosen = cells[column + 1 :]
        for cell in chosen:
            number = self._number(cell)
            if number is not None:
                return Finding(number, regions)
        return None

    def _label(self, cell: _Cell) -> tuple[Span, ...] | None:
        """Return the regions that a cell names, () for the image, None for neither."""
        tokens = self._tokens
        start, end = cell
        if tokens.is_word(start, REGION):
            read = read_regions(tokens, start)
            return read[0] if read is not None and read[1] <= end else None
        if self._region_column is not None and tokens[start].kind == "number":
            bare = read_list(tokens, start)
            return bare[0] if bare is not None and bare[1] == end else None
        words = {tokens[at].text for at in range(start, min(end, start + 8))}
        if any(tokens[at].kind == "number" or tokens.is_word(at, REGION) for at in range(start, end)):
            return None
        return () if words & IMAGE or (words & ANOMALY and words & SCORE) else None

    def _number(self, cell: _Cell) -> Number | None:
        """Return the number that begins a cell, unless it begins a phrase."""
        tokens = self._tokens
        number = read_number(tokens, cell[0])
        if number is None or number.end > cell[1]:
            return None
        return number if number.end == cell[1] or tokens.is_mark(number.end, "(,-:;") else None


def _rows(tokens: Tokens) -> dict[int, int]:
    """Return where each line that holds a "|" begins and ends."""
    rows = {}
    start, holds = 0, False
    for index in range(len(tokens) + 1):
        if tokens[index].kind == "line":
            if holds:
                rows[start] = index
            start, holds = index + 1, False
        elif tokens.is_mark(index, "|"):
            holds = True
    return rows


def _cells(tokens: Tokens, start: int, end: int) -> list[_Cell]:
    """Split a row at its "|"; empty cells count, the outer ones do not."""
    cells = []
    begin = start + tokens.is_mark(start, "|")
    for index in range(begin, end + 1):
        if index == end and index == begin:
            break
        if index == end or tokens.is_mark(index, "|"):
            cells.append((begin, index))
            begin = index + 1
    return cells
