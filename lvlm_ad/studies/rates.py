"""Numbers of ``study.json`` that are fractions: metrics and rates, checked when a study is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from lvlm_ad.runs.fields import check_order
from lvlm_ad.studies.record import Number

__all__ = ["Rate"]

_ROUNDING = 1e-9
"""By so much sums of fractions may leave 0..1."""


def _check_rate(number: Number) -> Number:
    if number.value is not None and not -_ROUNDING <= number.value <= 1 + _ROUNDING:
        raise ValueError("the value must be a fraction in 0..1")
    if number.interval is not None:
        check_order(list(number.interval))
    return number


Rate = Annotated[Number, AfterValidator(_check_rate)]
"""A metric or a rate. Only its value lies in 0..1: an interval that was made by the jackknife may reach beyond."""
