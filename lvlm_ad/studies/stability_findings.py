"""What a stability study found besides its verdict, a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.studies.changes import Change, changed_points, in_points, simultaneous
from lvlm_ad.studies.wording import bracketed

if TYPE_CHECKING:
    from lvlm_ad.studies.record import Number
    from lvlm_ad.studies.stability_changes import OtherWays
    from lvlm_ad.studies.stability_record import AnsweringFigures, PositionFigures, RepeatFigures

__all__ = ["findings"]

_LEVEL = 0.05


def findings(
    ways: OtherWays, repeats: RepeatFigures | None = None, positions: PositionFigures | None = None
) -> list[str]:
    """Say what repeats did not answer, which other way of asking changes most, and which number is preferred.

    Args:
        ways: what other ways of asking change: decisions and the mean score.
        repeats: of all images.
        positions: how often regions are named by their number.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> from lvlm_ad.studies.changes import Change
        >>> from lvlm_ad.studies.stability_changes import OtherWays
        >>> findings(OtherWays(shifts=(Change("marks (wide)", Number(value=0.1, interval=(0.02, 0.18)), 50),)))
        ['Marks (wide) shifts the mean score by +10.0 points [+2.0, +18.0].']
    """
    found = [] if repeats is None else [*_answering(repeats.answering), *_flips(ways, repeats.flip_rate)]
    found += [] if positions is None else _preference(positions)
    return found if not ways.shifts else [*found, _shift(ways)]


def _flips(ways: OtherWays, again: Number) -> list[str]:
    """Say which way of asking decides otherwise most often, if that is surely more often than when asked again."""
    if again.interval is None:
        return []
    sure = [one for one in ways.flips if one.least > again.interval[1]]
    if not sure:
        return []
    most = max(sure, key=lambda one: one.size)
    of = f", the most of {len(ways.flips)} ways of asking" if len(ways.flips) > 1 else ""
    said = f"{most.words[0].upper()}{most.words[1:]} flips {_rate(most.number)} of the decisions at the threshold{of}"
    return [f"{said}; asking again flips {_rate(again)}."]


def _rate(number: Number) -> str:
    return f"{100 * (number.value or 0.0):.1f} %{bracketed(number.interval or (0.0, 1.0))}"


def _shift(ways: OtherWays) -> str:
    if not any(one.size for one in ways.shifts):
        return "In this study, no other way of asking shifted the mean score."
    count = len(ways.shifts)
    known = [one for one in ways.shifts if one.sure or one.equal]
    largest = max(known or ways.shifts, key=lambda one: one.size)
    points = changed_points(largest.number)
    if known:
        of = f", the largest{' sure' if largest.sure else ''} shift of {count}" if count > 1 else ""
        what = f"the mean score by {points}"
        if largest.equal:
            what = f"the score of each of the {largest.images} images by {in_points(largest.number)}"
        return f"{largest.words[0].upper()}{largest.words[1:]} shifts {what}{of}."
    if count == 1:
        return f"No sure shift of the mean score: {points} by {largest.words}."
    return f"No sure shift of the mean score: the largest of {count} is {points} by {largest.words}."


def _answering(answering: AnsweringFigures | None) -> list[str]:
    """Say how many images were answered one time and not another; nothing if none was, or if it is unknown."""
    if answering is None or not answering.words:
        return []
    rate = _rate(answering.rate)
    said = f"Asked up to {answering.times} times, {answering.words} ({rate}): refused, unreadable, cut off or failed."
    return [f"{said} All other figures leave missing answers out."]


def _preference(positions: PositionFigures) -> list[str]:
    """Name the number with which regions are surely named more or less often, if the numbers surely differ."""
    if positions.adjusted_p_value is None or positions.adjusted_p_value > _LEVEL:
        return []
    numbers = zip(positions.numbers, positions.effect, strict=True)
    changes = simultaneous([Change(str(number), effect, positions.images) for number, effect in numbers])
    sure = [one for one in changes if one.sure]
    if not sure:
        return []
    largest = max(sure, key=lambda one: one.size)
    verb, often = ("preferred", "more") if (largest.number.value or 0.0) > 0 else ("avoided", "less")
    said = f"Number {largest.words} is {verb}: the same region is named {often} often with it than with other numbers"
    points = f"{changed_points(largest.number)} against the average number"
    chance = f"If numbers did not matter, such differences would have a probability of {positions.chance}."
    return [f"{said} ({points}). {chance}"]
