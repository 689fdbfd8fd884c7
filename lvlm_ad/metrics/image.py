"""Metrics of image scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.curves import ap, auroc, f1_max, steps_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ImageMetrics", "as_truth", "check_scores", "image_metrics"]


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
        MetricError: there are no images, the lengths differ, labels or scores are not real numbers, or one is NaN or
            infinite (its index is named).

    Example:
        >>> metrics = image_metrics([0, 0, 1, 1], [0.1, 0.5, 0.4, 0.9])
        >>> metrics.auroc, round(metrics.ap, 3), metrics.f1_max, metrics.f1_threshold
        (0.75, 0.833, 0.8, 0.4)
    """
    truth, values = as_truth(labels, "the labels"), _as_array(scores, "the image scores")
    if truth.ndim != 1 or values.shape != truth.shape:
        raise MetricError(f"Labels of shape {truth.shape} and scores of shape {values.shape}: both must be (n,).")
    if not truth.size:
        raise MetricError("There are no images to measure.")
    check_scores(values, "the image scores")
    if not truth.any():
        return ImageMetrics(undefined=dict.fromkeys(("auroc", "ap", "f1_max"), "no image is anomalous"))
    steps = steps_of(values, truth, ~truth)
    f1, index = f1_max(steps)
    undefined = {"auroc": "no image is normal"} if truth.all() else {}
    area = None if undefined else float(auroc(steps))
    return ImageMetrics(area, float(ap(steps)), float(f1), float(steps.scores[index]), undefined)


def as_truth(values: Any, name: str) -> NDArray[np.bool_]:
    """Return ground truth as booleans: True where it is not 0; MetricError unless all values are real numbers."""
    truth = _as_array(values, name)
    if truth.dtype == np.bool_:
        return truth
    if truth.dtype.kind not in "iuf":
        raise MetricError(f"The dtype of {name} is {truth.dtype}; ground truth must be boolean or numeric.")
    if np.isnan(truth).any():
        raise MetricError(f"There is NaN among {name}; ground truth is 0 (normal) or any other number (anomalous).")
    return np.asarray(truth != 0, dtype=np.bool_)


def check_scores(scores: NDArray[Any], name: str) -> None:
    """Raise MetricError unless scores are finite real numbers."""
    if scores.dtype.kind not in "biuf":
        raise MetricError(f"The dtype of {name} is {scores.dtype}; scores must be real numbers.")
    finite = np.isfinite(scores)
    if not finite.all():
        at = np.argwhere(~finite)[0]
        raise MetricError(f"Among {name} is {scores[tuple(at)]}, at index {at.tolist()}; scores must be finite.")


def _as_array(values: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise MetricError(f"{name.capitalize()} are not an array of numbers: {error}.") from error
