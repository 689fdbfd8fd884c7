"""What ``lvlm-ad leaderboard --by-group`` shows in the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.leaderboard import GroupTable

_NAME_WIDTH = 30
"""A longer name at the left is folded."""

_HEAD_WIDTH = 20
"""A longer word of a heading is folded; headings take several lines at their spaces."""

_GAP = 2


def group_tables_text(tables: Sequence[GroupTable], width: int) -> str:
    """Return tables as plain text for a terminal of so many characters.

    Columns that it has no room for stand in further blocks below, each with the names at the left.
    """
    written = io.StringIO()
    console = Console(file=written, width=width)
    for table in tables:
        console.print(Text(escaped(table.title)))
        lines = [[escaped(text) for text in line] for line in (table.heads, *table.texts())]
        columns = list(zip(*lines, strict=True))
        blocks = _blocks([_width(column) for column in columns[1:]], width - _name_width(columns[0]))
        for at, block in enumerate(blocks):
            if at:
                console.print()
            console.print(_printed([columns[0], *(columns[1 + one] for one in block)]))
        for note in table.notes():
            console.print(Text(f"  {escaped(note)}"))
        console.print()
    return written.getvalue()


def _name_width(column: Sequence[str]) -> int:
    return min(_NAME_WIDTH, max(map(cell_len, column)))


def _width(column: Sequence[str]) -> int:
    """Return the width of a column of numbers: no value is broken, and no word of the heading unless it is long."""
    head, *values = column
    words = [min(cell_len(word), _HEAD_WIDTH) for word in head.split()]
    return max([1, *words, *map(cell_len, values)])


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Put columns into blocks that fit beside the names; a block has one column at least.

    Example:
        >>> _blocks([5, 5, 9], 15)
        [[0, 1], [2]]
    """
    blocks: list[list[int]] = []
    left = 0
    for at, width in enumerate(widths):
        if not blocks or left < _GAP + width:
            blocks.append([])
            left = room
        blocks[-1].append(at)
        left -= _GAP + width
    return blocks


def _printed(columns: Sequence[Sequence[str]]) -> Table:
    printed = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    names, *numbers = columns
    printed.add_column(Text(names[0]), overflow="fold", width=_name_width(names))
    for column in numbers:
        printed.add_column(Text(column[0]), justify="right", overflow="fold", width=_width(column))
    for row in zip(*(column[1:] for column in columns), strict=True):
        printed.add_row(*map(Text, row))
    return printed
