"""The numbers behind a run's plots: curves, how often regions are named, times, separation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.compare import measured_categories
from lvlm_ad.metrics.curves import Steps, placements, steps_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run

_CURVE_POINTS = 400
"""Points of a curve that is drawn; a screen shows no more."""

_MINUTES = 180
"""From so many seconds on, a time is given in minutes."""


@dataclass(frozen=True, eq=False)
class Times:
    """How long answers took: each time, their median and their 95th percentile, in one unit ("ms", "s" or "min")."""

    unit: str
    values: NDArray[np.float64]
    median: float
    p95: float

    def text(self, value: float) -> str:
        """Write a time with its unit."""
        return f"{value:.0f} {self.unit}" if value >= 100 else f"{value:.3g} {self.unit}"  # noqa: PLR2004 - 3 digits


def curves_of(run: Run) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return category -> curve -> ``(2, n)``, x and y in 0..1, of the images that were measured.

    "image_roc" and "pixel_roc": false-positive and true-positive rate; "image_pr" and "pixel_pr": recall and precision;
    "pro": false-positive rate of pixels and mean overlap with the defects. Undefined curves are missing. The pixel
    curves of an own map go through the thresholds at which its pixels were counted; a method without maps has none.
    """
    by_category = {}
    for category, (indices, images) in measured_categories(run).items():
        labels = images.labels.astype(np.int64)
        curves = _curves("image", steps_of(images.scores, labels, 1 - labels))
        if indices and images.histograms is not None and run.manifest.method.places:
            curves |= _curves("pixel", images.histograms.steps())
        by_category[category] = curves
    return by_category


def _curves(kind: str, steps: Steps) -> dict[str, NDArray[np.float64]]:
    if not steps.n_positives or not steps.n_negatives:
        return {}
    true = np.cumsum(steps.positives)
    rate = _joined(steps.above, steps.reached, steps.n_negatives) / steps.n_negatives
    recall = _joined(true - steps.positives, true, steps.n_positives) / steps.n_positives
    precision = true / (true + steps.reached)
    curves = {
        f"{kind}_roc": _thinned(rate, recall),
        f"{kind}_pr": _thinned(np.append(0, true / steps.n_positives), np.append(precision[0], precision)),
    }
    if steps.overlap is not None:
        overlap = np.cumsum(steps.overlap)
        curves["pro"] = _thinned(rate, _joined(overlap - steps.overlap, overlap, 1.0))
    return curves


def _joined(starts: NDArray[Any], ends: NDArray[Any], last: float) -> NDArray[np.float64]:
    """Return the start and the end of each step in turn, and the curve's last value."""
    return np.append(np.stack([starts, ends], axis=1).ravel(), last).astype(np.float64)


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = np.unique(np.linspace(0, x.size - 1, min(x.size, _CURVE_POINTS)).round().astype(int))
    return np.stack([x[keep], y[keep]])


def naming_rates(records: Sequence[PredictionRecord]) -> dict[int, float]:
    """Return for each region number how often it gets a score above 0, among the images that have it.

    A number is also a place in the image: numbers run from the top left to the bottom right. So uneven rates show where
    defects lie as much as which numbers the model prefers; only regions that are numbered anew tell the two apart.
    """
    counts = Counter(record.n_regions for record in records)
    named = Counter(number for record in records for number, score in record.regions.items() if score > 0)
    present = dict.fromkeys(range(1, max(counts, default=0) + 1), 0)
    images = 0
    for number in reversed(present):
        images += counts[number]
        present[number] = images
    return {number: named[number] / n_images for number, n_images in present.items()}


def times_of(records: Sequence[PredictionRecord]) -> Times | None:
    """Return how long a model's answers took; None if no model was asked."""
    seconds = np.array([record.seconds for record in records if record.key and record.seconds > 0])
    if not seconds.size:
        return None
    median, p95 = np.quantile(seconds, [0.5, 0.95])
    scale, unit = (0.001, "ms") if p95 < 1 else (1, "s") if p95 < _MINUTES else (60, "min")
    return Times(unit, seconds / scale, float(median) / scale, float(p95) / scale)


def separations_of(run: Run) -> list[float | None]:
    """Return how well each image is separated from its category's images of the other class, 0..1.

    For a defective image: the fraction of good images that score lower; for a good image: the fraction of defective
    images that score higher. Equal scores count half. None where a category has one class only, or the image was left
    out.
    """
    separations: list[float | None] = [None] * len(run.predictions)
    for indices, images in measured_categories(replace(run, histograms=None)).values():
        if images.labels.any() and not images.labels.all():
            for index, value in zip(indices, placements(images.labels, images.scores), strict=True):
                separations[index] = float(value)
    return separations
