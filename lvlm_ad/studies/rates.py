"""Numbers of ``study.json`` whose range is known, checked when a study is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from lvlm_ad.studies.record import Number

__all__ = ["Change", "Rate", "Spreading"]

_ROUNDING = 1e-9
"""By so much sums of fractions may leave their range."""


def _check_rate(number: Number) -> Number:
    if number.value is not None and not -_ROUNDING <= number.value <= 1 + _ROUNDING:
        raise ValueError("the value must be a fraction in 0..1")
    return number


def _check_change(number: Number) -> Number:
    if number.value is not None and not -1 - _ROUNDING <= number.value <= 1 + _ROUNDING:
        raise ValueError("the value must be in -1..1")
    return number


Rate = Annotated[Number, AfterValidator(_check_rate)]
"""A metric, a rate, a variance of scores. Only its value lies in 0..1: an interval may reach beyond."""

Change = Annotated[Number, AfterValidator(_check_change)]
"""A difference of two such numbers. Only its value lies in -1..1: an interval may reach beyond."""

Spreading = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A standard deviation, a half width or a range."""
