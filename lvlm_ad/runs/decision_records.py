"""The schema of "decisions" in metrics.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lvlm_ad.limits import TOTAL_COUNT
from lvlm_ad.runs.fields import Cost, Count, Fraction, Interval, check_order


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class DecisionRates(_Record):
    """Rates of right and wrong decisions; None where undefined."""

    recall: Fraction | None = None
    miss: Fraction | None = None
    false_alarm: Fraction | None = None
    precision: Fraction | None = None
    balanced_accuracy: Fraction | None = None
    precision_at_prevalence: Fraction | None = None
    interval: dict[str, Interval] = {}


class DecisionCounts(DecisionRates):
    """Counts of decisions, and their rates."""

    tp: Count = 0
    fn: Count = 0
    fp: Count = 0
    tn: Count = 0
    abstain_defect: Count = 0
    abstain_good: Count = 0


class CategoryDecisions(DecisionCounts):
    """A category's threshold, and its decisions; without a threshold only the reason."""

    threshold: Annotated[float, Field(allow_inf_nan=False)] | None
    strict: bool = False
    """Whether only scores above the threshold alarm; otherwise the threshold itself alarms too."""
    reason: str = ""
    n_chosen_from: Count = 0
    guarantee: Fraction | None = None
    bound95: Fraction | None = None
    cost_per_part: Cost | None = None


class AbstentionMeasures(_Record):
    """Risk and coverage, if the least sure decisions are left to a person."""

    max_coverage: Fraction
    area: Fraction
    risk_at: dict[str, Fraction | None]
    coverage_at: dict[str, Fraction]
    risk_abstentions_wrong: Fraction | None = None
    points: list[Annotated[list[Fraction], Field(min_length=2, max_length=2)]]


class SplitMeasures(_Record):
    """How much the mean rates vary with the random split: their standard deviation over ``n`` splits."""

    n: Count
    sd: dict[str, Fraction | None]


class PriceMeasures(_Record):
    """What the cost of a part was computed with."""

    miss: Cost
    false_alarm: Cost
    check: Cost
    model: Cost | None = None


class CostMeasures(_Record):
    """The expected cost of a part, with the model and without."""

    per_part: Cost | None
    interval: Annotated[list[Cost], Field(min_length=2, max_length=2), AfterValidator(check_order)] | None
    pass_all: Cost
    scrap_all: Cost
    inspect_all: Cost
    prevalence: Fraction
    prices: PriceMeasures
    verdict: str = ""
    reason: str = ""


class DecisionMeasures(_Record):
    """Decisions at thresholds that do not depend on the labels of the judged images."""

    threshold: str
    """The option --threshold; of a calibration folder only the name."""
    kind: Literal["fixed", "reference", "conformal", "calibration"]
    seed: int = 0
    prevalence: Fraction | None = None
    mean: DecisionRates
    pooled: DecisionCounts
    categories: dict[str, CategoryDecisions]
    calibration: dict[str, Annotated[float, Field(ge=-1, le=TOTAL_COUNT)]] | None
    abstention: AbstentionMeasures | None
    asked: dict[str, Count] = {}
    splits: SplitMeasures | None = None
    cost: CostMeasures | None = None
