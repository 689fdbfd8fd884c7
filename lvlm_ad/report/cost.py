"""The plot of accuracy against cost, with the front that no ranked row beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.report.drawing import DEFECT, GOOD, INK, MUTED, PAPER, Plot, finished, label, new_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.leaderboard import Entry

__all__ = ["cost_plot"]

_SIZES = {False: (7.0, 3.6), True: (3.7, 3.4)}
"""Whether it is for a narrow screen -> inches, at which its letters can be read."""

_NAMED = 2
"""Names that stand at one point; more are counted."""

_LABELLED = 12
"""Points that can all have a name without lying on each other."""

_LETTER = 9
"""Height of letters in points."""

_CLOSE = 0.06
"""Of the ordinate: lines nearer than this would have their names on each other."""

_BEHIND = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}

Place = tuple[float, float]
"""Cost of an image in USD, and image AUROC in percent."""


def cost_plot(entries: Sequence[Entry], name: str = "cost", *, narrow: bool = False) -> Plot | None:
    """Draw image AUROC over the cost of an image.

    Frame rows are levels, not points: chance and contrast cost nothing, and the oracle is no method. Rows that are not
    ranked are points beside the front. A row without any usable answer is not drawn: its AUROC is nobody's.

    Args:
        entries: rows of one table.
        name: see ``Plot``; of its own for each plot of a page, whose elements it names.
        narrow: for a telephone.

    Returns:
        None where no row was paid for.
    """
    drawn = [entry for entry in entries if entry.metrics["image_auroc"] is not None and entry.coverage != 0]
    levels = {entry.name: _auroc(entry) for entry in drawn if entry.kind == "frame"}
    points: dict[Place, list[Entry]] = {}
    for entry in drawn:
        if entry.kind != "frame" and entry.usd_per_image is not None:
            points.setdefault((entry.usd_per_image, _auroc(entry)), []).append(entry)
    if not any(cost > 0 for cost, _ in points):
        return None
    figure, axes = new_axes("cost of an image, USD", "image AUROC, %", size=_SIZES[narrow])
    _scale(axes, [cost for cost, _ in points])
    ranked = {place for place, at in points.items() if any(entry.kind == "ranked" for entry in at)}
    front = _front(axes, ranked)
    for place in points:
        axes.scatter(*place, facecolor=GOOD if place in ranked else PAPER, edgecolor=GOOD, s=28, zorder=3)
    axes.margins(y=0.12)
    _draw_levels(axes, levels)
    # Of many rows only those on the front are named; the table has the others.
    named = {place: at for place, at in points.items() if len(points) <= _LABELLED or place in front}
    texts = {place: _label([entry.name for entry in at], 16 if narrow else 28) for place, at in named.items()}
    figure.draw_without_rendering()
    _write(axes, texts)
    return finished(
        name, "Accuracy against cost", f"Image AUROC over the cost of an image: {_told(points, levels)}.", figure
    )


def _auroc(entry: Entry) -> float:
    return 100 * (entry.metrics["image_auroc"] or 0.0)


def _scale(axes: Any, costs: Sequence[float]) -> None:
    """Set the axis of costs: logarithmic, with a place for what costs nothing."""
    least = min(cost for cost in costs if cost > 0)
    if min(costs) == 0:
        axes.set_xscale("symlog", linthresh=least)
        axes.set_xlim(-0.3 * least, 4 * max(costs))
    else:
        axes.set_xscale("log")
        axes.set_xlim(least / 2.5, 4 * max(costs))


def _front(axes: Any, ranked: set[Place]) -> set[Place]:
    """Draw the front of the ranked rows and return the points on it."""
    if not ranked:
        return set()
    places = sorted(ranked, key=lambda place: (place[0], -place[1]))
    best = np.maximum.accumulate([auroc for _, auroc in places])
    costs = [*(cost for cost, _ in places), axes.get_xlim()[1]]
    axes.step(costs, [*best, best[-1]], where="post", color=DEFECT, lw=1.2)
    return {place for place, most in zip(places, best, strict=True) if place[1] == most}


def _draw_levels(axes: Any, levels: Mapping[str, float]) -> None:
    """Draw frame rows as lines, their names at the right, side by side where lines are close."""
    low, high = axes.get_ylim()
    across, before = 1.0, -1.0
    for name, auroc in sorted(levels.items(), key=lambda one: one[1]):
        axes.axhline(auroc, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        across = across - 0.18 if auroc - before < _CLOSE * (high - low) else 0.99
        before = auroc
        at = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
        axes.text(across, auroc, label(name), **at, fontsize=8, color=MUTED, bbox=_BEHIND)


def _label(names: Sequence[str], kept: int) -> str:
    lines = [label(name if len(name) <= kept else f"{name[: kept - 3]}...") for name in names[:_NAMED]]
    more = len(names) - _NAMED
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def _write(axes: Any, texts: Mapping[Place, str]) -> None:
    """Write names beside their points, each in the first corner where it covers neither a name nor a point.

    Letters are taken to be half as wide as high: what fits need not be measured to the last.
    """
    points = {place: tuple(axes.transData.transform(place)) for place in texts}
    dot = axes.figure.dpi / 72
    edge = axes.bbox
    taken = [(x - 4 * dot, y - 4 * dot, x + 4 * dot, y + 4 * dot) for x, y in points.values()]
    for place, (x, y) in sorted(points.items(), key=lambda one: one[1][1]):
        lines = texts[place].split("\n")
        width, height = 0.55 * _LETTER * dot * max(map(len, lines)), 1.25 * _LETTER * dot * len(lines)
        boxes = {}
        for right, up in ((True, True), (True, False), (False, True), (False, False)):
            left = x + 6 * dot if right else x - 6 * dot - width
            bottom = y + 3 * dot if up else y - 3 * dot - height
            boxes[right, up] = (left, bottom, left + width, bottom + height)
        covered = {
            corner: sum(_overlap(box, other) for other in taken) + 9 * (box[0] < edge.x0 or box[2] > edge.x1)
            for corner, box in boxes.items()
        }
        right, up = min(covered, key=lambda corner: covered[corner])
        taken.append(boxes[right, up])
        axes.annotate(
            texts[place],
            place,
            xytext=(6 if right else -6, 3 if up else -3),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if up else "top",
            fontsize=_LETTER,
            color=INK,
            bbox=_BEHIND,
        )


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _told(points: Mapping[Place, Sequence[Entry]], levels: Mapping[str, float]) -> str:
    told = []
    for (cost, auroc), at in sorted(points.items(), key=lambda one: one[0]):
        names = ", ".join(entry.name if entry.kind == "ranked" else f"{entry.name} (not ranked)" for entry in at)
        told.append(f"{names} {auroc:.1f} % at {cost:.3g} USD")
    return "; ".join([*told, *(f"{name} {auroc:.1f} %" for name, auroc in levels.items())])
