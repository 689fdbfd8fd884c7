"""BootstrapSamples leaderboards in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import NO_INTERVAL, Board, cells, lacks_intervals, plain, sections
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lvlm_ad.leaderboard import Entry, Group

__all__ = ["print_board"]

_HEADS = (
    *("#", "Model"),
    *(f"image\n{name}" for name in ("AUROC", "AP", "F1")),
    *(f"pixel\n{name}" for name in ("AUROC", "AP", "F1", "PRO")),
    *("ans.\n%", "cost\nUSD", "USD/\nimage", "USD/\npoint"),
)
"""Heads in two lines: seven metrics beside a name of 16 letters then fit into 80 columns."""

_NAME, _ANSWERED, _COST = 1, 9, 10
_DISPENSABLE = (12, 11, 7, 4, 6, 3, 8, 5, _COST)
"""The columns that a narrow terminal goes without, the first to go first."""
_NAME_WIDTH = 36
"""A longer name is folded rather than let it push columns out."""

_STYLES = {"ranked": "bold", "frame": "dim", "apart": "", "published": "italic"}


def print_board(board: Board, console: Console) -> None:
    """Print each group as a table with its notes below; say which columns the terminal has no room for."""
    for group in board.groups:
        rows = {id(entry): _row(entry, board.sort) for entry in group.entries}
        shown, left_out = _columns(group, list(rows.values()), board.sort, console.width)
        title = Text(plain(group.title))
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for at in shown:
            justify: Literal["left", "right"] = "left" if at <= _NAME else "right"
            table.add_column(_HEADS[at], justify=justify, no_wrap=at != _NAME, overflow="fold")
        for section in sections(group):
            if section.heading:
                table.add_row("", Text(f"{section.heading}:"), style="dim")
            for entry in section.entries:
                table.add_row(*(Text(rows[id(entry)][at]) for at in shown), style=_STYLES[entry.kind])
        console.print(table)
        if left_out:
            names = ", ".join(" ".join(_HEADS[at].split("\n")) for at in left_out).replace("USD/ ", "USD/")
            console.print(
                Text(f"  No room here for: {names}; 'lvlm-ad leaderboard --format md' shows them.", style="dim")
            )
        for note in _notes(group, board.sort):
            console.print(Text(f"  {note}", style="dim"))
        console.print()


def _notes(group: Group, sort: str) -> list[str]:
    notes = [f"{plain(entry.name)}: {plain('; '.join(entry.notes))}" for entry in group.entries if entry.notes]
    if any(sort in entry.intervals for entry in group.entries):
        notes.append("In brackets: 95 % interval over test images.")
    return [*notes, NO_INTERVAL] if lacks_intervals(group, sort) else notes


def _row(entry: Entry, sort: str) -> list[str]:
    """Return a row's cells; what its section's heading and a column's head say is left out of them."""
    row = cells(entry, sort)
    row[0] = "" if entry.kind in {"frame", "published"} else row[0]
    row[_ANSWERED] = row[_ANSWERED].removesuffix(" %")
    return row


def _columns(group: Group, rows: Sequence[Sequence[str]], sort: str, width: int) -> tuple[list[int], list[int]]:
    """Return the columns to draw and those that ``width`` has no room for."""
    widths = [
        max(cell_len(line) for cell in (head, *(row[at] for row in rows)) for line in cell.split("\n"))
        for at, head in enumerate(_HEADS)
    ]
    widths[_NAME] = min(widths[_NAME], _NAME_WIDTH)
    shown = list(range(len(_HEADS)))
    if all(entry.cost_usd == 0 for entry in group.entries if entry.run):
        # Where nothing costs anything, what it costs an image and a point is not worth the room.
        shown = shown[: _COST + 1]
    sorted_by = _NAME + 1 + METRIC_NAMES.index(sort)
    left_out = []
    for at in _DISPENSABLE:
        if sum(widths[one] + 1 for one in shown) - 1 <= width:
            break
        if at in shown and at != sorted_by:
            shown.remove(at)
            left_out.append(at)
    return shown, sorted(left_out)
