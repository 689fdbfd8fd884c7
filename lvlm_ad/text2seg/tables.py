"""Read the rows of Markdown and HTML tables: one cell names a region or the image, another holds its score."""

from __future__ import annotations

from dataclasses import replace

from lvlm_ad.text2seg.lexer import Tokens, form
from lvlm_ad.text2seg.numbers import Number, Span, read_list, read_number, read_regions
from lvlm_ad.text2seg.scores import Statement

_ROW = form("(?: (?! {line} | '|' ) . )*+ '|' (?: (?! {line} ) . )*+")
_CELL = form("(?: (?! {line} | '|' ) . )*+")
_RULE = form(r"'|-:+='*+ \Z")
_STATED = form("':=' {number}")
_LOOK_AT = 8
"""How many tokens of a cell may tell what its column is."""


class TableReader:
    """Reads rows one after the other and remembers the header of the table they are in."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._next = -1
        """Index of the token at which the next row of the present table would begin."""
        self._label_column: int | None = None
        self._score_column: int | None = None
        self._in_percent = False
        """Whether the numbers in that column are percentages: its head says so, and one of them exceeds 1."""

    def read_row(self, start: int) -> tuple[list[Statement], int] | None:
        """Return what a row states and the index of the token that ends it; None if the line is no row of a table."""
        end = self._tokens.skip(_ROW, start)
        if end == start:
            return None
        if start != self._next:
            self._label_column = self._score_column = None
            self._in_percent = False
        cells = self._cells(start, end)
        if self._is_header(cells):
            self._in_percent = self._has(cells[self._score_column or 0], "percent") and self._exceeds_one(end + 1)
            self._next = end + 1
            return [], end
        statement = self._read_cells(cells)
        if statement is None and self._label_column is None and not _RULE.match(self._tokens.shape[start:end]):
            return None
        self._next = end + 1
        return [] if statement is None else [statement], end

    def _cells(self, start: int, end: int) -> list[range]:
        """Split a row at its "|"; empty cells count, the outer ones do not."""
        cells = []
        start += self._tokens.is_mark(start, "|")
        while start < end:
            cell = range(start, self._tokens.skip(_CELL, start))
            cells.append(cell)
            start = cell.stop + 1
        return cells

    def _has(self, cell: range, names: str) -> bool:
        return self._tokens.contain(cell.start, cell.stop, names)

    def _is_header(self, cells: list[range]) -> bool:
        """Tell whether a row has a cell "Region" and a cell "Score", and remember where."""
        label = score = None
        for column, cell in enumerate(cells):
            head = cell[:_LOOK_AT]
            final = self._has(head, "final_column")
            if self._has(cell, "number") and not self._has(head, "score_column"):
                return False
            if label is None and self._has(head, "label_column") and not self._has(head, "score"):
                label = column
            elif (final or (score is None and self._measures(head))) and not self._states(cell):
                score = column
        if label is None or score is None:
            return False
        self._label_column, self._score_column = label, score
        return True

    def _exceeds_one(self, start: int) -> bool:
        """Return whether a number above 1 is in the column of scores of the rows that begin here."""
        column = self._score_column or 0
        while (end := self._tokens.skip(_ROW, start)) > start:
            cell = self._cells(start, end)[column : column + 1]
            number = self._number(cell[0]) if cell else None
            if number is None and not _RULE.match(self._tokens.shape[start:end]):
                return False
            if number is not None and number.value > 1:
                return True
            start = end + 1
        return False

    def _measures(self, head: range) -> bool:
        """Return whether the head of a column says that scores are below: "Anomaly score", "Anomaly (%)"."""
        return self._has(head, "score_column") or (self._has(head, "anomaly") and self._has(head, "percent"))

    def _states(self, cell: range) -> bool:
        """Tell whether a cell itself states a score, as in "score: 0.9"."""
        return any(_STATED.match(self._tokens.shape, index) for index in cell)

    def _read_cells(self, cells: list[range]) -> Statement | None:
        column = self._label_column or 0
        regions = self._label(cells[column]) if column < len(cells) else None
        if regions is None:
            return None
        candidates = cells[column + 1 :]
        if self._score_column is not None:
            candidates = cells[self._score_column : self._score_column + 1]
        number = next((number for cell in candidates if (number := self._number(cell)) is not None), None)
        if number is not None and self._in_percent and number.total is None:
            number = replace(number, value=number.value / 100, total=100.0, percent=True, rescaled=True)
        return None if number is None else Statement(number, regions)

    def _label(self, cell: range) -> tuple[Span, ...] | None:
        """Return the regions that a cell names, () for the image, None for neither."""
        tokens = self._tokens
        if tokens.has(cell.start, "region"):
            read = read_regions(tokens, cell.start)
            return read[0] if read is not None and read[1] <= cell.stop else None
        if self._label_column is not None and tokens.has(cell.start, "number"):
            read = read_list(tokens, cell.start)
            return read[0] if read is not None and read[1] == cell.stop else None
        if self._has(cell, "number|region|reference"):
            return None
        head = cell[:_LOOK_AT]
        of_image = self._has(head, "image") or (self._has(head, "anomaly") and self._has(head, "score"))
        return () if of_image else None

    def _number(self, cell: range) -> Number | None:
        """Return the number that begins a cell, unless it begins a phrase."""
        number = read_number(self._tokens, cell.start)
        if number is None or number.end > cell.stop:
            return None
        return number if number.end == cell.stop or self._tokens.is_mark(number.end, "(,-:;") else None
