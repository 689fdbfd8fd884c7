"""Types of the fields of a run's files: reading a file checks every field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from lvlm_ad.limits import TOTAL_AMOUNT, TOTAL_COUNT, check_plain

Ends = TypeVar("Ends", bound=Sequence[float])


def check_order(ends: Ends) -> Ends:
    """Refuse an interval whose ends are in the wrong order."""
    if ends[0] > ends[1]:
        raise ValueError("the lower end comes first")
    return ends


Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Amount = Annotated[float, Field(ge=0, le=TOTAL_AMOUNT, allow_inf_nan=False)]
"""USD or seconds."""

Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Of a part, in the currency of the prices that the user gave."""

Count = Annotated[int, Field(ge=0, le=TOTAL_COUNT)]

Values = Annotated[dict[str, Any], AfterValidator(check_plain)]
"""Options, settings, prices: any values that JSON can hold."""

Interval = Annotated[list[Fraction], Field(min_length=2, max_length=2), AfterValidator(check_order)]
