"""How often the intervals of the metrics of data sets contain the true value.

    python benchmarks/coverage_datasets.py [--sets 400]

Good images are shared by two groups; an object has five views that vary together; the questions about an image are of
one difficulty; defects of an image are of one strength. True values are those of a formula or of a very large set.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import expit, ndtr

from lvlm_ad.metrics.binary import binary_metrics
from lvlm_ad.metrics.choices import DETECTION, Choice, count_choices
from lvlm_ad.metrics.dataset_estimates import (
    estimate_binary,
    estimate_choices,
    estimate_group_aurocs,
    estimate_group_overlap,
)
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.metrics.intervals import Interval, auroc_interval
from lvlm_ad.metrics.spro import Channels, au_spro_from_histograms, count_channels, spro_histogram

RESAMPLES = 300
LARGE = 2000
"""Images of each group in a set whose value counts as true."""

Found = tuple[Interval | None, float]
"""The interval of a set, and the true value."""


def group_names(n: int) -> list[str | None]:
    """Return the groups of n good images and n of each of two groups."""
    return [name for name in (None, "logical", "structural") for _ in range(n)]


def group_aurocs(draw: np.random.Generator, n: int) -> Found:
    """Two groups with the AUROC 0.95 against the same good images."""
    scores = draw.normal(size=3 * n)
    scores[n:] += 2.326
    interval = estimate_group_aurocs(scores, group_names(n))["image_auroc_groups"].interval
    return interval, float(ndtr(2.326 / np.sqrt(2)))


def views(draw: np.random.Generator, n: int, *, independent: bool = False) -> Found:
    """Five views of n good and n defective objects; ``independent``: taken for single images."""
    objects = np.repeat(np.arange(2 * n), 5)
    scores = draw.normal(size=2 * n)[objects] + draw.normal(size=10 * n) / 2 + 1.2 * (objects < n)
    found = auroc_interval(objects < n, scores, None if independent else objects)
    return found.interval, float(ndtr(1.2 / np.sqrt(2.5)))


def classf1(draw: np.random.Generator, n: int) -> Found:
    """Images of which 95 % of the defective and 5 % of the good ones alarm."""
    labels = np.arange(2 * n) < n
    alarms = draw.random(2 * n) < np.where(labels, 0.95, 0.05)
    counts = np.stack([labels & alarms, ~labels & alarms, labels & ~alarms], axis=1).astype(np.int64)
    interval = estimate_binary(labels, counts, binary_metrics(labels, counts), RESAMPLES)["classf1"].interval
    return interval, 2 * 0.95 / (2 * 0.95 + 0.05 + 0.05)


def segf1(draw: np.random.Generator, n: int) -> Found:
    """Images whose defects differ in size and in how much of them is found."""

    def sample(size: int) -> np.ndarray:
        area = draw.integers(50, 500, size)
        found = draw.binomial(area, draw.beta(3, 2, size))
        return np.concatenate(
            [
                np.stack([found, draw.poisson(20, size), area - found], axis=1),
                np.stack([0 * area, draw.poisson(10, size), 0 * area], axis=1),
            ]
        )

    counts, labels = sample(n), np.arange(2 * n) < n
    truth = binary_metrics(np.arange(20 * LARGE) < 10 * LARGE, sample(10 * LARGE)).segf1
    return estimate_binary(labels, counts, binary_metrics(labels, counts), RESAMPLES)["segf1"].interval, truth or 0.0


def choices(draw: np.random.Generator, n: int) -> Found:
    """The average over four subtasks, one question of each about n images."""
    ease = {DETECTION: 1.0, "Object Details": 1.5, "Defect Description": 0.5, "Defect Analysis": 1.0}
    rows = [
        Choice(str(image), "VisA", name, image % 2 > 0, "A", "A" if draw.random() < expit(one + skill) else "B")
        for image, skill in enumerate(draw.normal(size=n).tolist())
        for name, one in ease.items()
    ]
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    truth = np.mean([weights @ expit(one + nodes) / weights.sum() for one in ease.values()])
    return estimate_choices(count_choices(rows), "wrong")["VisA"]["Average"].interval, float(truth)


def spro_images(draw: np.random.Generator, n: int) -> ScoreHistograms:
    """Return n good images and n of each of two groups, in 64 cells; defects of an image are alike in strength."""
    cells = np.arange(64).reshape(8, 8)
    histograms = []
    for group in group_names(n):
        masks = np.zeros((0 if group is None else int(draw.integers(1, 3)), 8, 8), dtype=bool)
        for mask in masks:
            top, left = draw.integers(0, 5, 2)
            mask[top : top + 3, left : left + 3] = True
        truth = Channels.of(masks, [5] * len(masks), size=(8, 8))
        scores = draw.normal(size=64) + draw.gamma(2) * masks.any(axis=0).ravel()
        histograms.append(spro_histogram(count_channels(cells, truth.masks, 64), truth.saturations, scores))
    return ScoreHistograms.of(histograms)


def main() -> None:
    """Print coverage in percent, and mean width, for 5 to 40 images of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=400)
    sets, sizes = parser.parse_args().sets, (5, 10, 20, 40)
    draw = np.random.default_rng(0)
    truth = au_spro_from_histograms(spro_images(draw, LARGE), [0.3], group_names(LARGE)).values["au_spro@0.3"]

    def au_spro(draw: np.random.Generator, n: int) -> Found:
        histograms, groups = spro_images(draw, n), group_names(n)
        metrics = au_spro_from_histograms(histograms, [0.3], groups)
        found = estimate_group_overlap(histograms, groups, metrics, RESAMPLES, limits=[0.3])
        return found["au_spro@0.3"].interval, truth or 0.0

    kinds: dict[str, Callable[[np.random.Generator, int], Found]] = {
        "mean image AUROC of two groups": group_aurocs,
        "image AUROC of objects with five views": views,
        "mean AU-sPRO of two groups": au_spro,
        "SegF1": segf1,
        "ClassF1": classf1,
        "average accuracy of four subtasks": choices,
        "the five views, taken for single images": partial(views, independent=True),
    }
    print(f"| metric | {' | '.join(f'{size} images' for size in sizes)} |")
    for name, kind in kinds.items():
        shown = []
        for size in sizes:
            results = [kind(draw, size) for _ in range(sets)]
            ends = np.array([[*interval, value] for interval, value in results if interval is not None])
            share = ((ends[:, 0] <= ends[:, 2]) & (ends[:, 2] <= ends[:, 1])).mean()
            shown.append(f"{100 * share:.1f} ({np.ptp(ends[:, :2], axis=1).mean():.2f})")
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
