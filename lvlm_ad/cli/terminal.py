"""What the terminal shows of a bench: progress bars, leaderboards and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import lvlm_ad.log
from lvlm_ad.compare import SIGNIFICANT, p_text
from lvlm_ad.escape import escaped
from lvlm_ad.evaluate.choices import AVERAGE
from lvlm_ad.leaderboard import COLUMNS, Board, cells, percent, signed
from lvlm_ad.leaderboard.columns import MARKS, UNKNOWN, ranks_in_words
from lvlm_ad.leaderboard.decision_columns import chosen_columns, decision_notes
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.shown_columns import shown_columns
from lvlm_ad.runs import METRIC_NAMES, is_metric, is_reported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lvlm_ad.compare import Comparison, Difference, ImageDifference
    from lvlm_ad.leaderboard import Column, Entry, Group

_NAME_WIDTH = 36
"""A longer name is folded, so that it does not push columns out."""

_SOURCE_AND_MEAN = 2
"""Rows of accuracies where there is one source."""

_STYLES = {"ranked": "", "apart": "", "frame": "dim", "published": "italic"}

_MARKS = {"best": "bold", "second": "underline", "": ""}

_BETTER, _WORSE = "cyan", "yellow"
"""Colours of differences above and below 0; colour-blind readers can tell them apart, and the sign says the same."""


class Bars(lvlm_ad.log.Progress):
    """One progress bar per stage on stderr; without a terminal one line per finished stage."""

    def __init__(self) -> None:
        self._console = console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._stage = ""
        self._task = TaskID(0)
        self._doing: dict[str, TaskID] = {}
        self._total = self._failed = self._stored = 0
        self._cost: float | None = 0.0
        self._shown = (0, 0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int) -> None:
        """Start a bar."""
        self._stage, self._total, self._failed, self._stored, self._cost = stage, total, 0, 0, 0.0
        self._task = self._bars.add_task(escaped(stage), total=total, state="")

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Count steps."""
        self._failed += steps * failed
        self._stored += steps * stored
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        self._bars.update(self._task, advance=steps, state=self._state())

    def finish(self) -> None:
        """End the bar."""
        if not self._console.is_terminal:
            state = self._state()
            self._console.print(Text(f"{escaped(self._stage)}: {self._total}{f' ({state})' if state else ''}"))

    def at(self, stage: str, done: int, total: int) -> None:
        """Show the state of work done elsewhere; without a terminal only its end."""
        if stage != self._stage:
            self.start(stage, total)
        ended = done == total and (done, total) != self._shown
        self._total, self._shown = total, (done, total)
        self._bars.update(self._task, completed=done, total=total)
        if ended:
            self.finish()

    def doing(self, what: str, text: str) -> None:
        """Show a line below the bars; without a terminal nothing."""
        if what in self._doing and not text:
            self._bars.remove_task(self._doing.pop(what))
        elif text:
            if what not in self._doing:
                self._doing[what] = self._bars.add_task(escaped(what), total=None, state="")
            self._bars.update(self._doing[what], state=escaped(text))

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(escaped(text)))

    def _state(self) -> str:
        parts = [f"{self._stored} stored"] if self._stored else []
        if self._failed:
            parts.append(f"{self._failed} unusable")
        if self._cost is None:
            parts.append("cost unknown")
        elif self._cost:
            parts.append(f"${self._cost:.4f}")
        return ", ".join(parts)


def print_board(board: Board, console: Console, columns: Sequence[Column] = COLUMNS) -> None:
    """Print each group as a table with its notes below, and name the columns that the terminal has no room for."""
    for group in board.groups:
        all_columns = shown_columns([group], columns)
        rows = [(entry, _row(entry, board.sort, all_columns)) for entry in group.entries]
        shown, dropped = _columns(group, all_columns, [row for _, row in rows], board.sort, console.width)
        # A title of the table itself would be wrapped at the table's width.
        console.print(Text(escaped(group.title), style="italic"))
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
        for column in shown:
            justify, fold = "left" if column.is_text else "right", column.name == "name"
            table.add_column(column.terminal_head, justify=justify, no_wrap=not fold, overflow="fold")  # type: ignore[arg-type]
        texts = {id(entry): row for entry, row in rows}
        for heading, entries in group.sections():
            if heading:
                table.add_row("", Text(f"{heading}:"), style="dim")
            for entry in entries:
                row = [
                    Text.assemble((texts[id(entry)][one.name], _MARKS[group.place(entry, one.name)])) for one in shown
                ]
                table.add_row(*row, style=_STYLES[entry.kind])
        console.print(table)
        if dropped:
            names = ", ".join(column.terminal_head.replace("\n", " ").replace("/ ", "/") for column in dropped)
            hint = f"  No room here for: {names}; 'lvlm-ad leaderboard --format md' shows them."
            console.print(Text(hint, style="dim"))
        if console.is_terminal and any(group.place(entry, one.name) for entry in group.entries for one in shown):
            console.print(Text(f"  {MARKS}", style="dim"))
        for note in _notes(group, board.sort, all_columns, metric_notes(shown)):
            console.print(Text(f"  {note}", style="dim"))
        console.print()
    sources = dict.fromkeys(source for group in board.groups for source in group.sources)
    for source in sources:
        console.print(Text(escaped(source), style="dim"))


def _notes(group: Group, sort: str, columns: Sequence[Column], places: Sequence[str]) -> list[str]:
    notes = [f"{name}: {note}" for _, name, note in group.notes()]
    if any(column.has_brackets(entry, sort) for entry in group.entries for column in columns):
        notes.append("In brackets: 95 % interval over test images.")
    notes += [ranks_in_words(group.entries), group.ranking, *places, *decision_notes(group.entries, columns)]
    return [escaped(note) for note in notes if note]


def _row(entry: Entry, sort: str, columns: Sequence[Column]) -> dict[str, str]:
    """Return a row's texts by column, without what the heading of its section or column says already."""
    row = {column.name: escaped(text) for column, text in zip(columns, cells(entry, sort, columns), strict=True)}
    if entry.kind in {"frame", "published"}:
        row["rank"] = ""
    if "coverage" in row:
        row["coverage"] = row["coverage"].removesuffix(" %")
    return row


def _columns(
    group: Group, columns: Sequence[Column], rows: list[dict[str, str]], sort: str, width: int
) -> tuple[list[Column], list[Column]]:
    """Return the columns to print, and those that ``width`` has no room for."""
    free = all(entry.cost_usd == 0 for entry in group.entries if entry.run)
    alone = all(entry.difference is None for entry in group.entries)
    shown = [one for one in columns if not (free and one.paid) and not (alone and one.name == "difference")]
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
    return shown, sorted(dropped, key=list(columns).index)


def print_comparison(comparison: Comparison, console: Console, images: int) -> None:
    """Print the differences of the mean and of each category, and the ``images`` images that differ most.

    Accuracies of multiple-choice questions come first.
    """
    for table in _choices(comparison):
        console.print(table)
        console.print()
    console.print(_mean(comparison))
    for note in comparison.notes:
        console.print(Text(f"  {escaped(note)}", style="dim"))
    console.print()
    if len(comparison.categories) > 1:
        own = [name for name in comparison.mean if is_reported(name)]
        others = [name for name in comparison.mean if not is_metric(name)]
        for names in (own, METRIC_NAMES, others):
            if names:
                console.print(_categories(comparison, names))
                console.print()
    differing = [image for image in comparison.images if image.placements[0] != image.placements[1]][:images]
    if differing:
        console.print(_images(comparison, differing))


def _choices(comparison: Comparison) -> Iterator[Table]:
    """Yield the differences of accuracies, averaged over sources and of each source; nothing without questions."""
    if AVERAGE not in comparison.choices:
        return
    first, second = comparison.names
    several = "mean over sources" if len(comparison.choices) > _SOURCE_AND_MEAN else next(iter(comparison.choices))
    heads = [first, second, "difference", "95 % interval", "p"]
    table = _table(f"{first} minus {second}: accuracy, {several}, percent", heads)
    for name, one in comparison.choices[AVERAGE].items():
        both = percent(one.first), percent(one.second)
        found = _signed(one.difference), _interval(one.interval), p_text(one.p_value)
        table.add_row(Text(escaped(name)), *both, *found)
    yield table
    names = list(comparison.choices[AVERAGE])
    tests = "adjusted for all of them (Holm)"
    heads = [name.replace(" ", "\n") for name in names]
    table = _table(f"difference in each source, percent; * where p < {SIGNIFICANT}, {tests}", heads)
    for source, row in comparison.choices.items():
        table.add_row(Text(escaped(source)), *(_marked(row[name]) if name in row else "" for name in names))
    yield table


def _mean(comparison: Comparison) -> Table:
    first, second = comparison.names
    several = len(comparison.categories) > 1
    what = f"mean of {len(comparison.categories)} categories" if several else "".join(comparison.categories)
    heads = [first, second, "difference", "95 % interval", "p", *(["interval over categories"] if several else [])]
    table = _table(f"{first} minus {second}: {what}, percent", heads)
    for name, metric in comparison.mean.items():
        ends = [_interval(metric.interval), p_text(metric.p_value)]
        ends += [_interval(metric.interval_over_categories)] if several else []
        table.add_row(name, percent(metric.first), percent(metric.second), _signed(metric.difference), *ends)
    return table


def _categories(comparison: Comparison, names: Sequence[str]) -> Table:
    heads = [column.head.replace(" ", "\n") for column in chosen_columns(",".join(names))[2:]]
    tests = "adjusted for all categories (Holm)"
    table = _table(f"difference in each category, percent; * where p < {SIGNIFICANT}, {tests}", heads)
    for category, metrics in comparison.categories.items():
        table.add_row(Text(escaped(category)), *(_marked(metrics[name]) for name in names))
    return table


def _images(comparison: Comparison, chosen: Sequence[ImageDifference]) -> Table:
    title = (
        "images with the largest differences: share of the good images that score lower than an anomalous one, "
        "or of the anomalous images that score higher than a good one"
    )
    table = _table(title, ["", *comparison.names])
    for image in chosen:
        kind = "anomalous" if image.label else "good"
        table.add_row(Text(escaped(image.id)), kind, *(f"{100 * share:.0f} %" for share in image.placements))
    return table


def _table(title: str, heads: Sequence[str]) -> Table:
    """Return a table whose first column has no head; all others are numbers."""
    table = Table(title=Text(escaped(title)), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for head in heads:
        lines = "\n".join(escaped(line) for line in head.split("\n"))
        table.add_column(Text(lines), justify="right" if head else "left", overflow="fold")
    return table


def _interval(interval: tuple[float, float] | None) -> str:
    return UNKNOWN if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def _marked(difference: Difference) -> Text:
    significant = difference.p_adjusted is not None and difference.p_adjusted < SIGNIFICANT
    text = _signed(difference.difference)
    text.append("*" if significant else " ")
    return text


def _signed(difference: float | None) -> Text:
    text = signed(difference)
    return Text(text, style=_BETTER if text.startswith("+") else _WORSE if text.startswith("-") else "")
