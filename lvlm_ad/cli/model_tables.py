"""What ``lvlm-ad leaderboard --by-model`` shows in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from lvlm_ad.escape import escaped
from lvlm_ad.leaderboard.by_model import USES
from lvlm_ad.leaderboard.by_model_formats import explanations, notes_of, row_cells, shown_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lvlm_ad.leaderboard import Column, ModelTable
    from lvlm_ad.leaderboard.by_model_formats import Cell

_NAME_WIDTH = 28
"""A longer name is folded, so that it does not push columns out."""


def print_model_tables(tables: Sequence[ModelTable], columns: Sequence[Column], console: Console) -> None:
    """Print each model's methods with their differences below, and name the columns that there is no room for."""
    for table in tables:
        shown = _fitting(table, shown_metrics(table, columns), console.width)
        console.print(Text(escaped(table.title), style="italic"))
        printed = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
        printed.add_column("Method", overflow="fold", max_width=_NAME_WIDTH)
        for head in _heads(shown):
            printed.add_column(head, justify="right", no_wrap=True)
        for row in table.rows:
            printed.add_row(Text(escaped(row.name)), *map(_text, row_cells(table, row, shown)))
        console.print(printed)
        if dropped := [one.head for one in shown_metrics(table, columns) if one not in shown]:
            console.print(Text(f"  No room here for: {', '.join(dropped)}; --format md shows them.", style="dim"))
        for note in notes_of(table):
            console.print(Text(f"  {escaped(note)}", style="dim"))
        console.print()
    console.print(Text(" ".join(explanations(tables, columns, "Under")), style="dim"))


def _heads(columns: Sequence[Column]) -> list[str]:
    return [*(column.terminal_head for column in columns), *(use.head for use in USES)]


def _fitting(table: ModelTable, columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that a terminal has room for; ``Column.drop`` says which are left out first."""
    shown = list(columns)
    for column in sorted((one for one in columns if one.drop), key=lambda one: one.drop):
        if _width(table, shown) <= width:
            break
        shown.remove(column)
    return shown


def _width(table: ModelTable, columns: Sequence[Column]) -> int:
    cells = [[_text(cell).plain for cell in row_cells(table, row, columns)] for row in table.rows]
    texts = zip(_heads(columns), *cells, strict=True)
    name = min(_NAME_WIDTH, max(cell_len(escaped(row.name)) for row in table.rows))
    return name + sum(1 + max(cell_len(line) for text in of for line in text.split("\n")) for of in texts)


def _text(cell: Cell) -> Text:
    text = Text(cell.text)
    if cell.difference:
        style = "" if cell.better is None else "cyan" if cell.better else "yellow"
        text.append(f"\n{cell.difference}{'*' * cell.sure}", style=style)
    if cell.interval:
        text.append("\n" + cell.interval.replace(" to ", " to\n"), style="dim")
    return text
