"""What the rows of a leaderboard say, as text: heads, cells, and the legend of both."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.sections import lacks_intervals
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.leaderboard.board import Entry, Group

__all__ = ["HEADERS", "NO_INTERVAL", "cells", "interval", "legend", "plain", "usd"]

HEADERS = (
    "#",
    "Model",
    "I-AUROC",
    "I-AP",
    "I-F1",
    "P-AUROC",
    "P-AP",
    "P-F1",
    "PRO",
    "Answered",
    "USD",
    "USD/image",
    "USD/point",
)
"""Column heads of tables; I is image, P is pixel, F1 is F1-max, PRO is AUPRO at a false-positive rate up to 0.3."""

_LEGEND = (
    "Percent. I: image, P: pixel, F1: F1-max, PRO: AUPRO up to a false-positive rate of 0.3. Behind the value that "
    "ranks: its 95 % interval over test images. Rank: 1 + the number of rows that are surely better, their intervals "
    "apart. A point is one percent of I-AUROC above 50."
)

NO_INTERVAL = "No interval: --resamples 0, or a category with only one good or one defective image."
"""Why a value has none."""

_UNKNOWN = "\N{EN DASH}"
"""In a cell: unknown or undefined."""


def plain(text: str) -> str:
    """Drop control characters: names and notes may come from a stranger's run folder."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", " ", text)


def cells(entry: Entry, sort: str = "") -> list[str]:
    """Return a row's cells in the order of ``HEADERS``; fractions as percent with one decimal, as papers print them.

    Behind the value of the metric ``sort`` stands its interval; without ``sort`` there is none.
    """
    places = {"ranked": str(entry.rank or _UNKNOWN), "frame": "frame", "apart": _UNKNOWN, "published": "publ."}
    place = places[entry.kind]
    metrics = [_percent(entry.metrics[name]) for name in METRIC_NAMES]
    if sort in entry.intervals:
        metrics[METRIC_NAMES.index(sort)] += f" ({interval(entry, sort)})"
    coverage = "" if entry.coverage is None else _coverage(entry.coverage)
    if entry.kind == "published":
        return [place, plain(entry.name), *metrics, coverage, "", "", ""]
    costs = (entry.cost_usd, entry.usd_per_image, entry.usd_per_point)
    return [place, plain(entry.name), *metrics, coverage, *map(usd, costs)]


def interval(entry: Entry, metric: str) -> str:
    """Return the ends of a metric's interval in percent; empty without one."""
    return "\N{EN DASH}".join(_end(end) for end in entry.intervals.get(metric, ()))


def _end(value: float) -> str:
    """Write an end in whole percent, and with a decimal where that would claim what only 100 % is."""
    whole = f"{100 * value:.0f}"
    return whole if whole != "100" or value == 1 else f"{min(100 * value, 99.9):.1f}"


def usd(value: float | None) -> str:
    """Write an amount with two digits that say something: 12.34, 0.012, 0.00045; a dash where it is unknown."""
    if value is None:
        return _UNKNOWN
    return f"{value:.2f}" if value >= 1 or value == 0 else format(Decimal(f"{value:.2g}"), "f")


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.1f}"


def _coverage(value: float) -> str:
    # Rounding must not claim that every image was answered.
    return "100 %" if value == 1 else f"{min(100 * value, 99.9):.1f} %"


def legend(groups: Sequence[Group], sort: str) -> str:
    """Say what the columns mean, and where an interval is missing why."""
    lacking = any(lacks_intervals(group, sort) for group in groups)
    return f"{_LEGEND} {NO_INTERVAL}" if lacking else _LEGEND
