"""Intervals of the metrics that data sets have of their own.

Groups share the good images, and there are several questions about an image, so such numbers are correlated. The
interval of their mean is the square-and-add of their intervals with this correlation (Zou and Donner, Stat. Med.
27:1693-1702, 2008). The correlation comes from the influence of each image on each number; where that is not known, the
mean is taken of each resample. A negative correlation counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.metrics.binary import BinaryMetrics, f1_of_counts
from lvlm_ad.metrics.bootstrap import END_WEIGHT, draw_weights, pool_pixels, resampled, seeded_generator
from lvlm_ad.metrics.choices import DETECTION, ChoiceCounts, Unparsed
from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.estimates import Estimate, estimate_from_draws, estimate_smoothed, in_objects
from lvlm_ad.metrics.groups import group_members
from lvlm_ad.metrics.intervals import auroc_interval, class_sizes
from lvlm_ad.metrics.named import NamedMetrics, at_limit
from lvlm_ad.metrics.shapes import ShapeEstimate, ratio_estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms
    from lvlm_ad.metrics.intervals import Interval
    from lvlm_ad.metrics.pimo import Aupimo

__all__ = [
    "correlated_mean",
    "estimate_aupimo",
    "estimate_binary",
    "estimate_choices",
    "estimate_group_aurocs",
    "estimate_group_overlap",
    "mean_of_estimates",
]


def correlated_mean(
    values: Sequence[float], intervals: Sequence[Interval], covariance: NDArray[np.float64]
) -> Interval:
    """Return the interval of the mean of correlated numbers.

    Args:
        values: ``(K,)``, in 0..1.
        intervals: ``(K, 2)``; each contains its value.
        covariance: ``(K, K)``, of the numbers; a number without variance counts as fully correlated with all others.

    Example:
        >>> ends = [(0.7, 0.9), (0.5, 0.7)]
        >>> [round(end, 3) for end in correlated_mean([0.8, 0.6], ends, np.eye(2))]
        [0.629, 0.771]
        >>> [round(end, 3) for end in correlated_mean([0.8, 0.6], ends, np.ones((2, 2)))]
        [0.6, 0.8]
    """
    spread = np.sqrt(np.diag(covariance))
    scale = np.outer(spread, spread)
    correlation = np.clip(np.divide(covariance, scale, out=np.ones_like(scale), where=scale > 0), 0.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    numbers, ends = np.asarray(values), np.asarray(intervals)
    mean = math.fsum(values) / len(values)
    down, up = (
        math.sqrt(float(arm @ correlation @ arm)) / len(values) for arm in (numbers - ends[:, 0], ends[:, 1] - numbers)
    )
    return max(0.0, mean - down), min(1.0, mean + up)


def mean_of_estimates(parts: Sequence[ShapeEstimate], *, disjoint: bool = False) -> ShapeEstimate:
    """Return the mean of several numbers.

    Args:
        parts: the numbers, with the influence of the same n images.
        disjoint: whether no image has a part in two of the numbers, so that they are independent.

    Example:
        >>> one = ratio_estimate(np.array([1.0, 0.0, 1.0, 1.0]))
        >>> mean_of_estimates([one, one]) == one, mean_of_estimates([one, one]).interval == one.interval
        (False, True)
    """
    influence = np.stack([one.influence for one in parts])
    values = [one.value for one in parts]
    covariance = np.eye(len(parts)) if disjoint else influence @ influence.T
    interval = correlated_mean(values, [one.interval for one in parts], covariance)
    value = math.fsum(values) / len(values)
    return ShapeEstimate(value, interval, min(one.images for one in parts), influence.mean(axis=0))


def estimate_group_aurocs(
    scores: NDArray[Any], groups: Sequence[str | None], names: Sequence[str] = ()
) -> dict[str, ShapeEstimate]:
    """Return the intervals of ``image_auroc_by_group``.

    Args:
        scores: ``(n,)``, finite.
        groups: ``(n,)``, see ``group_members``.
        names: see ``group_members``.

    Returns:
        Name -> estimate, for each group with at least two images of either class; the mean if all groups have them.

    Example:
        >>> scores, groups = np.arange(9) / 9, [None] * 5 + ["logical"] * 2 + ["structural"] * 2
        >>> found = estimate_group_aurocs(scores, groups)
        >>> [round(end, 2) for end in found["image_auroc_groups"].interval]
        [0.49, 1.0]
    """
    labels = np.array([group is not None for group in groups], dtype=np.bool_)
    found: dict[str, ShapeEstimate] = {}
    members = group_members(groups, names)
    for name, at in members.items():
        result = auroc_interval(labels[at], scores[at])
        if result.auroc is None or result.interval is None:
            continue
        influence, placed = np.zeros(labels.size), placements(labels[at], scores[at])
        kinds = np.where(labels[at], np.count_nonzero(labels[at]), np.count_nonzero(~labels[at]))
        influence[at] = (placed - result.auroc) / kinds
        found[f"image_auroc_{name}"] = ShapeEstimate(result.auroc, result.interval, float(kinds.min()), influence)
    if found and len(found) == len(members):
        found["image_auroc_groups"] = mean_of_estimates(list(found.values()))
    return found


def estimate_group_overlap(
    histograms: ScoreHistograms,
    groups: Sequence[str | None],
    metrics: NamedMetrics,
    resamples: int,
    *seed: Any,
    limits: Sequence[float] = (0.05,),
    metric: str = "au_spro",
) -> dict[str, Estimate]:
    """Return the intervals of ``au_spro_from_histograms`` with groups.

    Each resample draws the anomalous images group by group, and the good ones once for all groups.

    Args:
        histograms: n, as of ``spro_histogram``.
        groups: ``(n,)``, see ``group_members``.
        metrics: the exact values; resamples are shifted by the error of the histograms, which own maps have.
        resamples: R; 0: no interval.
        seed: names; with the same ones the resamples are the same for every method.
        limits: the limits of the false-positive rate.
        metric: see ``au_spro_from_histograms``.

    Returns:
        Name -> estimate, for each value that is defined.
    """
    numbers = {group: at + 1 for at, group in enumerate(group_members(groups))}
    strata = np.array([0 if group is None else numbers[group] for group in groups])
    weights = draw_weights(strata, resamples, seeded_generator("groups", *seed, strata.tolist()))
    regions = histograms.arrays["n_regions"]
    found: dict[str, Estimate] = {}
    draws: dict[str, list[NDArray[np.float64]]] = {at_limit(metric, limit): [] for limit in limits}
    for group, at in group_members(groups).items():
        pool = pool_pixels(histograms.take(at))
        once = resampled(pool, np.ones((1, at.size)), limits=limits)
        values = resampled(pool, weights[:, at], limits=limits) if resamples else {}
        for limit in limits:
            name, short = at_limit(f"{metric}_{group}", limit), at_limit("aupro", limit)
            value = metrics.values.get(name)
            if value is None:
                continue
            drawn = np.clip(values[short] + value - once[short], 0, 1) if resamples else None
            one = Estimate(value, sizes=class_sizes(strata[at] > 0), draws=drawn)
            found[name] = estimate_from_draws(one, regions[at], "defects")
            if drawn is not None:
                draws[at_limit(metric, limit)].append(drawn)
    for name, all_drawn in draws.items():
        value = metrics.values.get(name)
        if value is not None:
            drawn = np.mean(all_drawn, axis=0) if all_drawn else None
            one = Estimate(value, sizes=class_sizes(strata > 0), draws=drawn)
            found[name] = estimate_from_draws(one, regions, "defects")
    return found


def estimate_binary(
    labels: NDArray[np.bool_],
    counts: NDArray[np.int64],
    metrics: BinaryMetrics,
    resamples: int,
    *seed: Any,
    objects: NDArray[np.intp] | None = None,
) -> dict[str, Estimate]:
    """Return the intervals of ``binary_metrics``; the threshold is taken as given.

    The interval of ClassF1 comes from smoothed resamples, which have additional images of either class
    (``END_WEIGHT``), so that a perfect value on few images does not look certain.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        counts: int64 ``(n, 3)``, see ``count_binary``.
        metrics: the exact values.
        resamples: R; 0: no interval.
        seed: names; with the same ones the resamples are the same for every method.
        objects: ``(n,)``, see ``CategoryImages``; MVTec AD 2 shows each object under several lights.

    Returns:
        "segf1" and "classf1", where defined.
    """
    grouped = [] if objects is None else [objects.tolist()]
    generator = seeded_generator("binary", *seed, labels.astype(int).tolist(), *grouped)
    members = np.arange(labels.size) if objects is None else objects
    weights = draw_weights(labels, resamples, generator, objects)
    sizes = class_sizes(labels, objects)
    found: dict[str, Estimate] = {}
    if metrics.segf1 is not None:
        one = Estimate(metrics.segf1, sizes=sizes, draws=f1_of_counts(weights @ counts) if resamples else None)
        pixels = np.bincount(members, counts[:, 0] + counts[:, 2])
        found["segf1"] = estimate_from_draws(one, pixels, "defect pixels")
    if metrics.classf1 is not None:
        alarms = counts[:, 0] + counts[:, 1] > 0
        draws = f1_of_counts(weights @ _outcomes(labels, alarms)) if resamples else None
        one = Estimate(metrics.classf1, images=min(sizes), sizes=sizes, draws=draws)
        n_objects = int(members.max()) + 1
        shapes = np.concatenate([np.ones(n_objects), np.full(4, END_WEIGHT)])
        smooth = generator.standard_gamma(shapes, (resamples, shapes.size))
        smooth = smooth[:, np.append(members, n_objects + np.arange(4))]
        unseen = _outcomes(np.append(labels, [True, True, False, False]), np.append(alarms, [True, False] * 2))
        smoothed = {"f1_max": f1_of_counts(smooth @ unseen)} if resamples else {}
        found["classf1"] = estimate_smoothed(one, "f1_max", smoothed)
    return found if objects is None else {name: in_objects(one) for name, one in found.items()}


def _outcomes(labels: NDArray[np.bool_], alarms: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return of each image whether it is a TP, an FP or an FN, ``(n, 3)``."""
    return np.stack([labels & alarms, ~labels & alarms, labels & ~alarms], axis=1).astype(np.int64)


def estimate_aupimo(found: Aupimo) -> ShapeEstimate | None:
    """Return the interval of AUPIMO for other anomalous images, the normal ones being given; None where undefined.

    Example:
        >>> from lvlm_ad.metrics.pimo import Aupimo
        >>> [round(end, 2) for end in estimate_aupimo(Aupimo(0.5, (None, 0.4, 0.6), (1e-5, 1e-4))).interval]
        [0.12, 0.88]
    """
    if found.value is None:
        return None
    return ratio_estimate(np.array([np.nan if one is None else one for one in found.per_image]))


def estimate_choices(counts: ChoiceCounts, unparsed: Unparsed) -> dict[str, dict[str, ShapeEstimate]]:
    """Return the intervals of the accuracies of ``choice_accuracy``, for other images of the same sources.

    An image counts with all its questions.

    Args:
        counts: of the answers.
        unparsed: see ``choice_accuracy``.

    Returns:
        Source -> subtask or "Average" -> estimate, where it is defined. The source "Average" has the means over the
        sources.

    Example:
        >>> from lvlm_ad.metrics.choices import Choice, count_choices
        >>> answers = [Choice(f"{at}.png", "VisA", "Defect Description", False, "B", "B") for at in range(3)]
        >>> [round(end, 2) for end in estimate_choices(count_choices(answers), "wrong")["VisA"]["Average"].interval]
        [0.29, 1.0]
    """
    totals = counts.parsed if unparsed == "left_out" else counts.asked
    accuracy: dict[tuple[str, str, bool], ShapeEstimate] = {}
    for kind, right, total in zip(counts.kinds, counts.right.T, totals.T, strict=True):
        if total.any():
            shares = np.divide(right, total, out=np.full(total.size, np.nan), where=total > 0)
            accuracy[kind] = ratio_estimate(shares, total.astype(np.float64))
    table: dict[str, dict[str, ShapeEstimate]] = {}
    for source in dict.fromkeys(source for source, _, _ in counts.kinds):
        row = {name: one for (own, name, _), one in accuracy.items() if own == source and name != DETECTION}
        detection = [accuracy[key] for key in ((source, DETECTION, kind) for kind in (True, False)) if key in accuracy]
        if len(detection) == 2:  # noqa: PLR2004 - normal and anomalous
            row = {DETECTION: mean_of_estimates(detection, disjoint=True), **row}
        if row:
            row["Average"] = mean_of_estimates(list(row.values()))
        table[source] = row
    names = dict.fromkeys(name for row in table.values() for name in row)
    shared: Mapping[str, list[ShapeEstimate]] = {
        name: [row[name] for row in table.values() if name in row] for name in names
    }
    table["Average"] = {name: mean_of_estimates(parts, disjoint=True) for name, parts in shared.items()}
    return table
