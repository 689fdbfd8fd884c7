"""The metrics of a data set: means over its categories, with intervals and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.metrics.intervals import mean_intervals
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import Status

if TYPE_CHECKING:
    from lvlm_ad.evaluate.measure import CategoryResult

__all__ = ["answer_counts", "summary"]


def summary(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average over the categories in which a metric is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean), where images were resampled "interval" (name -> [low, high], the categories being fixed) and
        "interval_over_categories" (the same where categories are drawn too; none for a single one), and perhaps
        "range".
    """
    found = {category: one.metrics for category, one in categories.items()}
    mean: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name in (*METRIC_NAMES, "pixel_aupro_rescaled"):
        defined = {category: one[name] for category, one in found.items() if one.get(name) is not None}
        mean[name] = float(np.mean(list(defined.values()))) if defined else None
        absent = [category for category in found if category not in defined]
        if absent and name in METRIC_NAMES:
            reason = found[absent[0]]["undefined"][name]
            some = ", ".join([*absent[:5], *(["..."] if len(absent) > 5 else [])])  # noqa: PLR2004 - enough to see
            place = f"undefined in {len(absent)} of {len(found)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(defined)}; {place}" if defined else place
    if any("interval" in one for one in found.values()):
        mean |= mean_intervals({category: one.samples for category, one in categories.items()})
    if any("range" in one for one in found.values()):
        mean["range"] = _mean_ranges(found)
    totals = {name: sum(one[name] for one in found.values()) for name in ("n_images", "n_measured")}
    return {**mean, **totals, "undefined": undefined}


def _mean_ranges(found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """Average the bounds of each metric; where no answer is missing, both are the value itself."""
    ranges = {}
    for name in METRIC_NAMES:
        ends = [
            one["range"].get(name) if "range" in one else [one[name]] * 2
            for one in found.values()
            if one.get(name) is not None
        ]
        if ends and None not in ends:
            ranges[name] = [float(np.mean([end[at] for end in ends])) for at in (0, 1)]
    return ranges


def answer_counts(statuses: Mapping[Status, int], usable: int) -> dict[str, int]:
    """Return the counts of a run's outcomes, those that did not occur too.

    Args:
        statuses: how many images have each.
        usable: how many have a score.
    """
    counts = {status: statuses.get(status, 0) for status in get_args(Status)}
    return {"total": sum(counts.values()), **counts, "usable": usable}
