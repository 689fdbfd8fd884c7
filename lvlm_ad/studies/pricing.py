"""What a study would ask and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.studies.condition import Condition, StudyDesign

__all__ = ["total_price", "without_asked"]

_ASKED = ("to_ask", "cost_usd", "at_most_usd")
"""What a forecast says of the questions without a stored answer."""


def total_price(design: StudyDesign, forecasts: Sequence[tuple[Condition, dict[str, Any]]]) -> dict[str, Any]:
    """Add up the forecasts of a study's conditions.

    Args:
        design: the study.
        forecasts: of each condition, see ``forecast_study``.

    Returns:
        "study" (its name), "images", the sums "questions", "stored", "to_ask", "cost_usd" and "at_most_usd" (None where
        one is unknown), and "conditions": what ``forecast`` returns for each, with its name, factor and level.
    """
    conditions = [{"name": one.name, "factor": one.factor, "level": one.level, **of} for one, of in forecasts]
    columns = {name: [one[name] for one in conditions] for name in ("questions", "stored", *_ASKED)}
    sums = {name: None if None in values else sum(values) for name, values in columns.items()}
    return {"study": design.name, "images": len(design.images.dataset), **sums, "conditions": conditions}


def without_asked(found: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition's forecast without the questions that an earlier condition asks as well."""
    asked = {key: None if None in {found[key], earlier[key]} else max(0, found[key] - earlier[key]) for key in _ASKED}
    return {**found, **asked, "stored": found["questions"] - asked["to_ask"]}
