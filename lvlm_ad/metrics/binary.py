"""SegF1 and ClassF1, the metrics of MVTec AD 2: binary maps at a threshold that is fixed before the test.

Both are 2 TP / (2 TP + FP + FN). SegF1 counts all pixels of all images of an object, good images included. ClassF1
counts images: an image is predicted anomalous if at least one pixel of its binary map is positive. (MVTec has published
no code for ClassF1; other people's public tools use this rule.) The threshold is the mean plus three standard
deviations of all scores of normal validation images. With a threshold chosen on the test images the value would be
F1-max.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import as_truth, check_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = [
    "BinaryMetrics",
    "MapThreshold",
    "NormalScores",
    "binary_metrics",
    "count_binary",
    "count_binary_histogram",
    "f1_of_counts",
]


@dataclass(frozen=True, slots=True)
class MapThreshold:
    """A threshold of maps, and how it was chosen: without this, F1 at a threshold cannot be compared.

    Attributes:
        value: a pixel is positive if its score is higher; not if it is equal, or a constant map would be positive
            everywhere.
        rule: how it was computed.
        source: the images that it was computed from.
        saw_test_labels: whether labels or masks of the test images were used.

    Example:
        >>> MapThreshold(0.5, "mean + 3 standard deviations", "normal validation images").above(np.array([0.5, 0.6]))
        array([False,  True])
    """

    value: float
    rule: str
    source: str
    saw_test_labels: bool = False

    def above(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where scores are higher, as booleans of the same shape.

        They are compared in float64: rounded to float32, the threshold could equal a score.
        """
        return np.asarray(scores, dtype=np.float64) > self.value


class NormalScores:
    """The number, mean and standard deviation of all scores of normal maps, added one by one.

    Example:
        >>> normal = NormalScores()
        >>> normal.add(np.array([[0.0, 1.0]]))
        >>> normal.add(np.array([2.0]), counts=np.array([2]))
        >>> normal.n, normal.mean, round(normal.threshold(k=1).value, 3)
        (4, 1.25, 2.079)
    """

    def __init__(self) -> None:
        self.n, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, scores: NDArray[Any], counts: NDArray[Any] | None = None) -> None:
        """Add a map.

        Args:
            scores: of any shape, finite; one for each pixel, or ``(C,)``, one for each cell.
            counts: integers ``(C,)``, how many pixels each cell has; None: the scores are those of pixels.

        Raises:
            MetricError: a score is not a finite number.
        """
        check_scores(scores, "the scores of a normal map")
        values = np.asarray(scores, dtype=np.float64).ravel()
        pixels = np.ones(values.size, dtype=np.int64) if counts is None else np.asarray(counts)
        n = int(pixels.sum())
        if not n:
            return
        # Differences from one of the scores are averaged, so that the mean of equal scores is exactly this score.
        first = float(values[np.argmax(pixels > 0)])
        mean = first + float((pixels * (values - first)).sum()) / n
        squares = float((pixels * (values - mean) ** 2).sum())
        self._join(n, mean, squares)

    def merge(self, other: NormalScores) -> None:
        """Add the scores that another one has counted."""
        if other.n:
            self._join(other.n, other.mean, other._squares)

    def _join(self, n: int, mean: float, squares: float) -> None:
        """Join two groups of scores: Chan et al., Am. Stat. 37:242-247 (1983)."""
        distance, total = mean - self.mean, self.n + n
        self._squares += squares + (distance**2 * self.n * n / total if self.n else 0.0)
        self.mean = self.mean + distance * n / total if self.n else mean
        self.n = total

    def threshold(self, k: float = 3.0, source: str = "normal validation images") -> MapThreshold:
        """Return the mean plus k standard deviations (of the population) of all scores.

        Args:
            k: how many; MVTec AD 2 takes 3.
            source: the images that the scores are of, for the record.

        Raises:
            MetricError: there are no scores.
        """
        if not self.n:
            raise MetricError("There is no normal map to take a threshold from.")
        value = self.mean + k * math.sqrt(self._squares / self.n)
        return MapThreshold(value, f"mean + {k:g} standard deviations", source)


def count_binary(mask: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
    """Count the pixels of one image: TP, FP and FN, int64 ``(3,)``. Counts of images add.

    Args:
        mask: ``(H, W)``, anomalous where not 0.
        predicted: ``(H, W)``, positive where not 0.

    Raises:
        MetricError: the shapes differ.

    Example:
        >>> count_binary(np.array([[0, 1, 1]]), np.array([[1, 1, 0]])).tolist()
        [1, 1, 1]
    """
    truth, found = as_truth(mask, "a mask"), as_truth(predicted, "a binary map")
    if truth.shape != found.shape:
        raise MetricError(f"Mask of shape {truth.shape} and binary map of shape {found.shape}: both must be (H, W).")
    hits = int(np.count_nonzero(truth & found))
    return np.array([hits, np.count_nonzero(found) - hits, np.count_nonzero(truth) - hits], dtype=np.int64)


def count_binary_histogram(histogram: ScoreHistogram, threshold: MapThreshold) -> NDArray[np.int64]:
    """Count what ``count_binary`` counts, from the score histogram of a map.

    This is exact for histograms of maps that are constant on cells. Those of own maps have few thresholds, so with them
    it is not.

    Args:
        histogram: of one image.
        threshold: where the map is cut.

    Returns:
        TP, FP and FN in pixels, int64 ``(3,)``.

    Example:
        >>> from lvlm_ad.metrics import count_cells
        >>> from lvlm_ad.metrics.histograms import histogram_of_cells
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 1, 1]]))
        >>> histogram = histogram_of_cells(counts, np.array([0.2, 0.7]))
        >>> count_binary_histogram(histogram, MapThreshold(0.2, "given", "nothing")).tolist()
        [1, 0, 1]
    """
    above = threshold.above(histogram.scores)
    hits = int(histogram.anomalous[above].sum())
    missed = int(histogram.anomalous.sum()) - hits
    return np.array([hits, histogram.normal[above].sum(), missed], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class BinaryMetrics:
    """SegF1 and ClassF1 of one object; None where undefined.

    Attributes:
        segf1: F1 over all pixels.
        classf1: F1 over the images.
        threshold: where the maps were cut; None: they were given as binary maps.
        undefined: metric -> why it is None.

    Example:
        >>> binary_metrics([False], [[0, 0, 0]]).undefined["segf1"]
        'no pixel is anomalous, and none is predicted so'
    """

    segf1: float | None
    classf1: float | None
    threshold: MapThreshold | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)


def binary_metrics(
    labels: Iterable[Any], counts: Iterable[NDArray[np.int64]] | NDArray[Any], threshold: MapThreshold | None = None
) -> BinaryMetrics:
    """Compute SegF1 and ClassF1 from the counts of images.

    Args:
        labels: ``(n,)``, non-zero if the image is anomalous.
        counts: ``(n, 3)``, see ``count_binary``.
        threshold: the one that the maps were cut at, for the record.

    Raises:
        MetricError: the numbers of labels and counts differ.

    Example:
        >>> found = binary_metrics([True, False], [[3, 1, 2], [0, 0, 0]])
        >>> round(found.segf1, 3), found.classf1
        (0.667, 1.0)
    """
    truth = as_truth(list(labels), "the labels")
    table = np.array(list(counts), dtype=np.int64).reshape(-1, 3)
    if truth.shape != (len(table),):
        raise MetricError(f"There are {truth.size} labels and the counts of {len(table)} images.")
    found = table[:, 0] + table[:, 1] > 0
    pooled = np.array([table.sum(axis=0), count_binary(truth, found)])
    segf1, classf1 = (None if np.isnan(one) else float(one) for one in f1_of_counts(pooled))
    values = {("segf1", "pixel"): segf1, ("classf1", "image"): classf1}
    undefined = {
        name: f"no {unit} is anomalous, and none is predicted so" for (name, unit), one in values.items() if one is None
    }
    return BinaryMetrics(segf1, classf1, threshold, undefined)


def f1_of_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return F1 of counts of TP, FP and FN.

    Args:
        counts: ``(..., 3)``; those of resamples are ``weights @ counts``.

    Returns:
        float64 ``(...)``, NaN where all three are 0.

    Example:
        >>> f1_of_counts(np.array([[1, 1, 1], [0, 0, 0]]))
        array([0.5, nan])
    """
    doubled = counts * np.array([2, 1, 1])
    with np.errstate(invalid="ignore"):
        return np.asarray(doubled[..., 0] / doubled.sum(axis=-1))
