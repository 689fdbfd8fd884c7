"""Figures for papers: a metric by category with intervals, models side by side, and scores against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.leaderboard.columns import shortened
from lvlm_ad.report.board_page import cost_plot
from lvlm_ad.report.plots import DASHED, INK, Plot, any_script, as_plot, in_percent, new_axes, plot_text, save_plots
from lvlm_ad.runs import METRIC_TITLES, metric_title

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


Row = tuple[str, Mapping[str, Mapping[str, Any]]]
"""A model's name, and for each category, or "mean", its metrics and their "interval" as in metrics.json."""


def save_board_figures(board: Board, folder: Path, *, reference_rows: bool = False) -> list[str]:
    """Write the figures of each group of a leaderboard as PDF and PNG; reference rows have bars only on request.

    Returns:
        The names of models without bars: there is room for eight in a figure.
    """
    plots: list[Plot] = []
    left_out: list[str] = []
    for number, group in enumerate(board.groups, 1):
        end = f"-{number}" if len(board.groups) > 1 else ""
        entries = [one for one in group.entries if one.kind in (*_KINDS, *["frame"] * reference_rows)]
        left_out += [one.name for one in entries[_MOST:]]
        rows = [(one.name, _by_category(group, one)) for one in entries[:_MOST]]
        drawn = [
            category_bars(rows, metric, f"{_file(metric)}{end}") for metric in dict.fromkeys([*_METRICS, board.sort])
        ]
        drawn.append(cost_plot([one for one in group.entries if one.kind != "published"], f"cost{end}"))
        plots += [plot for plot in drawn if plot is not None]
    save_for_papers(plots, folder)
    return left_out


def run_bars(name: str, metrics: Mapping[str, Any]) -> list[Plot]:
    """Draw each metric of a run by category; ``metrics`` is the content of metrics.json."""
    measures = {**metrics["categories"], **({_MEAN: metrics["mean"]} if len(metrics["categories"]) > 1 else {})}
    plots = (category_bars([(name, measures)], metric, _file(metric)) for metric in METRIC_TITLES)
    return [plot for plot in plots if plot is not None]


def save_for_papers(plots: Sequence[Plot], folder: Path) -> None:
    """Write plots as PDF and PNG; the PDF holds its letters as text (TrueType), as publishers ask."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import

    with rc_context({"pdf.fonttype": 42}), any_script():
        save_plots(plots, folder)


def category_bars(rows: Sequence[Row], metric: str, name: str) -> Plot | None:
    """Draw a metric by category, one bar for each model, eight at most; a line shows each 95 % interval.

    ``name`` is the name of the figure's file. None without a value.
    """
    categories = list(dict.fromkeys(category for _, measures in rows for category in measures))
    if not any(one.get(metric) is not None for _, measures in rows for one in measures.values()):
        return None
    places = np.arange(len(categories), dtype=float)
    # The mean stands a little apart.
    places[-1] += 0.4 * (categories[-1] == _MEAN)
    width = 0.84 / len(rows)
    figure, axes = new_axes("", f"{metric_title(metric)}, %", size=_size([model for model, _ in rows], len(categories)))
    for at, (model, measures) in enumerate(rows):
        centres = places + width * (at - (len(rows) - 1) / 2)
        for centre, category in zip(centres, categories, strict=True):
            _draw(axes, centre, width, measures.get(category, {}), metric, _COLOURS[at])
        if len(rows) > 1:
            # A bar that is missing in the first category would leave the legend without its colour.
            label = plot_text(shortened(model, _NAME_KEPT))
            axes.plot([], [], marker="s", linestyle="", color=_COLOURS[at], label=label)
    if metric in _CHANCE:
        axes.axhline(_CHANCE[metric], zorder=3, **DASHED)
    with any_script():
        names = [plot_text(shortened(one, _TICK_KEPT)) for one in categories]
        axes.set_xticks(places, names, rotation=40, ha="right", color=INK)
    axes.set_xlim(-0.6, places[-1] + 0.6)
    axes.set_ylim(0, 100)
    axes.grid(visible=False, axis="x")
    words = "; ".join(f"{model}: {in_percent(measures, metric)}" for model, measures in rows)
    title = f"{metric_title(metric)} by category"
    return as_plot(name, title, f"{title}: {words}.", figure)


def _draw(axes: Any, centre: float, width: float, measures: Mapping[str, Any], metric: str, colour: str) -> None:
    """Draw a bar and its interval."""
    if measures.get(metric) is None:
        return
    height = 100 * measures[metric]
    axes.bar([centre], [height], 0.92 * width, color=colour)
    if ends := measures.get("interval", {}).get(metric):
        axes.plot([centre] * 2, [100 * end for end in ends], color=INK, linewidth=0.9, zorder=4)
        axes.plot([centre], [height], marker="_", color=INK, markersize=3, zorder=4)


def _size(models: Sequence[str], categories: int) -> tuple[float, float]:
    """Return the inches of a figure: one column of a page for few bars and short names, else both."""
    narrow = len(models) * categories <= _BARS_IN_A_COLUMN and max(map(len, models)) <= _TICK_KEPT
    return (3.9 if narrow else 8.0), 2.9 + 0.12 * len(models)


def _by_category(group: Group, entry: Entry) -> dict[str, Mapping[str, Any]]:
    categories: Sequence[str] = group.conditions["categories"]
    measures: dict[str, Mapping[str, Any]] = {
        name: {**entry.categories.get(name, {}), "interval": entry.category_intervals.get(name, {})}
        for name in categories
    }
    return {**measures, _MEAN: {**entry.metrics, "interval": entry.intervals}} if len(categories) > 1 else measures


def _file(metric: str) -> str:
    return f"bars-{metric.replace('_', '-')}"
