"""Schema of predictions.jsonl: one image's prediction, and what was asked and answered about it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lvlm_ad.backend import Outcome
from lvlm_ad.datasets.questions import DETECTION, LETTERS
from lvlm_ad.limits import REGIONS
from lvlm_ad.regions.shapes import shape_from_json
from lvlm_ad.runs.fields import Amount, Count, Fraction
from lvlm_ad.text2seg import Status
from lvlm_ad.text2seg.finding import Source

__all__ = ["ChoiceRecord", "PredictionRecord", "StepRecord"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_NEWER = (
    *("shapes", "flags", "source", "mass", "spread", "steps", "measures", "choices", "is_labelled"),
    *("tags", "part", "cut"),
)
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


class ChoiceRecord(_Record):
    """A multiple-choice question, and what was chosen."""

    type: str
    """What the question is about, such as "Anomaly Detection"."""
    options: Annotated[int, Field(ge=2, le=len(LETTERS))]
    """How many options it has."""
    right: str
    """The right option's letter."""
    chosen: str | None
    """The letter that was chosen; None: none could be read."""
    status: Status = "ok"
    """Why none could be read."""

    @model_validator(mode="after")
    def _check_letters(self) -> ChoiceRecord:
        letters = {*LETTERS[: self.options]}
        if self.right not in letters or (self.chosen is not None and self.chosen not in letters):
            raise ValueError(f"letters must be one of {LETTERS[: self.options]}")
        return self


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
    is_labelled: bool = True
    """If not, ``label`` says nothing."""
    choices: list[ChoiceRecord] = []
    """The data set's questions about the image and what was chosen, in the order in which they were asked."""
    tags: dict[str, str] = {}
    """What else is known of the image, such as its lighting; metrics are given for each."""
    part: str = ""
    """The object in the picture, where several images show the same one."""
    cut: tuple[Count, Count, Count] | None = None
    """TP, FP and FN in pixels of the map cut at the category's "map_thresholds" of metrics.json."""

    @property
    def has_score(self) -> bool:
        """Whether something was asked that gives an image score; of multiple-choice questions only one does."""
        return not self.choices or any(one.type == DETECTION for one in self.choices)

    @property
    def usable(self) -> bool:
        """Whether the image has an image score or, if nothing was asked that gives one, a choice that could be read."""
        read = any(one.chosen is not None for one in self.choices)
        return self.image_score is not None or (read and not self.has_score)

    def is_left_out(self, on_failure: str) -> bool:
        """Whether metrics leave the image out: it can have no image score, or has none and ``on_failure`` says so."""
        return not self.has_score or (self.image_score is None and on_failure == "exclude")

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
