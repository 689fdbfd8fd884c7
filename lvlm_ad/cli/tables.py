"""Tables in the terminal: leaderboards and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import COLUMNS, Board, cells, percent, printable, signed
from lvlm_ad.leaderboard.columns import NO_INTERVAL, UNKNOWN
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lvlm_ad.compare import Comparison, Difference, ImageDifference
    from lvlm_ad.leaderboard import Column, Entry, Group

_NAME_WIDTH = 36
"""A longer name is folded, so that it does not push columns out."""

_SIGNIFICANT = 0.05
"""Differences with a smaller p-value are marked."""

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
    widths = {}
    for column in shown:
        texts = [column.terminal_head, *(row[column.name] for row in rows)]
        widths[column.name] = 1 + max(cell_len(line) for text in texts for line in text.split("\n"))
    widths["name"] = min(widths["name"], 1 + _NAME_WIDTH)
    dropped = []
    for column in sorted((one for one in shown if one.drop and one.name != sort), key=lambda one: one.drop):
        if sum(widths[one.name] for one in shown) - 1 <= width:
            break
        shown.remove(column)
        dropped.append(column)
    return shown, sorted(dropped, key=COLUMNS.index)


def print_comparison(comparison: Comparison, console: Console, images: int) -> None:
    """Print the differences of the mean and of each category, and the images with the largest differences.

    Args:
        comparison: the comparison.
        console: where to print.
        images: how many images to list.
    """
    console.print(_mean(comparison))
    if comparison.delong_mean is not None and comparison.delong_mean.p_value is not None:
        console.print(Text(f"  image_auroc by DeLong's test: p {_p(comparison.delong_mean.p_value)}", style="dim"))
    for note in comparison.notes:
        console.print(Text(f"  {printable(note)}", style="dim"))
    console.print()
    if len(comparison.categories) > 1:
        console.print(_categories(comparison))
        console.print()
    differing = [image for image in comparison.images if image.placements[0] != image.placements[1]][:images]
    if differing:
        console.print(_images(comparison, differing))


def _mean(comparison: Comparison) -> Table:
    first, second = comparison.names
    several = len(comparison.categories) > 1
    what = f"mean of {len(comparison.categories)} categories" if several else "".join(comparison.categories)
    heads = [first, second, "difference", "95 % interval", "p", *(["interval over categories"] if several else [])]
    table = _table(f"{first} minus {second}: {what}, percent", heads)
    for name in METRIC_NAMES:
        metric = comparison.mean[name]
        row = [name, percent(metric.first), percent(metric.second), signed(metric.difference)]
        row += [_interval(metric.interval), _p(metric.p_value)]
        table.add_row(*row, *([_interval(metric.interval_over_categories)] if several else []))
    return table


def _categories(comparison: Comparison) -> Table:
    heads = [name.replace("_", "\n", 1) for name in METRIC_NAMES]
    table = _table(f"difference in each category, percent; * where p < {_SIGNIFICANT}", heads)
    for category, metrics in comparison.categories.items():
        table.add_row(Text(printable(category)), *(_marked(metrics[name]) for name in METRIC_NAMES))
    return table


def _images(comparison: Comparison, chosen: Sequence[ImageDifference]) -> Table:
    title = (
        "images with the largest differences: share of the other kind's images that each is ranked correctly against"
    )
    table = _table(title, ["", *comparison.names])
    for image in chosen:
        kind = "anomalous" if image.label else "good"
        table.add_row(Text(printable(image.id)), kind, *(f"{100 * share:.0f} %" for share in image.placements))
    return table


def _table(title: str, heads: Sequence[str]) -> Table:
    """Return a table whose first column has no head; all others are numbers."""
    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for head in heads:
        lines = "\n".join(printable(line) for line in head.split("\n"))
        table.add_column(Text(lines), justify="right" if head else "left", overflow="fold")
    return table


def _interval(interval: tuple[float, float] | None) -> str:
    return UNKNOWN if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def _p(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"  # noqa: PLR2004 - three digits


def _marked(difference: Difference) -> str:
    significant = difference.p_value is not None and difference.p_value < _SIGNIFICANT
    return f"{signed(difference.difference)}{'*' if significant else ' '}"
