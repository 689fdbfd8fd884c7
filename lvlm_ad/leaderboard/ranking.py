"""Ranks the rows of one table by their differences on the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.leaderboard.evidence import UNREADABLE, Evidence
from lvlm_ad.metrics.curves import auroc, steps_of
from lvlm_ad.metrics.differences import shrunk_correlation, square_and_add
from lvlm_ad.metrics.front import front_probability, possible_front
from lvlm_ad.metrics.intervals import Z, class_sizes
from lvlm_ad.metrics.ranks import (
    Rows,
    auroc_rows,
    rank_ranges,
    resampled_rows,
    surely_better,
    z0_max,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.leaderboard.entries import Entry
    from lvlm_ad.metrics.estimates import Estimate
    from lvlm_ad.runs import ImageScores, Run

__all__ = ["ALONE", "TOO_FEW", "rank_rows"]

ALONE = "Only one row can be ranked: nothing to compare."

TOO_FEW = "Too few images to rank: on so few, even the largest difference could be chance."

_OTHER_IMAGES = "its predictions are of other images than those of most rows"
_OTHER_CATEGORIES = "measured on other categories than most rows"
_OTHER_VALUE = "its predictions give another image AUROC than metrics.json; 'lvlm-ad leaderboard --verify' says more"

_PAIR = 2
"""Fewer rows cannot be compared."""

_SAME = 1e-9
"""Values that differ by less are equal: sums in another order differ by rounding."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A row that may be ranked, with its run and the scores of its images."""

    run: Run
    entry: Entry
    scores: ImageScores
    draws: Mapping[str, Estimate] | None = None
    """Of the metric that ranks, unless that is image AUROC."""


def rank_rows(rows: Sequence[tuple[Run, Entry]], sort: str, evidence: Evidence) -> tuple[list[Entry], str]:
    """Rank the rows of a table that can be compared.

    Args:
        rows: runs of the same images with their rows, best first, each with an interval of ``sort``.
        sort: the metric that ranks.
        evidence: reads the runs' image scores, if there are two rows or more.

    Returns:
        The rows with their ranks, their differences to the best row, and whether they may be on the front of accuracy
        over cost; rows that cannot be compared are "apart", with the reason. And a sentence about the table's ranks.
    """
    if len(rows) < _PAIR:
        return [_alone(entry) for _, entry in rows], ALONE if rows else ""
    kept, apart = _comparable(rows, evidence, sort)
    if len(kept) < _PAIR:
        return [*(_alone(one.entry) for one in kept), *apart], ALONE if kept else ""
    by_auroc = _auroc_rows(kept)
    better = None if by_auroc is None else surely_better(by_auroc)
    entries = _on_front([one.entry for one in kept], kept, by_auroc, better)
    by_sort = by_auroc
    if sort != "image_auroc":
        by_sort = _resampled_rows(kept, sort)
        better = surely_better(by_sort)
    if by_sort is None or better is None:
        return [*entries, *apart], TOO_FEW
    entries = _differences(entries, by_sort, sort)
    if z0_max(by_sort.sizes) <= Z:
        return [*entries, *apart], TOO_FEW
    ranked = _with_ranks(entries, rank_ranges(better), sort)
    return [*ranked, *apart], f"{len(ranked)} rows are ranked together; more rows may widen the ranges."


def _alone(entry: Entry) -> Entry:
    return replace(entry, rank=(1, 1), may_be_on_front=None if entry.usd_per_image is None else True)


def _apart(entry: Entry, reason: str) -> Entry:
    return replace(entry, kind="apart", reason=reason, notes=(reason, *entry.notes))


def _comparable(
    rows: Sequence[tuple[Run, Entry]], evidence: Evidence, sort: str
) -> tuple[list[_Candidate], list[Entry]]:
    """Return the rows whose predictions are of the same images and give their value, and the others with reasons."""
    kept, apart = [], []
    for run, entry in rows:
        shown = entry.metrics["image_auroc"]
        try:
            scores = evidence.scores(run)
            draws = None if sort == "image_auroc" else evidence.resamples(run, sort)
        except RunError:
            apart.append(_apart(entry, UNREADABLE))
            continue
        if shown is not None and abs(_auroc(scores) - shown) > _SAME:
            apart.append(_apart(entry, _OTHER_VALUE))
        else:
            kept.append(_Candidate(run, entry, scores, draws))
    same: list[tuple[str, Callable[[_Candidate], object]]] = [
        (_OTHER_IMAGES, lambda one: id(one.scores.images)),
        (_OTHER_CATEGORIES, lambda one: frozenset(_categories(one.entry, sort))),
    ]
    for reason, key in same:
        usual = Counter(map(key, kept)).most_common(1)
        apart += [_apart(one.entry, reason) for one in kept if key(one) != usual[0][0]]
        kept = [one for one in kept if key(one) == usual[0][0]]
    return kept, apart


def _auroc(scores: ImageScores) -> float:
    """Return the mean image AUROC over categories; NaN without any."""
    values = [auroc(steps_of(scores.scores[at], labels, ~labels)) for labels, at in scores.by_category().values()]
    return float(np.mean(values)) if values else np.nan


def _categories(entry: Entry, metric: str) -> list[str]:
    """Return the categories in which a metric is defined."""
    return sorted(name for name, metrics in entry.categories.items() if metrics.get(metric) is not None)


def _auroc_rows(kept: Sequence[_Candidate]) -> Rows | None:
    """Prepare the comparison of image AUROCs; None if a category has only one image of a class."""
    scores = kept[0].scores
    categories = scores.by_category().values()
    objects = [scores.objects(at) for _, at in categories]
    if any(1 in class_sizes(labels, of) for (labels, _), of in zip(categories, objects, strict=True)):
        return None
    return auroc_rows(
        [(labels, np.stack([one.scores.scores[at] for one in kept])) for labels, at in categories], objects=objects
    )


def _resampled_rows(kept: Sequence[_Candidate], metric: str) -> Rows:
    """Prepare the comparison of another metric."""
    names = _categories(kept[0].entry, metric)
    values = np.array([[one.entry.categories[name][metric] for name in names] for one in kept], dtype=np.float64)
    found = [one.draws for one in kept if one.draws is not None]
    draws = [np.array([one[name].draws for one in found], dtype=np.float64) for name in names]
    # A resample without any defective pixel is undefined for every row.
    defined = ~np.any([np.isnan(one).any(axis=0) for one in draws], axis=0)
    sizes, images = zip(*((found[0][name].sizes, found[0][name].images) for name in names), strict=True)
    return resampled_rows(values, [one[:, defined] for one in draws], sizes, images)


def _differences(entries: Sequence[Entry], rows: Rows, metric: str) -> list[Entry]:
    """Give each row its difference to the best one, with the interval: square-and-add of the two rows' intervals."""
    best, *others = entries
    covariance = rows.deviations @ rows.deviations[0]
    variance = np.einsum("jn,jn->j", rows.deviations, rows.deviations)
    images = rows.freedom + len(rows.sizes)
    result = [best]
    for entry, shared, own in zip(others, covariance[1:], variance[1:], strict=True):
        correlation = shrunk_correlation(float(shared), float(own), float(variance[0]), images)
        value, highest = (one.metrics[metric] or 0.0 for one in (entry, best))
        interval = square_and_add(value, entry.intervals[metric], highest, best.intervals[metric], correlation)
        result.append(replace(entry, difference=value - highest, difference_interval=interval))
    return result


def _on_front(
    entries: Sequence[Entry], kept: Sequence[_Candidate], rows: Rows | None, better: NDArray[np.bool_] | None
) -> list[Entry]:
    """Say which rows may be on the front of image AUROC over cost: no row is surely better and costs no more.

    Costs are compared image by image, with Student's interval of the mean difference.
    """
    costs = np.stack([one.scores.costs for one in kept])
    known = np.flatnonzero(~np.isnan(costs).any(axis=1))
    result = list(entries)
    if not known.size:
        return result
    if rows is None or better is None:
        return [replace(entry, may_be_on_front=True if at in known else None) for at, entry in enumerate(result)]
    possible = possible_front(better, costs)
    quality = (rows.values.mean(axis=1)[:, None] + rows.draws)[known].T
    for at, share in zip(known, front_probability(quality, costs[known].mean(axis=1)), strict=True):
        result[at] = replace(result[at], may_be_on_front=possible[at], front_probability=float(share))
    return result


def _with_ranks(entries: Sequence[Entry], ranges: NDArray[np.intp], metric: str) -> list[Entry]:
    """Give each row its range of ranks; rows of equal value share one that covers theirs."""
    shared: dict[float, list[NDArray[np.intp]]] = {}
    values = [round(entry.metrics[metric] or 0.0, 12) for entry in entries]
    for value, own in zip(values, ranges, strict=True):
        shared.setdefault(value, []).append(own)
    ends = {
        value: (int(min(low for low, _ in own)), int(max(high for _, high in own))) for value, own in shared.items()
    }
    return [replace(entry, rank=ends[value]) for entry, value in zip(entries, values, strict=True)]
