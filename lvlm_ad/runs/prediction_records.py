"""Schema of predictions.jsonl: one image's prediction, and what was asked and answered about it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lvlm_ad.backend import Outcome
from lvlm_ad.limits import REGIONS
from lvlm_ad.regions.shapes import shape_from_json
from lvlm_ad.runs.fields import Amount, Count, Fraction
from lvlm_ad.text2seg import Status
from lvlm_ad.text2seg.finding import Source

__all__ = ["PredictionRecord", "StepRecord"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_NEWER = ("shapes", "flags", "source", "mass", "spread", "steps", "measures")
"""Fields of a prediction that came later than version 0.2."""


class StepRecord(_Record):
    """One answered question of several about an image."""

    key: str
    text: str = ""
    """The answer's beginning; at most 20,000 characters, and 400,000 of all answers about an image."""
    outcome: Outcome = "ok"
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    seconds: Amount = 0.0


class PredictionRecord(_Record):
    """One image's prediction: one line of predictions.jsonl. The defaults are those of an own map, which asks nothing.

    If several questions were asked about the image, ``key``, ``outcome`` and ``text`` are those of the last one, and
    tokens, cost and seconds are totals.

    Example:
        >>> record = PredictionRecord(
        ...     id="bolt/bent/003", category="bolt", label=True, defect="bent", image_score=0.9, regions={5: 0.8},
        ...     n_regions=60, text="image anomaly score: 0.9; region 5: 0.8.",
        ... )  # fmt: skip
        >>> PredictionRecord.model_validate_json(record.model_dump_json()) == record
        True
    """

    id: str
    category: str
    label: bool
    defect: str
    image_score: Annotated[float, Field(allow_inf_nan=False)] | None
    """None where the answer has none. In 0..1, except for maps from files."""
    regions: dict[int, Fraction] = {}
    n_regions: Annotated[int, Field(ge=0, le=REGIONS)] = 0
    status: Status = "ok"
    """What was read from the answer."""
    notes: list[str] = []
    key: str = ""
    """The stored answer's key in answers.sqlite; empty for a baseline."""
    outcome: Outcome = "ok"
    """How the answer ended, as the endpoint reported it."""
    text: str = ""
    """The answer's first 20,000 characters; answers.sqlite has the whole answer."""
    # Before cost_usd: where only scores and costs are needed, the last cost in a line is read.
    steps: list[StepRecord] = []
    """Every answered question, if there are several."""
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    seconds: Amount = 0.0
    division: str = ""
    """The hash of the image's division; empty if it is not divided."""
    shapes: list[dict[str, Any]] = []
    """Places other than regions, as ``lvlm_ad.regions.shapes.shape_to_json`` writes them."""
    flags: list[str] = []
    """What was wrong with places, by name."""
    source: Source = ""
    """Where a yes or no comes from: "probability" or "text"; else empty."""
    mass: Amount | None = None
    """Of a yes or no with probabilities: the probability of both together."""
    spread: Amount | None = None
    """The standard deviation of the image scores of several answers."""
    measures: dict[str, Amount] = {}
    """What ``shape_measures`` returned for this image, such as its IoU."""

    @field_validator("shapes")
    @classmethod
    def _check_shapes(cls, shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in shapes:
            shape_from_json(one)
        return shapes

    def line(self) -> bytes:
        """Return the record as a line of predictions.jsonl; newer fields only where they say something."""
        unset = {name for name in _NEWER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump_json(exclude=unset).encode() + b"\n"

    @model_validator(mode="after")
    def _check_regions(self) -> PredictionRecord:
        if not all(1 <= number <= self.n_regions for number in self.regions):
            raise ValueError(f"regions are numbered 1 to {self.n_regions}")
        return self
