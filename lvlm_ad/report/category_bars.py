"""Figures for papers: a metric by category with intervals, models side by side, and scores against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.leaderboard.columns import shortened
from lvlm_ad.report.board_page import cost_plot
from lvlm_ad.report.plots import DASHED, INK, Plot, any_script, as_plot, new_axes, plot_text, save_plots
from lvlm_ad.runs import METRIC_TITLES

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.leaderboard import Board, Entry, Group

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#404040", "#bdbdbd")
"""Colour-blind readers can tell them apart (Okabe and Ito, 2008)."""

_MOST = len(_COLOURS)
_METRICS = ("image_auroc", "pixel_auroc")
_BARS_IN_A_COLUMN = 14
_NAME_KEPT = 44
"""Characters of a name in the legend."""
_TICK_KEPT = 16
"""Characters of a category's name below its bars."""
_MEAN = "mean"
_KINDS = ("ranked", "apart")
_CHANCE = {"image_auroc": 50, "pixel_auroc": 50}
"""Metric -> what guessing gives, in percent; the chance level of the others depends on the data."""


@dataclass(frozen=True)
class Bars:
    """The bars of one model, in one colour.

    Attributes:
        name: the model.
        values: category, or "mean", -> fraction in 0..1; None if undefined.
        intervals: category, or "mean", -> the ends of its 95 % interval; missing without one.
    """

    name: str
    values: Mapping[str, float | None]
    intervals: Mapping[str, Sequence[float]]


def save_board_figures(board: Board, folder: Path, *, reference_rows: bool = False) -> list[str]:
    """Write the figures of each group of a leaderboard as PDF and PNG.

    Args:
        board: the leaderboard.
        folder: where to write; it is made if it is missing.
        reference_rows: whether reference rows have bars, too.

    Returns:
        The names of models without bars: there is room for eight in a figure.
    """
    plots: list[Plot] = []
    left_out: list[str] = []
    for number, group in enumerate(board.groups, 1):
        end = f"-{number}" if len(board.groups) > 1 else ""
        entries = [one for one in group.entries if one.kind in (*_KINDS, *["frame"] * reference_rows)]
        left_out += [one.name for one in entries[_MOST:]]
        metrics = dict.fromkeys([*_METRICS, board.sort])
        drawn = [
            category_bars(_bars(group, entries[:_MOST], metric), metric, f"{_file(metric)}{end}") for metric in metrics
        ]
        drawn.append(cost_plot([one for one in group.entries if one.kind != "published"], f"cost{end}"))
        plots += [plot for plot in drawn if plot is not None]
    save_for_papers(plots, folder)
    return left_out


def run_bars(name: str, metrics: Mapping[str, Any]) -> list[Plot]:
    """Draw each metric of a run by category; ``metrics`` is the content of metrics.json."""
    measures = {**metrics["categories"], **({_MEAN: metrics["mean"]} if len(metrics["categories"]) > 1 else {})}
    plots = []
    for metric in METRIC_TITLES:
        values = {category: of.get(metric) for category, of in measures.items()}
        ends = {
            category: of["interval"][metric] for category, of in measures.items() if metric in of.get("interval", {})
        }
        plots.append(category_bars([Bars(name, values, ends)], metric, _file(metric)))
    return [plot for plot in plots if plot is not None]


def save_for_papers(plots: Sequence[Plot], folder: Path) -> None:
    """Write plots as PDF and PNG; the PDF holds its letters as text (TrueType), as publishers ask."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import

    with rc_context({"pdf.fonttype": 42}), any_script():
        save_plots(plots, folder)


def category_bars(rows: Sequence[Bars], metric: str, name: str) -> Plot | None:
    """Draw a metric by category, one bar for each model; a line shows each 95 % interval. None without a value.

    Args:
        rows: the models, at most eight.
        metric: its name, such as "image_auroc".
        name: the name of the figure's file.
    """
    categories = list(dict.fromkeys(category for row in rows for category in row.values))
    if not any(value is not None for row in rows for value in row.values.values()):
        return None
    places = np.arange(len(categories), dtype=float)
    # The mean stands a little apart.
    places[-1] += 0.4 * (categories[-1] == _MEAN)
    width = 0.84 / len(rows)
    figure, axes = new_axes("", f"{METRIC_TITLES[metric]}, %", size=_size(rows, len(categories)))
    for at, row in enumerate(rows):
        centres = places + width * (at - (len(rows) - 1) / 2)
        _draw(axes, centres, width, row, categories, _COLOURS[at])
    if len(rows) > 1:
        for row, colour in zip(rows, _COLOURS, strict=False):
            # A bar that is missing in the first category would leave the legend without its colour.
            axes.plot([], [], marker="s", linestyle="", color=colour, label=plot_text(shortened(row.name, _NAME_KEPT)))
    if metric in _CHANCE:
        axes.axhline(_CHANCE[metric], zorder=3, **DASHED)
    with any_script():
        axes.set_xticks(
            places, [plot_text(shortened(one, _TICK_KEPT)) for one in categories], rotation=40, ha="right", color=INK
        )
    axes.set_xlim(-0.6, places[-1] + 0.6)
    axes.set_ylim(0, 100)
    axes.grid(visible=False, axis="x")
    alt = f"{METRIC_TITLES[metric]} by category: {'; '.join(_in_words(row) for row in rows)}."
    return as_plot(name, f"{METRIC_TITLES[metric]} by category", alt, figure)


def _draw(axes: Any, centres: Any, width: float, row: Bars, categories: Sequence[str], colour: str) -> None:
    known = [at for at, category in enumerate(categories) if row.values.get(category) is not None]
    heights = [100 * (row.values[categories[at]] or 0.0) for at in known]
    axes.bar(centres[known], heights, 0.92 * width, color=colour)
    for at, height in zip(known, heights, strict=True):
        if ends := row.intervals.get(categories[at]):
            axes.plot([centres[at]] * 2, [100 * end for end in ends], color=INK, linewidth=0.9, zorder=4)
            axes.plot([centres[at]], [height], marker="_", color=INK, markersize=3, zorder=4)


def _size(rows: Sequence[Bars], categories: int) -> tuple[float, float]:
    """Return the inches of a figure: one column of a page for few bars and short names, else both."""
    narrow = len(rows) * categories <= _BARS_IN_A_COLUMN and max(len(row.name) for row in rows) <= _TICK_KEPT
    return (3.9 if narrow else 8.0), 2.9 + 0.12 * len(rows)


def _bars(group: Group, entries: Sequence[Entry], metric: str) -> list[Bars]:
    categories: Sequence[str] = group.conditions["categories"]
    several = len(categories) > 1
    rows = []
    for entry in entries:
        values = {name: entry.categories.get(name, {}).get(metric) for name in categories}
        ends = {name: of[metric] for name, of in entry.category_intervals.items() if metric in of}
        if several:
            values[_MEAN] = entry.metrics[metric]
            ends |= {_MEAN: entry.intervals[metric]} if metric in entry.intervals else {}
        rows.append(Bars(entry.name, values, ends))
    return rows


def _file(metric: str) -> str:
    return f"bars-{metric.replace('_', '-')}"


def _in_words(row: Bars) -> str:
    values = (f"{name} {100 * value:.1f}" for name, value in row.values.items() if value is not None)
    return f"{row.name}: {', '.join(values)}"
