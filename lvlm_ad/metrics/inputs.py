"""What the metrics accept: labels, masks, scores and limits, each checked with a clear error."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lvlm_ad.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_array", "as_truth", "check_limit", "check_scores", "components"]


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return values as an array.

    Raises:
        MetricError: they are rows of different lengths.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise MetricError(f"{name.capitalize()} are not an array of numbers: {error}.") from error


def as_truth(values: Any, name: str) -> NDArray[np.bool_]:
    """Return ground truth as booleans: True where it is not 0.

    Raises:
        MetricError: the values are not numbers, or one is NaN.
    """
    truth = as_array(values, name)
    if truth.dtype == np.bool_:
        return truth
    if truth.dtype.kind not in "iuf":
        raise MetricError(f"The dtype of {name} is {truth.dtype}; ground truth must be boolean or numeric.")
    if truth.dtype.kind == "f" and np.isnan(truth).any():
        raise MetricError(f"There is NaN among {name}; ground truth is 0 (normal) or any other number (anomalous).")
    return np.asarray(truth != 0, dtype=np.bool_)


def check_scores(values: NDArray[Any], name: str) -> None:
    """Raise MetricError unless scores are finite real numbers."""
    if values.dtype.kind not in "biuf":
        raise MetricError(f"The dtype of {name} is {values.dtype}; scores must be real numbers.")
    if not np.isfinite(values).all():
        raise MetricError(f"There are NaN or infinite values among {name}; scores must be finite.")


def check_limit(fpr_limit: Any) -> None:
    """Raise MetricError unless a false-positive rate is a number in (0, 1]."""
    if not isinstance(fpr_limit, numbers.Real) or not 0 < float(fpr_limit) <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit!r}.")


def components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected regions of a mask 1..K, 0 where it is normal; returns the numbers and K."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    return np.asarray(labels, dtype=np.int32), int(count)
