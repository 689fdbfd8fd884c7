"""Runs that cut their images alike share the pixels of each region: whoever moved pixels between regions disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["moved_pixels"]

_PARTITIONS = {"grid", "superpixel"}
"""Methods whose regions do not overlap: the pixels of several are those of each, added up."""

_COMPARED = 3
"""Runs after each run, in a ring, that it is compared with: with those before it enough for most to be right."""


def moved_pixels(runs: Mapping[int, Run]) -> dict[int, str]:
    """Find runs whose pixel counts do not fit those of the runs that cut the images alike.

    A run's counts say how many normal and anomalous pixels have each score, so they say it of every set of regions that
    it gave one score. Where sets of two runs cover the same regions, their pixels must be as many. Whoever disagrees
    with most others is named.

    Args:
        runs: by number, of the same images at the same size, read with predictions and histograms.

    Returns:
        Number -> what is wrong.
    """
    alike: dict[str, list[int]] = {}
    for number, run in runs.items():
        if run.manifest.model.row == "regions" and run.manifest.division.method in _PARTITIONS and run.histograms:
            alike.setdefault(run.manifest.division.hash, []).append(number)
    found: dict[int, str] = {}
    for numbers in alike.values():
        pairs = {
            frozenset({number, numbers[(at + step) % len(numbers)]})
            for step in range(1, _COMPARED + 1)
            for at, number in enumerate(numbers)
        }
        differences = {pair: _first_difference(*(runs[at] for at in sorted(pair))) for pair in pairs if len(pair) > 1}
        found |= _blamed({pair: image for pair, image in differences.items() if image})
    return found


def _blamed(conflicts: Mapping[frozenset[int], str]) -> dict[int, str]:
    """Leave out those that have most conflicts until there is none; who has as many is left out with them."""
    found: dict[int, str] = {}
    left = dict(conflicts)
    while left:
        counts = Counter(number for pair in left for number in pair)
        most = max(counts.values())
        for number in [number for number, count in counts.items() if count == most]:
            image = next(image for pair, image in left.items() if number in pair)
            found[number] = f"runs of the same division disagree on the pixels of its regions: {image}"
        left = {pair: image for pair, image in left.items() if not pair & found.keys()}
    return found


def _first_difference(one: Run, other: Run) -> str:
    """Return the first image on which two runs disagree; empty if there is none."""
    places = {record.id: at for at, record in enumerate(other.predictions)}
    for at, record in enumerate(one.predictions):
        place = places.get(record.id)
        if place is None:
            continue
        counterpart = other.predictions[place]
        histogram, counted = (one.histograms or ())[at], (other.histograms or ())[place]
        if record.division != counterpart.division or record.n_regions != counterpart.n_regions:
            return record.id
        if histogram is None or counted is None:
            continue
        if not _same_pixels(_sets(one, record, histogram), _sets(other, counterpart, counted)):
            return record.id
    return ""


def _sets(run: Run, record: PredictionRecord, histogram: ScoreHistogram) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return which set each region belongs to, the background being number 0, and the pixels of each set, (k, 2)."""
    scores = np.zeros(record.n_regions + 1)
    for number, score in record.regions.items():
        scores[number] = float(score > 0) if run.manifest.protocol.get("binary") else score
    levels, sets = np.unique(scores, return_inverse=True)
    pixels = np.zeros((levels.size, 2), dtype=np.int64)
    # Painted scores may differ from written ones in the last digit.
    nearest = np.abs(levels[None] - histogram.scores[:, None]).argmin(axis=1)
    np.add.at(pixels, nearest, np.stack([histogram.normal, histogram.anomalous], axis=1))
    return sets, pixels


def _same_pixels(
    one: tuple[NDArray[np.intp], NDArray[np.int64]], other: tuple[NDArray[np.intp], NDArray[np.int64]]
) -> bool:
    """Whether sets that cover the same regions have the same pixels."""
    joined = _joined(one[0].tolist(), other[0].tolist(), len(one[1]), len(other[1]))
    sums = [np.zeros((len(one[1]) + len(other[1]), 2), dtype=np.int64) for _ in range(2)]
    np.add.at(sums[0], joined[: len(one[1])], one[1])
    np.add.at(sums[1], joined[len(one[1]) :], other[1])
    return bool((sums[0] == sums[1]).all())


def _joined(first: Sequence[int], second: Sequence[int], n_first: int, n_second: int) -> NDArray[np.intp]:
    """Join sets of both sides that share a region, until what is joined covers the same regions on both.

    Returns:
        For each set, those of the second side after those of the first, the number of its joint set.
    """
    parent = list(range(n_first + n_second))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for here, there in zip(first, second, strict=True):
        parent[root(here)] = root(n_first + there)
    return np.array([root(at) for at in range(len(parent))], dtype=np.intp)
