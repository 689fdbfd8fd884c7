"""What a stability study costs and how precise it is, and the cheapest one within a number of questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lvlm_ad.errors import ConfigError
from lvlm_ad.metrics.stability import images_for_flip_rate, within_sd_relative_error
from lvlm_ad.metrics.stability.planning import flip_rate_half_width

__all__ = ["EXPECTED_FLIP_RATE", "Allocation", "allocate", "precision"]

EXPECTED_FLIP_RATE = 0.10
"""The flip rate for which precision is planned; nothing is known before asking."""

FEWEST_IMAGES = 50
"""Where fewer images would remain, a factor is dropped instead: with 50 images asked twice, the SD has a relative
standard error of 10 %."""

_LARGEST_HALF_WIDTH = 0.5

_FEWEST_LEVELS = {"numbering": 3}
"""Besides the base: a factor needs two levels for a variance, and numbers need four orders to differ from places."""


@dataclass(frozen=True)
class Allocation:
    """How a number of questions is spent.

    Attributes:
        images: how many images.
        repeats: how often the base is asked.
        levels: of each factor that is varied, its number of levels.
        dropped: factors for which there are too few questions.
        questions: how many are asked.
    """

    images: int
    repeats: int
    levels: Mapping[str, int]
    dropped: tuple[str, ...]
    questions: int


def precision(images: int, repeats: int) -> dict[str, float]:
    """Return how precise a study is expected to be.

    Args:
        images: n, 1 or more.
        repeats: R, answers of the base, 2 or more.

    Returns:
        "flip_rate_half_width": of the 95 % interval of a flip rate of 0.10, as ``images_for_flip_rate`` plans it;
        "sd_relative_error": the relative standard error of the within-image SD, see ``within_sd_relative_error``.

    Raises:
        MetricError: there are fewer images or repeats.

    Example:
        >>> {name: round(value, 3) for name, value in precision(385, 2).items()}
        {'flip_rate_half_width': 0.03, 'sd_relative_error': 0.036}
    """
    return {
        "flip_rate_half_width": flip_rate_half_width(EXPECTED_FLIP_RATE, images, repeats),
        "sd_relative_error": within_sd_relative_error(images, repeats),
    }


def allocate(
    questions: int,
    available: int,
    factors: Mapping[str, int],
    *,
    per_answer: int = 1,
    half_width: float = 0.05,
    most_repeats: int = 3,
) -> Allocation:
    """Find the cheapest study for a precision within a number of questions.

    Images are added before repeats: for the same number of questions they give the smaller interval, since most
    variance lies between images. The base is asked twice, and each factor at as few levels as its variance needs. A
    factor that would leave fewer than 50 images is dropped, the last one first; repeats are added only where there are
    no more images.

    Args:
        questions: the most to ask.
        available: how many images there are.
        factors: how many levels each factor has, the most important first.
        per_answer: how many questions the method asks about an image.
        half_width: wanted for a flip rate of 0.10, above 0 and below 0.5.
        most_repeats: how often the base may be asked at most.

    Returns:
        It asks ``questions`` or fewer.

    Raises:
        ConfigError: the questions do not suffice for two images asked twice, or the half width is out of its range.

    Example:
        >>> found = allocate(1000, 500, {"paraphrase": 8, "numbering": 64})
        >>> found.images, found.repeats, dict(found.levels), found.questions
        (139, 2, {'paraphrase': 2, 'numbering': 3}, 973)
    """
    if not 0 < half_width < _LARGEST_HALF_WIDTH:
        raise ConfigError(f"--half-width takes a number above 0 and below {_LARGEST_HALF_WIDTH}; got {half_width:g}.")
    levels = {name: min(count, _FEWEST_LEVELS.get(name, 2)) for name, count in factors.items()}
    needed = images_for_flip_rate(EXPECTED_FLIP_RATE, half_width)
    enough = min(FEWEST_IMAGES, available, needed)
    dropped: list[str] = []
    repeats = 2

    def images_for(answers: int) -> int:
        return min(available, questions // (answers * per_answer))

    while levels and images_for(repeats + sum(levels.values())) < enough:
        dropped.insert(0, levels.popitem()[0])
    images = min(images_for(repeats + sum(levels.values())), needed)
    if images < 2:  # noqa: PLR2004 - one good and one anomalous
        raise ConfigError(
            f"--questions {questions} is too few: 2 images asked twice take {4 * per_answer}; give more questions."
        )
    while (
        repeats < most_repeats
        and precision(images, repeats)["flip_rate_half_width"] > half_width
        and images_for(repeats + 1 + sum(levels.values())) >= images
    ):
        repeats += 1
    asked = images * per_answer * (repeats + sum(levels.values()))
    return Allocation(images, repeats, levels, tuple(dropped), asked)
