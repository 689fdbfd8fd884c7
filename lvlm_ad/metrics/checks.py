"""Checks of what metrics are given: ground truth and scores are real numbers, and belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_array", "as_truth", "check_limit", "check_scores", "map_pairs"]


def check_limit(fpr_limit: float) -> None:
    """Raise MetricError unless a limit of the false-positive rate is in (0, 1]."""
    if not 0 < fpr_limit <= 1:
        raise MetricError(f"The limit of the false-positive rate must be in (0, 1], not {fpr_limit!r}.")


def map_pairs(
    masks: Iterable[NDArray[Any]] | NDArray[Any], maps: Iterable[NDArray[Any]] | NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield each map and its ground truth, checked.

    Args:
        masks: n arrays ``(H, W)``, anomalous where not 0.
        maps: as many arrays of the same sizes.

    Yields:
        The scores ``(H, W)`` and the ground truth, bool ``(H, W)``.

    Raises:
        MetricError: numbers or shapes differ, scores are not real numbers, or one is NaN or infinite (the image is
            named).
    """
    for index, (mask, one) in enumerate(zip_longest(masks, maps)):
        if mask is None or one is None:
            raise MetricError(f"There are more {'maps' if mask is None else 'masks'}; each map needs one mask.")
        truth, scores = as_truth(mask, "a mask"), np.asarray(one)
        if truth.ndim != 2 or scores.shape != truth.shape or not truth.size:  # noqa: PLR2004 - rows and columns
            raise MetricError(
                f"Image {index}: mask of shape {truth.shape}, map of shape {scores.shape}; both must be (H, W)."
            )
        check_scores(scores, f"the scores of image {index}")
        yield scores, truth


def as_truth(values: Any, name: str) -> NDArray[np.bool_]:
    """Return ground truth as booleans, True where it is not 0.

    Args:
        values: numbers of any shape.
        name: what they are, for a message, such as "the labels".

    Raises:
        MetricError: the values are not real numbers, or one is NaN.
    """
    truth = as_array(values, name)
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


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return an array; MetricError unless the values form one."""
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise MetricError(f"{name.capitalize()} are not an array of numbers: {error}.") from error
