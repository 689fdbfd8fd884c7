"""What a study would ask and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvlm_ad.studies.costs import NO_PRICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.presets import Price
    from lvlm_ad.studies.condition import Condition, StudyDesign

__all__ = ["total_price", "without_asked"]

_ASKED = ("to_ask", "cost_usd", "at_most_usd")
"""Fields of a forecast that count only questions without a stored answer."""


def total_price(design: StudyDesign, forecasts: Sequence[tuple[Condition, dict[str, Any]]]) -> dict[str, Any]:
    """Add up the forecasts of a study's conditions.

    Args:
        design: the study.
        forecasts: of each condition, see ``forecast_study``.

    Returns:
        "study" (its name), "images", the sums "questions", "stored", "shared" (not stored, but asked by another
        condition, too, and counted there), "to_ask", "cost_usd" and "at_most_usd" (None where one is unknown),
        "unpriced" (model -> why "cost_usd" is unknown), and "conditions": what ``forecast`` returns for each, with its
        name, factor, level and "shared".
    """
    conditions = [
        {"name": one.name, "factor": one.factor, "level": one.level, "shared": 0, **of} for one, of in forecasts
    ]
    columns = {name: [one[name] for one in conditions] for name in ("questions", "stored", "shared", *_ASKED)}
    sums = {name: None if None in values else sum(values) for name, values in columns.items()}
    unpriced = {
        of["model"]: _why_unknown(design.plan_of(one).models[0].preset.price, of)
        for one, of in forecasts
        if of["cost_usd"] is None
    }
    whole = {"study": design.name, "images": len(design.images.dataset), **sums}
    return {**whole, "unpriced": unpriced, "conditions": conditions}


def without_asked(found: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition's forecast without the questions that an earlier condition asks as well: these are shared.

    Args:
        found: the condition's forecast, see ``forecast_study``.
        earlier: that of the earlier condition.

    Returns:
        ``found`` with "to_ask", "cost_usd" and "at_most_usd" lower by those of ``earlier``, 0 or more, None where one
        of the two is unknown; and "shared", how many questions were taken off.

    Example:
        >>> votes = {"to_ask": 30, "cost_usd": 0.3, "at_most_usd": None}
        >>> without_asked(votes, {"to_ask": 10, "cost_usd": 0.125, "at_most_usd": 0.2})
        {'to_ask': 20, 'cost_usd': 0.175, 'at_most_usd': None, 'shared': 10}
    """
    asked = {key: None if None in {found[key], earlier[key]} else max(0, found[key] - earlier[key]) for key in _ASKED}
    return {**found, **asked, "shared": found["to_ask"] - asked["to_ask"]}


def _why_unknown(price: Price, found: Mapping[str, Any]) -> str:
    """Return why the cost of a condition's questions is unknown."""
    if not price.known:
        return NO_PRICE
    if found["input_tokens"] is None:
        return "no answer is stored yet, and the preset has no rule for the tokens of pictures (image_tokens)"
    return "how long an answer takes is unknown until one is stored"
