"""How many images and repeats a precision needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.intervals import FEWEST_IMAGES, Z, mean_auroc_interval

__all__ = [
    "Design",
    "design",
    "flip_rate_half_width",
    "images_for_auroc",
    "images_for_flip_rate",
    "within_sd_relative_error",
]

_MOST_IMAGES = 10**7


@dataclass(frozen=True, slots=True)
class Design:
    """How often to ask about each image, and about how many, for the mean score of an image set.

    Attributes:
        best_repeats: the cheapest number of answers an image, not rounded; None if more answers are always cheaper than
            more images.
        repeats: the same as a whole number, 1 or more; None likewise.
        images: how many images give the half width with ``repeats`` answers each, rounded up; None likewise.
        images_with_one: how many images give it with one answer each, not rounded.
    """

    best_repeats: float | None
    repeats: int | None
    images: int | None
    images_with_one: float


def design(between: float, within: float, cost_image: float, cost_answer: float, half_width: float) -> Design:
    """Choose the cheapest number of answers an image for a half width of the mean score's 95 % interval.

    The variance of the mean over n images with k answers each is (B + W/k)/n. At a given variance, n (cost_image + k
    cost_answer) is lowest at k = sqrt(W/B cost_image/cost_answer) (Cochran, Sampling Techniques, 1977, section 10.6).

    Args:
        between: B, the variance between images, 0 or more.
        within: W, the variance of the answers of one image, 0 or more.
        cost_image: of one more image, whatever is asked about it, 0 or more.
        cost_answer: of one answer, 0 or more, in the same unit.
        half_width: of the interval, above 0.

    Raises:
        MetricError: a number is below 0, or the half width is 0.

    Example:
        >>> design(between=0.01, within=0.04, cost_image=0.02, cost_answer=0.02, half_width=0.03)
        Design(best_repeats=2.0, repeats=2, images=129, images_with_one=213.41437892745145)
    """
    if min(between, within, cost_image, cost_answer) < 0 or not half_width > 0:
        raise MetricError("Variances and costs must be 0 or more, and the half width above 0.")
    scale = (Z / half_width) ** 2
    with_one = scale * (between + within)
    saved, paid = within * cost_image, between * cost_answer
    if not paid and saved:
        return Design(None, None, None, with_one)
    best = math.sqrt(saved / paid) if paid else 0.0
    whole = [max(1, math.floor(best)), max(1, math.ceil(best))]
    k = min(whole, key=lambda k: (between + within / k) * (cost_image + k * cost_answer))
    return Design(best, k, max(1, math.ceil(scale * (between + within / k))), with_one)


def within_sd_relative_error(n: int, k: int) -> float:
    """Return the relative standard error of a within-image standard deviation, for normal scores: 1/sqrt(2 n (k - 1)).

    Args:
        n: images, 1 or more.
        k: answers of each, 2 or more.

    Raises:
        MetricError: there are fewer.

    Example:
        >>> within_sd_relative_error(50, 2)
        0.1
    """
    if n < 1 or k < 2:  # noqa: PLR2004 - one answer has no spread
        raise MetricError(f"{n} images with {k} answers each have no spread; 1 image and 2 answers are the fewest.")
    return 1 / math.sqrt(2 * n * (k - 1))


def flip_rate_half_width(rate: float, images: int, repeats: int = 2) -> float:
    """Return the half width of a flip rate's 95 % interval, as ``images_for_flip_rate`` plans it.

    Args:
        rate: the flip rate expected, above 0 and at most 0.5.
        images: 1 or more.
        repeats: answers of each image, 2 or more.

    Raises:
        MetricError: a number is out of its range.

    Example:
        >>> round(flip_rate_half_width(0.10, 385), 4)
        0.03
    """
    if not (0 < rate <= 0.5 and images > 0 and repeats > 1):  # noqa: PLR2004 - see the docstring
        raise MetricError(
            f"Flip rate {rate:g}, {images} images, {repeats} answers: the rate must be above 0 and at most 0.5, and "
            "1 image and 2 answers are the fewest."
        )
    return Z * math.sqrt(_flip_variance(rate, repeats) / images)


def images_for_flip_rate(rate: float, half_width: float, repeats: int = 2) -> int:
    """Return how many images give a flip rate to a half width of its 95 % interval.

    With M = R(R - 1)/2 pairs of answers, an image's share of pairs that disagree has a variance of at most
    f((1 + 1/M)/2 - f), reached where some images flip a coin and all others are stable; for R = 2 it is f(1 - f).

    Args:
        rate: f, the flip rate expected, above 0 and at most 0.5: two answers to yes or no disagree no more often.
        half_width: above 0.
        repeats: R, answers of each image, 2 or more.

    Raises:
        MetricError: a number is out of its range.

    Example:
        >>> images_for_flip_rate(0.10, 0.03), images_for_flip_rate(0.20, 0.05), images_for_flip_rate(0.20, 0.05, 3)
        (385, 246, 144)
    """
    if not (0 < rate <= 0.5 and half_width > 0 and repeats > 1):  # noqa: PLR2004 - see the docstring
        raise MetricError(
            f"Flip rate {rate:g}, half width {half_width:g}, {repeats} answers: the rate must be above 0 and at most "
            "0.5, the half width above 0, and each image needs 2 answers."
        )
    return math.ceil((Z / half_width) ** 2 * _flip_variance(rate, repeats))


def _flip_variance(rate: float, repeats: int) -> float:
    """Return the largest variance of an image's share of pairs that disagree; see ``images_for_flip_rate``."""
    pairs = repeats * (repeats - 1) / 2
    return rate * ((1 + 1 / pairs) / 2 - rate)


def images_for_auroc(auroc: float, half_width: float, categories: int = 1) -> int:
    """Return how many images of each class and category give a mean image AUROC to a half width of its interval.

    The interval is that of ``intervals.mean_auroc_interval``, all categories alike and a factor of 1.

    Args:
        auroc: the AUROC expected, in 0..1.
        half_width: half of the distance between the interval's ends, above 0.
        categories: K, 1 or more.

    Returns:
        2 or more.

    Raises:
        MetricError: a number is out of its range, or more than ten million images are needed.

    Example:
        >>> [images_for_auroc(0.8, 0.05, categories) for categories in (1, 5, 15)]
        [151, 31, 11]
    """
    if not (0 <= auroc <= 1 and half_width > 0 and categories > 0):
        raise MetricError(
            f"AUROC {auroc:g} must be in 0..1, half width {half_width:g} and {categories} categories above 0."
        )

    def enough(images: int) -> bool:
        sizes = [images] * categories
        low, high = mean_auroc_interval([auroc] * categories, sizes, sizes, [1.0] * categories) or (0.0, 1.0)
        return (high - low) / 2 <= half_width

    few, many = FEWEST_IMAGES - 1, FEWEST_IMAGES
    while not enough(many):
        if many > _MOST_IMAGES:
            raise MetricError(f"A half width of {half_width:g} needs more than {_MOST_IMAGES:,} images; ask for less.")
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
