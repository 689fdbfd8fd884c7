"""The metrics of a data set: means over its categories, with intervals and ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.metrics.intervals import mean_intervals
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import Status

if TYPE_CHECKING:
    from lvlm_ad.evaluate.measure import CategoryResult

__all__ = ["answer_counts", "summary"]

_SHOWN = 5
"""Categories that a reason names."""


def summary(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average each metric over the categories in which it is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean). With resamples also "interval" (name -> [low, high], the categories being fixed) and, for several
        categories, "interval_over_categories" (the categories being drawn, too). Where answers are missing, "range".
    """
    entries = {category: one.metrics for category, one in categories.items()}
    mean: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name in (*METRIC_NAMES, "pixel_aupro_rescaled"):
        values = {category: one[name] for category, one in entries.items() if one.get(name) is not None}
        mean[name] = float(np.mean(list(values.values()))) if values else None
        absent = [category for category in entries if category not in values]
        if absent and name in METRIC_NAMES:
            some = ", ".join([*absent[:_SHOWN], *(["..."] if len(absent) > _SHOWN else [])])
            reason = entries[absent[0]]["undefined"][name]
            where = f"undefined in {len(absent)} of {len(entries)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(values)}; {where}" if values else where
    if any("interval" in one for one in entries.values()):
        mean |= mean_intervals({category: one.samples for category, one in categories.items()})
    if any("range" in one for one in entries.values()):
        mean["range"] = _mean_ranges(entries.values())
    totals = {name: sum(one[name] for one in entries.values()) for name in ("n_images", "n_measured")}
    return {**mean, **totals, "undefined": undefined}


def _mean_ranges(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Average the bounds of each metric; where no answer is missing, both bounds are the value itself."""
    ranges = {}
    for name in METRIC_NAMES:
        bounds = [
            one["range"].get(name) if "range" in one else [one[name]] * 2
            for one in entries
            if one.get(name) is not None
        ]
        if bounds and None not in bounds:
            ranges[name] = [float(np.mean([bound[end] for bound in bounds])) for end in (0, 1)]
    return ranges


def answer_counts(statuses: Mapping[Status, int], usable: int) -> dict[str, int]:
    """Count the images of a run by status, statuses without an image included.

    Args:
        statuses: how many images have each status.
        usable: how many images have a score.
    """
    counts = {status: statuses.get(status, 0) for status in get_args(Status)}
    return {"total": sum(counts.values()), **counts, "usable": usable}
