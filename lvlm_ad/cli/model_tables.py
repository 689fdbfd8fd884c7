"""What ``lvlm-ad leaderboard --by-model`` shows in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvlm_ad.escape import escaped
from lvlm_ad.leaderboard.by_model_formats import explanations, heads_of, notes_of, row_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lvlm_ad.leaderboard import Column, ModelTable
    from lvlm_ad.leaderboard.by_model_formats import Cell


def print_model_tables(tables: Sequence[ModelTable], columns: Sequence[Column], console: Console) -> None:
    """Print each model's methods, each with its differences in the line below."""
    for table in tables:
        console.print(Text(escaped(table.title), style="italic"))
        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
        for head in heads_of(table, columns):
            first = head == "Method"
            shown.add_column(head, justify="left" if first else "right", overflow="fold", ratio=2 if first else None)
        for row in table.rows:
            shown.add_row(Text(escaped(row.name)), *map(_cell, row_cells(table, row, columns)))
        console.print(shown)
        for note in notes_of(table):
            console.print(Text(f"  {escaped(note)}", style="dim"))
        console.print()
    console.print(Text(" ".join(explanations(tables, columns)), style="dim"))


def _cell(cell: Cell) -> Text:
    text = Text(cell.text)
    if cell.difference:
        style = "" if cell.better is None else "cyan" if cell.better else "yellow"
        text.append(f"\n{cell.difference}{'*' * cell.sure}", style=style)
    if cell.interval:
        text.append("\n" + cell.interval.replace(" to ", " to\n"), style="dim")
    return text
