"""Draws leaderboards in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import Board, cells, plain

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_board"]

_HEADS = (
    *("#", "Model"),
    *(f"image\n{name}" for name in ("AUROC", "AP", "F1")),
    *(f"pixel\n{name}" for name in ("AUROC", "AP", "F1", "PRO")),
    *("ans-\nwered", "cost\nUSD", "USD/\nimage", "USD/\npoint"),
)
"""Heads in two lines: the table then fits into 80 columns."""

_STYLES = {"ranked": "bold", "frame": "dim", "apart": "", "published": "italic"}


def print_board(board: Board, console: Console) -> None:
    """Print each group as a table with its notes below."""
    for group in board.groups:
        title = Text(plain(group.title))
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        # Where nothing costs anything, what it costs an image and a point is not worth the room.
        shown = len(_HEADS) if any(entry.cost_usd != 0 for entry in group.entries if entry.run) else len(_HEADS) - 2
        for at, head in enumerate(_HEADS[:shown]):
            table.add_column(head, justify="left" if at < 2 else "right", no_wrap=at != 1)  # noqa: PLR2004 - texts
        for entry in group.entries:
            table.add_row(*(Text(cell) for cell in cells(entry, board.sort)[:shown]), style=_STYLES[entry.kind])
        console.print(table)
        for entry in group.entries:
            if entry.notes:
                console.print(Text(f"  {plain(entry.name)}: {plain('; '.join(entry.notes))}", style="dim"))
        console.print()
