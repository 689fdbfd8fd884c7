"""Metrics of image scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import Steps, summed_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ImageMetrics", "check_real", "image_metrics", "steps_of_samples"]


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """Metrics of one category's image scores; None where undefined.

    Attributes:
        auroc: area under the ROC curve.
        ap: average precision.
        f1_max: the highest F1 over all thresholds.
        f1_threshold: the largest score at which it is reached.
        undefined: metric -> why it is None.
    """

    auroc: float | None = None
    ap: float | None = None
    f1_max: float | None = None
    f1_threshold: float | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)


def image_metrics(labels: Sequence[Any] | ArrayLike, scores: Sequence[Any] | ArrayLike) -> ImageMetrics:
    """Compute the metrics of image scores.

    Args:
        labels: ``(n,)``, non-zero if anomalous.
        scores: ``(n,)``, higher is more anomalous; compared in their own dtype.

    Raises:
        MetricError: there are no images, the lengths differ, labels or scores are no real numbers, or one is NaN or
            infinite (its index is named).
    """
    truth, values = truth_of(labels, "the labels"), _array(scores, "the image scores")
    if truth.ndim != 1 or values.shape != truth.shape:
        raise MetricError(f"Labels of shape {truth.shape} and scores of shape {values.shape}: both must be (n,).")
    if not truth.size:
        raise MetricError("There are no images to measure.")
    check_real(values, "the image scores")
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise MetricError(f"The score of image {wrong[0]} is {values[wrong[0]]}; scores must be finite numbers.")
    if not truth.any():
        return ImageMetrics(undefined=dict.fromkeys(("auroc", "ap", "f1_max"), "no image is anomalous"))
    steps = steps_of_samples(values[truth], values[~truth])
    f1, threshold = steps.f1_max()
    if truth.all():
        reason = {"auroc": "no image is normal"}
        return ImageMetrics(None, steps.ap(), f1, threshold, reason)
    return ImageMetrics(steps.auroc(), steps.ap(), f1, threshold)


def _array(values: Any, what: str) -> NDArray[Any]:
    """Return values as an array.

    Raises:
        MetricError: they are no array: rows of different lengths, say.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise MetricError(f"{what.capitalize()} are no array of numbers: {error}.") from error


def truth_of(values: Any, what: str) -> NDArray[np.bool_]:
    """Return what is anomalous: everything that is not 0.

    Raises:
        MetricError: the values are texts or other things that are no numbers, or NaN.
    """
    found = _array(values, what)
    if found.dtype == np.bool_:
        return found
    if found.dtype.kind not in "iuf":
        raise MetricError(f"The dtype of {what} is {found.dtype}; ground truth is boolean, or numbers.")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise MetricError(f"NaN is among {what}; ground truth is 0, or not.")
    return np.asarray(found != 0, dtype=np.bool_)


def check_real(values: NDArray[Any], what: str) -> None:
    """Raise MetricError unless an array holds real numbers; complex ones would be ordered by mere convention."""
    if values.dtype.kind not in "biuf":
        raise MetricError(f"The dtype of {what} is {values.dtype}; scores must be real numbers.")


def steps_of_samples(
    positives: NDArray[Any], negatives: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> Steps:
    """Count at the distinct scores of positives.

    Args:
        positives: ``(P,)`` scores, P > 0.
        negatives: ``(N,)`` scores; sorted in place.
        weights: float64 ``(P,)``, what each positive adds to the mean overlap.
    """
    negatives.sort()
    ascending, place, counts = np.unique(positives, return_inverse=True, return_counts=True)
    overlap = None
    if weights is not None:
        overlap = summed_weights(place, weights, ascending.size)[::-1]
    return Steps(
        scores=ascending[::-1],
        positives=counts[::-1].astype(np.int64),
        above=negatives.size - np.searchsorted(negatives, ascending, side="right")[::-1].astype(np.int64),
        reached=negatives.size - np.searchsorted(negatives, ascending, side="left")[::-1].astype(np.int64),
        n_negatives=int(negatives.size),
        overlap=overlap,
    )
