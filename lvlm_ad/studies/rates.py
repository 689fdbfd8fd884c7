"""Numbers of ``study.json`` whose range is known: checked, and their intervals cut off there, also when it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from lvlm_ad.studies.record import Number

__all__ = ["Change", "Rate", "Spreading", "clipped"]

_ROUNDING = 1e-9
"""By so much sums of fractions may leave their range."""


def clipped(number: Number, low: float = -1.0, high: float = 1.0) -> Number:
    """Return a number whose interval ends where its possible values do.

    Intervals of Student's t and of the jackknife know no limits, so with few images they reach beyond them.

    Args:
        number: its value lies in ``low`` to ``high``.
        low: the smallest possible value; -1 for a difference of fractions.
        high: the largest.

    Example:
        >>> clipped(Number(value=0.53, interval=(-0.05, 1.11))).interval
        (-0.05, 1.0)
    """
    if number.interval is None:
        return number
    ends = (max(number.interval[0], low), min(number.interval[1], high))
    return number if ends == number.interval else number.model_copy(update={"interval": ends})


def _check_rate(number: Number) -> Number:
    if number.value is not None and not -_ROUNDING <= number.value <= 1 + _ROUNDING:
        raise ValueError("the value must be a fraction in 0..1")
    return clipped(number, 0.0)


def _check_change(number: Number) -> Number:
    if number.value is not None and not -1 - _ROUNDING <= number.value <= 1 + _ROUNDING:
        raise ValueError("the value must be in -1..1")
    return clipped(number)


Rate = Annotated[Number, AfterValidator(_check_rate)]
"""A metric, a rate, a variance of scores. Its value must lie in 0..1; its interval ends there."""

Change = Annotated[Number, AfterValidator(_check_change)]
"""A difference of two such numbers. Its value must lie in -1..1; its interval ends there."""

Spreading = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A standard deviation, a half width or a range."""
