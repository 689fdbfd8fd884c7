"""Prints leaderboards in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import COLUMNS, Board, cells, printable
from lvlm_ad.leaderboard.columns import NO_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from lvlm_ad.leaderboard import Column, Entry, Group

__all__ = ["print_board"]

_NAME_WIDTH = 36
"""A longer name is folded, so that it does not push columns out."""

_STYLES = {"ranked": "bold", "frame": "dim", "apart": "", "published": "italic"}


def print_board(board: Board, console: Console) -> None:
    """Print each group as a table with its notes below, and name the columns that the terminal has no room for."""
    for group in board.groups:
        rows = [(entry, _row(entry, board.sort)) for entry in group.entries]
        shown, dropped = _columns(group, [row for _, row in rows], board.sort, console.width)
        title = Text(printable(group.title))
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column in shown:
            left = column.name in {"rank", "name"}
            justify, fold = "left" if left else "right", column.name == "name"
            table.add_column(column.terminal_head, justify=justify, no_wrap=not fold, overflow="fold")  # type: ignore[arg-type]
        texts = {id(entry): row for entry, row in rows}
        for heading, entries in group.sections():
            if heading:
                table.add_row("", Text(f"{heading}:"), style="dim")
            for entry in entries:
                table.add_row(*(Text(texts[id(entry)][column.name]) for column in shown), style=_STYLES[entry.kind])
        console.print(table)
        if dropped:
            names = ", ".join(column.terminal_head.replace("\n", " ").replace("/ ", "/") for column in dropped)
            hint = f"  No room here for: {names}; 'lvlm-ad leaderboard --format md' shows them."
            console.print(Text(hint, style="dim"))
        for note in _notes(group, board.sort):
            console.print(Text(f"  {note}", style="dim"))
        console.print()


def _notes(group: Group, sort: str) -> list[str]:
    notes = [f"{printable(one.name)}: {printable('; '.join(one.notes))}" for one in group.entries if one.notes]
    if any(sort in entry.intervals for entry in group.entries):
        notes.append("In brackets: 95 % interval over test images.")
    return [*notes, NO_INTERVAL] if group.lacks_interval(sort) else notes


def _row(entry: Entry, sort: str) -> dict[str, str]:
    """Return a row's texts by column, without what the heading of its section or column says already."""
    row = dict(zip((column.name for column in COLUMNS), cells(entry, sort), strict=True))
    if entry.kind in {"frame", "published"}:
        row["rank"] = ""
    row["coverage"] = row["coverage"].removesuffix(" %")
    return row


def _columns(group: Group, rows: list[dict[str, str]], sort: str, width: int) -> tuple[list[Column], list[Column]]:
    """Return the columns to print, and those that ``width`` has no room for."""
    free = all(entry.cost_usd == 0 for entry in group.entries if entry.run)
    shown = [column for column in COLUMNS if not (free and column.paid)]
    widths = _widths(shown, rows)
    dropped = []
    for column in sorted((one for one in shown if one.drop and one.name != sort), key=lambda one: one.drop):
        if sum(widths[one.name] + 1 for one in shown) - 1 <= width:
            break
        shown.remove(column)
        dropped.append(column)
    return shown, sorted(dropped, key=COLUMNS.index)


def _widths(columns: list[Column], rows: list[dict[str, str]]) -> Mapping[str, int]:
    widths = {}
    for column in columns:
        lines = [
            line for text in (column.terminal_head, *(row[column.name] for row in rows)) for line in text.split("\n")
        ]
        widths[column.name] = max(cell_len(line) for line in lines)
    return {**widths, "name": min(widths["name"], _NAME_WIDTH)}
