"""Intervals as a run's page shows them: as text, and in words where there is none or where images are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lvlm_ad.errors import listed
from lvlm_ad.metrics.estimates import FEW_CATEGORIES
from lvlm_ad.runs import METRIC_TITLES, current_intervals, metric_title

__all__ = ["OLDER_RULE", "current_intervals", "interval_notes", "interval_text"]

OLDER_RULE = (
    "No intervals: an older version measured this run, and its intervals were too narrow. Run the same bench again: it "
    "computes new ones from the stored answers, without asking the model."
)

_MOST_DIGITS = 6

_MEAN = "A mean has an interval only where every category has one."

_FEW_IMAGES = (
    "Few images: there are so few good or defective images (for pixel metrics: so few defects) that no method that is "
    "valid for every distribution of scores could exclude chance. The interval assumes a usual one."
)


def interval_text(ends: Sequence[float]) -> str:
    r"""Write an interval in percent, with as many decimals as tell its ends apart; only 1 itself is written "100".

    Example:
        >>> [interval_text(ends).split("\N{EN DASH}") for ends in ([0.478, 1.0], [0.99992, 0.99998])]
        [['47.8', '100.0'], ['99.992', '99.998']]
    """
    low = high = ""
    for digits in range(1, _MOST_DIGITS + 1):
        low, high = (_end(end, digits) for end in ends)
        if low != high:
            break
    return f"{low}\N{EN DASH}{high}"


def _end(value: float, digits: int) -> str:
    text = f"{100 * value:.{digits}f}"
    return f"{100 - 10**-digits:.{digits}f}" if value < 1 and float(text) == 100 else text  # noqa: PLR2004 - percent


def interval_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return sentences on categories without an interval, on few images, and on an AUROC of 0 or 1.

    ``metrics`` is the content of a metrics.json, with or without intervals of the older rule.
    """
    intervals = metrics.get("intervals", {})
    if "rule" not in intervals:
        return [OLDER_RULE if intervals.get("resamples") else "No intervals: the run was measured with --resamples 0."]
    reasons: dict[str, dict[str, list[str]]] = {}
    bounds: dict[str, list[str]] = {}
    few = False
    categories = metrics["categories"]
    lacking = {metric for measures in categories.values() for metric in measures.get("no_interval", {})}
    for name, measures in {**({"The mean": metrics["mean"]} if len(categories) > 1 else {}), **categories}.items():
        few = few or bool(measures.get("few_images"))
        where = name if name in categories else "the mean"
        for metric, reason in measures.get("no_interval", {}).items():
            # What a category lacks is said once, of the category.
            if name in categories or metric not in lacking:
                reasons.setdefault(reason, {}).setdefault(where, []).append(metric_title(metric))
        for metric, bound in measures.get("bound_at_extreme", {}).items():
            words = _bound(metric_title(metric), measures.get(metric), bound)
            bounds.setdefault(words, []).append(name)
    return [
        *(f"No interval for {_where(places)}: {reason.rstrip('.')}." for reason, places in reasons.items()),
        *([_MEAN] if lacking and len(categories) > 1 else []),
        *([_FEW_IMAGES] if few else []),
        *_over_categories(metrics["mean"], len(categories)),
        *(f"{listed(names)}: {words}" for words, names in bounds.items()),
    ]


def _over_categories(mean: Mapping[str, Any], categories: int) -> list[str]:
    """Say what the means' intervals for other kinds of objects are; nothing without one."""
    wider = mean.get("interval_over_categories", {})
    if not wider:
        return []
    listed = "; ".join(f"{metric_title(metric)} {interval_text(ends)}" for metric, ends in wider.items())
    few = f" {categories} categories are few: these intervals are uncertain themselves." * (categories < FEW_CATEGORIES)
    return [f"The mean's intervals for other kinds of objects, too: {listed}.{few}"]


def _where(places: Mapping[str, Sequence[str]]) -> str:
    """Name categories with their metrics, categories with the same metrics together."""
    by_metrics: dict[tuple[str, ...], list[str]] = {}
    for place, names in places.items():
        by_metrics.setdefault(tuple(names), []).append(place)
    words = []
    for names, of in by_metrics.items():
        words.append(listed(of) if {*METRIC_TITLES.values()} <= {*names} else f"{listed(of)} ({', '.join(names)})")
    return "; ".join(words)


def _bound(title: str, value: float | None, bound: float) -> str:
    """Say what a value of 0 or 1 still leaves possible."""
    happened, limit = ("below", "high") if value == 0 else ("above", "low")
    return (
        f"every defective image scores {happened} every good one here; on so few images, a true {title} as "
        f"{limit} as {100 * bound:.1f} % can still give that."
    )
