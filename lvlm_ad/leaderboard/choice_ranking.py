"""Ranks the rows of one table by the accuracy of their answers to the same multiple-choice questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate.choices import AVERAGE, choices_of
from lvlm_ad.leaderboard.choice_values import SUBTASKS, accuracy_title
from lvlm_ad.leaderboard.evidence import UNREADABLE
from lvlm_ad.leaderboard.ranking import ALONE
from lvlm_ad.metrics.choices import count_choices
from lvlm_ad.metrics.dataset_estimates import estimate_choices
from lvlm_ad.metrics.differences import holm, p_value
from lvlm_ad.metrics.ranks import rank_ranges
from lvlm_ad.metrics.shapes import ShapeEstimate, shape_difference
from lvlm_ad.runs import read_run

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.entries import Entry
    from lvlm_ad.runs import Run

__all__ = ["rank_choices"]

_LEVEL = 0.05
"""The probability that any pair of equal rows is separated."""
_SAME = 1e-9
"""Values that differ by less are equal."""
_PAIR = 2
"""Fewer rows cannot be compared."""

_OTHER_IMAGES = "its predictions are of other images than those of most rows"
_OTHER_VALUE = "its predictions give another accuracy than metrics.json; 'lvlm-ad leaderboard --verify' says more"


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A row that may be ranked, the images of its questions, and its accuracy."""

    entry: Entry
    images: tuple[str, ...]
    accuracy: ShapeEstimate


def rank_choices(rows: Sequence[tuple[Run, Entry]], metric: str) -> tuple[list[Entry], str]:
    """Rank the rows of a table by an accuracy.

    Differences are paired: the same images, all questions of an image together. A row ranks below another only if their
    difference is significant by Holm's method over all pairs.

    Args:
        rows: runs of the same questions with their rows, best first, each with an interval of the metric.
        metric: one of ``RANKING``.

    Returns:
        As ``rank_rows``.
    """
    kept, apart = _comparable(rows, metric)
    if len(kept) < _PAIR:
        return [*(replace(one.entry, rank=(1, 1)) for one in kept), *apart], ALONE if kept else ""
    better = np.zeros((len(kept), len(kept)), dtype=np.bool_)
    pairs = [(one, other) for one in range(len(kept)) for other in range(one + 1, len(kept))]
    found = [shape_difference([kept[one].accuracy], [kept[other].accuracy]) for one, other in pairs]
    for (one, other), (difference, _), p in zip(pairs, found, holm([p_value(*of) for of in found]), strict=True):
        if p < _LEVEL:
            better[(one, other) if difference > 0 else (other, one)] = True
    entries = []
    for at, (low, high) in enumerate(rank_ranges(better).tolist()):
        entry = replace(kept[at].entry, rank=(low, high))
        if at:
            difference, ends = shape_difference([kept[at].accuracy], [kept[0].accuracy])
            entry = replace(entry, difference=difference, difference_interval=ends)
        entries.append(entry)
    together = f"{len(entries)} rows are ranked together by {accuracy_title(metric)}"
    return [*entries, *apart], f"{together}; more rows may widen the ranges."


def _comparable(rows: Sequence[tuple[Run, Entry]], metric: str) -> tuple[list[_Candidate], list[Entry]]:
    """Return the rows whose predictions are of the same images and give their value, and the others with reasons."""
    kept, apart = [], []
    for run, entry in rows:
        try:
            records = run.predictions or read_run(run.dir).predictions
        except RunError:
            apart.append(_apart(entry, UNREADABLE))
            continue
        counts = count_choices(choices_of(records))
        accuracy = estimate_choices(counts, "wrong")[AVERAGE].get(SUBTASKS.get(metric, AVERAGE))
        shown = entry.metrics[metric]
        if accuracy is None or shown is None or abs(accuracy.value - shown) > _SAME:
            apart.append(_apart(entry, _OTHER_VALUE))
        else:
            kept.append(_Candidate(entry, counts.images, accuracy))
    usual = Counter(one.images for one in kept).most_common(1)
    apart += [_apart(one.entry, _OTHER_IMAGES) for one in kept if one.images != usual[0][0]]
    return [one for one in kept if one.images == usual[0][0]], apart


def _apart(entry: Entry, reason: str) -> Entry:
    return replace(entry, kind="apart", reason=reason, notes=(reason, *entry.notes))
