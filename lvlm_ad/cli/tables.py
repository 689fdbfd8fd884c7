"""Draws leaderboards in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import HEADERS, Board, cells, plain

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_board"]

_STYLES = {"ranked": "bold", "frame": "dim", "apart": "", "published": "italic"}


def print_board(board: Board, console: Console) -> None:
    """Print each group as a table with its notes below."""
    for group in board.groups:
        table = Table(title=Text(plain(group.title)), title_justify="left", box=None, pad_edge=False, padding=(0, 1))
        for at, head in enumerate(HEADERS):
            table.add_column(head, justify="left" if at < 2 else "right", no_wrap=True)  # noqa: PLR2004 - rank, model
        for entry in group.entries:
            table.add_row(*(Text(cell) for cell in cells(entry)), style=_STYLES[entry.kind])
        console.print(table)
        for entry in group.entries:
            if entry.notes:
                console.print(Text(f"  {plain(entry.name)}: {plain('; '.join(entry.notes))}", style="dim"))
        console.print()
