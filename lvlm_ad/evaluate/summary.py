"""Averages the metrics of categories: the entry "mean" of metrics.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.evaluate.measure import interval_fields
from lvlm_ad.evaluate.measure_shapes import shape_entry
from lvlm_ad.metrics.estimates import Estimate, estimate_mean, interval_over_categories
from lvlm_ad.metrics.shapes import mean_of_shapes
from lvlm_ad.runs import METRIC_NAMES, is_reported

if TYPE_CHECKING:
    from lvlm_ad.evaluate.measure import CategoryResult

__all__ = ["summary"]

_NAMED = 5
"""Categories that a reason names."""


def summary(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average each metric over the categories in which it is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean), what ``interval_fields`` returns, "interval_over_categories" (metric -> [low, high]) if there are
        several categories, "range" where a category has it, and of a method that names shapes "shapes".
    """
    entries = {category: one.metrics for category, one in categories.items()}
    names = (*METRIC_NAMES, *dict.fromkeys(name for one in entries.values() for name in one if is_reported(name)))
    means, undefined = _means((*names, "pixel_aupro_rescaled"), entries)
    undefined.pop("pixel_aupro_rescaled", None)
    mean: dict[str, Any] = {**means}
    mean |= _mean_interval_fields(names, {category: one.estimates for category, one in categories.items()})
    if any("range" in one for one in entries.values()):
        mean["range"] = _mean_ranges(names, entries.values())
    totals = {name: sum(one[name] for one in entries.values()) for name in ("n_images", "n_measured")}
    if any("n_with_truth" in one for one in entries.values()):
        totals["n_with_truth"] = sum(
            one.get("n_with_truth", one["n_measured"]) for one in entries.values() if one.get("pixel_auroc") is not None
        )
    limits = [one["fpr_limit"] for one in entries.values() if "fpr_limit" in one]
    if limits:
        totals["fpr_limit"] = limits[0]
    if any("shapes" in one for one in entries.values()):
        totals["shapes"] = _mean_shapes(categories)
    return {**mean, **totals, "undefined": undefined}


def _means(
    names: Sequence[str], entries: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Average metrics over the categories that have them; also returns metric -> which have not, and why."""
    mean: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for name in names:
        values = {category: one[name] for category, one in entries.items() if one.get(name) is not None}
        mean[name] = float(np.mean(list(values.values()))) if values else None
        absent = [category for category in entries if category not in values]
        if absent:
            some = ", ".join([*absent[:_NAMED], *(["..."] if len(absent) > _NAMED else [])])
            reason = entries[absent[0]]["undefined"].get(name, "")
            where = f"undefined in {len(absent)} of {len(entries)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(values)}; {where}" if values else where
    return mean, undefined


def _mean_shapes(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average the metrics of shapes; an entry as that of a category."""
    entries = {category: one.metrics["shapes"] for category, one in categories.items()}
    names = [name for name in next(iter(entries.values())) if name not in {"interval", "undefined", "range"}]
    defined = {name: [one.shapes[name] for one in categories.values() if name in one.shapes] for name in names}
    means = {name: mean_of_shapes(estimates) for name, estimates in defined.items() if estimates}
    entry = shape_entry(names, means, _means(names, entries)[1])
    if any("range" in one for one in entries.values()):
        entry["range"] = _mean_ranges(names, entries.values())
    return entry


def _mean_interval_fields(names: Sequence[str], categories: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Return the intervals of each metric's mean over exactly the categories that have a value."""
    means, wider = {}, {}
    for name in names:
        estimates = {category: one[name] for category, one in categories.items() if name in one}
        if estimates:
            means[name] = estimate_mean(name, estimates)
            ends = interval_over_categories(means[name], estimates)
            if ends is not None:
                wider[name] = list(ends)
    return {**interval_fields(means), **({"interval_over_categories": wider} if len(categories) > 1 else {})}


def _mean_ranges(names: Sequence[str], entries: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Average the bounds of each metric; where no answer is missing, both bounds are the value itself."""
    ranges = {}
    for name in names:
        bounds = [
            one["range"].get(name) if "range" in one else [one[name]] * 2
            for one in entries
            if one.get(name) is not None
        ]
        if bounds and None not in bounds:
            ranges[name] = [float(np.mean([bound[end] for bound in bounds])) for end in (0, 1)]
    return ranges
