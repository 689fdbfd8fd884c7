"""The leaderboard as a page, with its plot of accuracy over cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lvlm_ad.leaderboard import COLUMNS
from lvlm_ad.leaderboard.columns import INTERVALS, MARKS, OWN_MAPS, REFERENCE_ROWS, heads_in_words, ranks_in_words
from lvlm_ad.leaderboard.decision_columns import decision_notes
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.shown_columns import shown_columns
from lvlm_ad.metrics.front import front
from lvlm_ad.report.page import render
from lvlm_ad.report.plots import (
    DASHED,
    DEFECT,
    FONT_SIZE,
    GOOD,
    INK,
    MUTED,
    PAPER,
    Plot,
    any_script,
    as_plot,
    new_axes,
    plot_text,
)
from lvlm_ad.runs import metric_title

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board, Column, Entry, Group

BOARD_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "filter.js")
_FILTERS = {"trained_on": "Trained on", "shots": "Shots", "method": "Method"}
"""Condition of a published row -> its name in the filter."""

_BY_CATEGORY = ("image_auroc", "pixel_auroc", "pixel_aupro")
_KINDS = {"ranked": "ranked", "apart": "not ranked", "frame": "reference", "published": "published"}
"""Kind of row -> its name in the filter."""

# The plot.
_SIZES = {False: (8.4, 4.3), True: (3.9, 3.6)}
"""Width and height in inches, for wide and for narrow screens."""

_NAMES_AT_A_POINT = 2
"""Names at one point; more are counted."""

_NAMED_POINTS = 12
"""If there are more points, only those on the front are named."""

_CLOSE = 0.06
"""Fraction of the height: the names of lines closer than this would overlap."""

_BACKGROUND = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}

Point = tuple[float, float]
"""Cost of an image in USD, and image AUROC in percent."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in pixels."""


def board_page(
    board: Board,
    runs: Path | None = None,
    folder: Path | None = None,
    columns: Sequence[Column] = COLUMNS,
    left_out: Sequence[str] = (),
) -> str:
    """Return a leaderboard as one self-contained HTML file.

    A row leads to its report in the folder ``runs`` if there is one (None: no links). ``folder`` is where the page will
    be (None: in ``runs``). ``left_out`` says which runs the leaderboard leaves out, as ``left_out_notes`` does.

    Example:
        >>> from lvlm_ad.leaderboard import make_board
        >>> board_page(make_board([])).startswith("<!doctype html>")
        True
    """
    return render(
        "leaderboard.html",
        BOARD_SCRIPTS,
        title="lvlm-ad: published results" if is_published(board) else "lvlm-ad leaderboard",
        made="",
        left_out=left_out,
        **board_values(board, lambda group: report_links(group.entries, runs, folder), columns),
    )


def is_published(board: Board) -> bool:
    """Whether all tables of a leaderboard are of published results."""
    return bool(board.groups) and all(group.conditions.get("published") for group in board.groups)


def board_values(
    board: Board,
    links_of: Callable[[Group], Mapping[str, str]],
    columns: Sequence[Column] = COLUMNS,
) -> dict[str, Any]:
    """Return what ``boards.html`` and the templates around it need; ``#group1`` leads to the first table.

    Args:
        board: the leaderboard.
        links_of: table -> run -> the address to which its row leads.
        columns: those to show; the usual ones if they are ``COLUMNS``.
    """
    published = is_published(board)
    shown = list(dict.fromkeys(one for group in board.groups for one in shown_columns([group], columns)))
    entries = [entry for group in board.groups for entry in group.entries]
    return {
        "published": published,
        "has_runs": any(entry.run for entry in entries),
        "groups": [
            _group(group, links_of(group), number, columns) for number, group in enumerate(board.groups, start=1)
        ],
        "conditions": _conditions(entries) if published else [],
        "ranks": ranks_in_words(entries),
        "explanations": [
            f"{heads_in_words(shown)} Click a heading to sort.",
            *(() if published else (f"{MARKS} Nothing else in the rows of a table is bold or underlined.",)),
            *((INTERVALS, REFERENCE_ROWS, OWN_MAPS) if any(entry.run for entry in entries) or not published else ()),
            *metric_notes(shown),
            *decision_notes(entries, columns),
        ],
    }


def _conditions(entries: Sequence[Entry]) -> list[tuple[str, str, list[str]]]:
    """Return what rows of published results can be filtered by: the name of a condition, its heading, its values."""
    found = []
    for name, head in _FILTERS.items():
        texts = [str(entry.conditions[name]) for entry in entries if name in entry.conditions]
        values = {value for text in texts for value in text.split(", ")}
        found.append((name, head, sorted(values, key=lambda one: (len(one), one) if one.isdigit() else (99, one))))
    return [one for one in found if one[2]]


def report_links(entries: Sequence[Entry], runs: Path | None, folder: Path | None) -> dict[str, str]:
    """Return run -> address of its report, for reports that exist."""
    if runs is None:
        return {}
    pages = {entry.run: runs / entry.run / "report" / "index.html" for entry in entries if entry.run}
    start = (folder or runs).resolve()
    return {
        run: quote(os.fsencode(os.path.relpath(page.resolve(), start).replace(os.sep, "/")))
        for run, page in pages.items()
        if page.is_file()
    }


def _group(group: Group, links: Mapping[str, str], number: int, columns: Sequence[Column]) -> dict[str, Any]:
    kinds = {entry.kind for entry in group.entries}
    measured = [entry for entry in group.entries if entry.kind != "published"]
    plots = [cost_plot(measured, f"cost-{number}{'-narrow' * narrow}", narrow=narrow) for narrow in (False, True)]
    # A row's number ties it to its note and to its lines by category: all three are filtered together.
    numbers = {id(entry): at for at, entry in enumerate(group.entries)}
    return {
        "of": group,
        "number": number,
        "columns": shown_columns([group], columns),
        "links": links,
        "kinds": [(kind, name) for kind, name in _KINDS.items() if kind in kinds],
        "sections": [
            (heading, [(numbers[id(entry)], entry) for entry in entries]) for heading, entries in group.sections()
        ],
        # The row itself shows the reason.
        "notes": group.notes(reasons=False),
        "plots": [plot for plot in plots if plot is not None],
        "by_category": _by_category(group),
    }


def _by_category(group: Group) -> list[dict[str, Any]]:
    """Return tables of a metric by row and category; a cell's shade goes from 0 at "low" to 1 at "low" + "span"."""
    categories = group.conditions["categories"]
    tables = []
    reported = dict.fromkeys(name for entry in group.entries for name in entry.reported)
    for metric in dict.fromkeys((*reported, *_BY_CATEGORY)) if len(categories) > 1 else ():
        rows = [
            (number, entry.name, [entry.categories.get(name, {}).get(metric) for name in categories])
            for number, entry in group.rows()
            if entry.kind != "published"
        ]
        known = [value for _, _, values in rows for value in values if value is not None]
        if known:
            scale = {"low": min(known), "span": max(known) - min(known) or 1}
            tables.append({"title": metric_title(metric), "categories": categories, "rows": rows, **scale})
    return tables


def cost_plot(entries: Sequence[Entry], name: str = "cost", *, narrow: bool = False) -> Plot | None:
    """Draw image AUROC over the cost of an image, with the front of the ranked rows as observed, and as it may be.

    A line joins the observed front: rows that no other row beats in one without being beaten in the other. A point is
    filled where a row may be on the front, grey where another row is surely better and costs no more, and hollow
    where a row is not ranked. Reference rows are lines. A row without any usable answer is left out, as its AUROC says
    nothing. None if no row costs anything.
    """
    drawn = [entry for entry in entries if entry.metrics["image_auroc"] is not None and entry.coverage != 0]
    lines = {entry.name: _auroc(entry) for entry in drawn if entry.kind == "frame"}
    points: dict[Point, list[Entry]] = {}
    for entry in drawn:
        if entry.kind != "frame" and entry.usd_per_image is not None:
            points.setdefault((entry.usd_per_image, _auroc(entry)), []).append(entry)
    if not any(cost > 0 for cost, _ in points):
        return None
    figure, axes = new_axes("cost of an image, USD", "image AUROC, %", size=_SIZES[narrow])
    _scale_costs(axes, [cost for cost, _ in points])
    observed = _observed_front([point for point, rows in points.items() if any(row.kind == "ranked" for row in rows)])
    _draw_front(axes, observed)
    for point, rows in points.items():
        axes.scatter(*point, s=28, zorder=3, **_point_style(rows))
    axes.margins(y=0.12)
    longest = 16 if narrow else 28
    _draw_lines(axes, lines, longest)
    named = {point: rows for point, rows in points.items() if len(points) <= _NAMED_POINTS or point in observed}
    with any_script():
        figure.draw_without_rendering()
    _write_names(axes, {point: _label(rows, longest) for point, rows in named.items()})
    alt = f"Image AUROC over the cost of an image: {_in_words(points, lines, observed)}."
    return as_plot(name, "Accuracy against cost", alt, figure)


def _point_style(rows: Sequence[Entry]) -> dict[str, str]:
    """Return the colours of a point of one or several rows."""
    ranked = [row for row in rows if row.kind == "ranked"]
    if not ranked:
        return {"facecolor": PAPER, "edgecolor": GOOD}
    colour = GOOD if any(row.may_be_on_front is not False for row in ranked) else MUTED
    return {"facecolor": colour, "edgecolor": colour}


def _auroc(entry: Entry) -> float:
    return 100 * (entry.metrics["image_auroc"] or 0.0)


def _scale_costs(axes: Any, costs: Sequence[float]) -> None:
    """Make the axis of costs logarithmic, with room for what costs nothing."""
    least = min(cost for cost in costs if cost > 0)
    if min(costs) == 0:
        axes.set_xscale("symlog", linthresh=least)
        axes.set_xlim(-0.3 * least, 4 * max(costs))
    else:
        axes.set_xscale("log")
        axes.set_xlim(least / 2.5, 4 * max(costs))
    # Not as powers of ten, whose exponents would be too small to read.
    axes.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
    axes.xaxis.set_minor_formatter(lambda cost, _: "")  # noqa: ARG005 - Matplotlib gives both


def _observed_front(points: Sequence[Point]) -> set[Point]:
    """Return the points that no other point beats: cheaper or better, and in neither worse."""
    on_front = front([auroc for _, auroc in points], [cost for cost, _ in points])
    return {point for point, is_on in zip(points, on_front, strict=True) if is_on}


def _draw_front(axes: Any, points: set[Point]) -> None:
    """Draw the best image AUROC that each cost buys."""
    if points:
        costs, aurocs = zip(*sorted(points), strict=True)
        axes.step([*costs, axes.get_xlim()[1]], [*aurocs, aurocs[-1]], where="post", color=DEFECT, lw=1.2)


def _draw_lines(axes: Any, lines: Mapping[str, float], longest: int) -> None:
    """Draw reference rows as lines with their names at the right; side by side if lines are close."""
    low, high = axes.get_ylim()
    x, below = 1.0, -1.0
    for name, auroc in sorted(lines.items(), key=lambda line: line[1]):
        axes.axhline(auroc, zorder=1, **DASHED)
        x = x - 0.18 if auroc - below < _CLOSE * (high - low) else 0.99
        below = auroc
        style = {"ha": "right", "va": "center", "fontsize": FONT_SIZE, "color": MUTED, "bbox": _BACKGROUND}
        axes.text(x, auroc, plot_text(_cut(name, longest)), transform=axes.get_yaxis_transform(), **style)


def _label(rows: Sequence[Entry], longest: int) -> str:
    more = len(rows) - _NAMES_AT_A_POINT
    lines = [plot_text(_cut(row.name, longest)) for row in rows[:_NAMES_AT_A_POINT]]
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 3]}..."


def _write_names(axes: Any, labels: Mapping[Point, str]) -> None:
    """Write names beside their points, each at the corner where it covers the fewest other names and points."""
    dot = axes.figure.dpi / 72
    pixels = {point: tuple(axes.transData.transform(point)) for point in labels}
    taken: list[Box] = [(x - 4 * dot, y - 4 * dot, x + 4 * dot, y + 4 * dot) for x, y in pixels.values()]
    for point, (x, y) in sorted(pixels.items(), key=lambda item: item[1][1]):
        lines = labels[point].split("\n")
        # Letters are about half as wide as high.
        width, height = 0.55 * FONT_SIZE * dot * max(map(len, lines)), 1.25 * FONT_SIZE * dot * len(lines)
        corners: dict[tuple[bool, bool], Box] = {}
        for right, up in ((True, True), (True, False), (False, True), (False, False)):
            left, bottom = x + 6 * dot if right else x - 6 * dot - width, y + 3 * dot if up else y - 3 * dot - height
            corners[right, up] = (left, bottom, left + width, bottom + height)
        covered = {
            corner: sum(_overlap(box, other) for other in taken) + 9 * (box[0] < axes.bbox.x0 or box[2] > axes.bbox.x1)
            for corner, box in corners.items()
        }
        right, up = min(covered, key=lambda corner: covered[corner])
        taken.append(corners[right, up])
        axes.annotate(
            labels[point],
            point,
            xytext=(6 if right else -6, 3 if up else -3),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=FONT_SIZE,
            color=INK,
            bbox=_BACKGROUND,
        )


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _in_words(points: Mapping[Point, Sequence[Entry]], lines: Mapping[str, float], observed: set[Point]) -> str:
    texts = []
    for point, rows in sorted(points.items(), key=lambda item: item[0]):
        cost, auroc = point
        names = ", ".join(f"{row.name}{_place_in_words(row, on_front=point in observed)}" for row in rows)
        texts.append(f"{names} {auroc:.1f} % at {cost:.3g} USD")
    return "; ".join([*texts, *(f"{name} {auroc:.1f} %" for name, auroc in lines.items())])


def _place_in_words(row: Entry, *, on_front: bool) -> str:
    if row.kind != "ranked":
        return " (not ranked)"
    if on_front:
        return " (on the front)"
    return " (surely not on the front)" if row.may_be_on_front is False else " (may be on the front)"
