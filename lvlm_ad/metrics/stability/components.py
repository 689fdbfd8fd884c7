"""Where the variance of scores comes from: images, conditions of asking, both together, and repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability.level_effects import level_variance
from lvlm_ad.metrics.stability.measured import (
    Measured,
    as_table,
    jackknife_of_variance,
    mean_from_first,
    within_squares,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["VarianceComponents", "variance_components"]

_ONE_REPEAT = "each condition was asked once: interaction and repeats cannot be separated"


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """The components of the variance of a score. Estimates may be below 0; tables show those as 0 (``shown``).

    Attributes:
        images: n, those with every answer; the others are left out.
        image: the variance between images.
        condition: the variance between the levels asked, averaged over images. It describes these levels alone, since
            they were chosen, not drawn at random.
        interaction: the variance of image and condition together: conditions that matter on some images only.
        repeat: the variance between repeats of the same question.
        interaction_and_repeat: the sum of the last two, where each condition was asked once.
    """

    images: int
    image: Measured
    condition: Measured
    interaction: Measured
    repeat: Measured
    interaction_and_repeat: Measured


def variance_components(y: ArrayLike) -> VarianceComponents:
    """Split the variance of a balanced table of images, conditions and repeats.

    Estimates by the method of moments from the mean squares of the two-way table with replicates, images random
    (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4). Intervals of image and repeat: the jackknife
    over images on the cube root. Interaction is a variance minus that of repeats; its interval has the distances of
    both from their values to their ends, squared and added (Zou and Donner, Stat. Med. 27:1693-1702, 2008). Of
    condition see ``level_variance``.

    Args:
        y: ``(n, A, R)``, the score of image i under condition a in repeat r; A is 2 or more. Images that lack an answer
            (NaN or None) are left out.

    Returns:
        Every component but ``image`` is exactly 0.0 for a model that gives an image the same score always. Without
        values for fewer than two images.

    Raises:
        MetricError: ``y`` is not such a table.

    Example:
        >>> found = variance_components([[[0.1, 0.3], [0.4, 0.4]], [[0.9, 0.7], [1.0, 0.8]], [[0.5, 0.5], [0.6, 0.8]]])
        >>> round(found.image.value, 3), round(found.condition.value, 3), round(found.repeat.value, 3)
        (0.075, 0.013, 0.013)
    """
    table = as_table(y, "scores", 3)
    _, conditions, repeats = table.shape
    if conditions < 2 or not repeats:  # noqa: PLR2004 - one condition has no other to differ from
        raise MetricError(
            f"The scores have the shape {table.shape}; (n, A, R) needs 2 conditions and 1 repeat at least."
        )
    table = table[~np.isnan(table).any(axis=(1, 2))]
    n = len(table)
    if n < 2:  # noqa: PLR2004 - one image has no other to differ from
        nothing = Measured(None, None, "fewer than 2 images have every answer")
        return VarianceComponents(n, nothing, nothing, nothing, nothing, nothing)
    found = _estimates(table)
    if n > 2:  # noqa: PLR2004 - without one, two images must remain
        without = np.array([_estimates(np.delete(table, at, axis=0)) for at in range(n)])
        measured = [jackknife_of_variance(float(value), each) for value, each in zip(found, without.T, strict=True)]
        measured[1] = level_variance(mean_from_first(table))
        if repeats > 1:
            both, each = found[2] + found[3] / repeats, without[:, 2] + without[:, 3] / repeats
            measured[2] = _less_noise(float(found[2]), jackknife_of_variance(float(both), each), measured[3], repeats)
    else:
        measured = [Measured(float(value), None, "fewer than 3 images") for value in found]
    if repeats == 1:
        image, condition, residual = measured
        unknown = Measured(None, None, _ONE_REPEAT)
        return VarianceComponents(n, image, condition, unknown, unknown, residual)
    image, condition, interaction, repeat = measured
    combined = Measured(None, None, "interaction and repeats are separated")
    return VarianceComponents(n, image, condition, interaction, repeat, combined)


def _less_noise(value: float, both: Measured, repeat: Measured, repeats: int) -> Measured:
    """Return the interaction: a variance between cells minus what the mean of several repeats adds to it."""
    if both.interval is None:
        return Measured(value, None, both.reason)
    noise = (repeat.value or 0.0) / repeats
    low, high = (end / repeats for end in repeat.interval or (repeat.value or 0.0,) * 2)
    start, end = (float(one - (both.value or 0.0)) for one in both.interval)
    return Measured(value, (value - math.hypot(start, high - noise), value + math.hypot(end, noise - low)))


def _estimates(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return image, condition, interaction and repeat; with one repeat the last two in one."""
    n, conditions, repeats = table.shape
    squares, freedom = within_squares(table.reshape(n * conditions, repeats))
    cells = mean_from_first(table)
    deviations = cells - cells[:, :1]
    by_image, by_condition = deviations.mean(axis=1, keepdims=True), deviations.mean(axis=0)
    grand = by_condition.mean()
    of_condition = repeats * n * float(((by_condition - grand) ** 2).sum()) / (conditions - 1)
    residual = ((deviations - by_image - by_condition + grand) ** 2).sum()
    of_both = repeats * float(residual) / ((n - 1) * (conditions - 1))
    of_image = repeats * conditions * float(mean_from_first(cells).var(ddof=1))
    image = (of_image - of_both) / (conditions * repeats)
    condition = (of_condition - of_both) / (n * repeats)
    if repeats == 1:
        return np.array([image, condition, of_both])
    within = float(squares.sum() / freedom.sum())
    return np.array([image, condition, (of_both - within) / repeats, within])
