"""What the files of a run hold: run.json, predictions.jsonl and metrics.json, as records that are checked when read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from lvlm_ad.backend import Outcome
from lvlm_ad.text2seg import Status

__all__ = ["METRIC_NAMES", "SCHEMA_VERSION", "TEXT_KEPT", "Manifest", "Measures", "PredictionRecord"]

SCHEMA_VERSION = 1

TEXT_KEPT = 20_000
"""Characters of an answer that predictions.jsonl holds; the whole is in answers.sqlite."""

METRIC_NAMES = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_aupro",
)
"""The seven metrics, in the order of every table."""


Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
"""Money, or seconds: no run takes more than 30,000 years."""

Count = Annotated[int, Field(ge=0, le=2**53)]


def _lower_first(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise ValueError("the lower end comes first")
    return ends


Span = Annotated[list[Fraction], Field(min_length=2, max_length=2), AfterValidator(_lower_first)]
"""Both ends of an interval."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelRecord(_Record):
    """Which method was measured."""

    name: str
    kind: Literal["backend", "baseline", "maps"]
    plugin: str
    identity: dict[str, Any]
    """What decides its answers; no keys."""
    row: Literal["regions", "dense"]
    """Measured through the regions, or by a baseline's own map."""
    frame: bool = False
    """A row that frames the table and is not ranked."""
    sees_truth: bool = False
    """The method is given the ground truth."""
    price: dict[str, Any]
    label: str = ""
    """Stands behind the name in every table."""
    notes: list[str] = []
    """What readers of a table must know."""


class DatasetRecord(_Record):
    """What it was measured on."""

    name: str
    fingerprint: str
    """SHA-256 over ids, labels, image files and mask files."""
    n_images: Annotated[int, Field(ge=1)]
    categories: Annotated[list[str], Field(min_length=1)]
    whole: bool
    """Every category and image of the test split, neither selected nor limited."""
    notes: list[str]


class DivisionRecord(_Record):
    """How images were cut."""

    method: str
    options: dict[str, Any]
    hash: str
    """SHA-256 over every image's division; empty for a dense row, which is not divided."""


class PromptRecord(_Record):
    """What was asked; empty for a baseline."""

    name: str = ""
    hash: str = ""
    zero_knowledge: bool = True
    with_schema: bool | None = None
    """Of a prompt that asks for JSON: whether the endpoint was told the schema."""


class Manifest(_Record):
    """Everything that the numbers depend on."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    config_hash: str
    """SHA-256 over all that follows but times and versions; the run folder's name ends with its beginning."""
    model: ModelRecord
    dataset: DatasetRecord
    protocol: dict[str, Any]
    division: DivisionRecord
    prompt: PromptRecord
    on_failure: Literal["zero", "exclude"]
    seed: int
    """0 where nothing depends on it."""
    versions: dict[str, str]
    started: str
    """UTC, ISO 8601."""
    seconds: Amount
    """Wall-clock time of this run; stored answers take none."""

    @field_validator("started")
    @classmethod
    def _started_is_a_time(cls, started: str) -> str:
        if datetime.fromisoformat(started).tzinfo is None:
            raise ValueError("started must be a time in UTC")
        return started

    @field_validator("protocol")
    @classmethod
    def _protocol_can_be_shown(cls, protocol: dict[str, Any]) -> dict[str, Any]:
        for name in ("shots", "image_size"):
            value = protocol.get(name, 0)
            if not (isinstance(value, int) and value >= 0) and not (value is None and name == "image_size"):
                raise ValueError(f"{name} must be a count")
        return protocol

    @property
    def row_name(self) -> str:
        """The model's name as tables show it."""
        behind = [*(["dense"] if self.model.row == "dense" else []), *([self.model.label] if self.model.label else [])]
        return f"{self.model.name} ({', '.join(behind)})" if behind else self.model.name


class PredictionRecord(_Record):
    """One line of predictions.jsonl."""

    id: str
    category: str
    label: bool
    defect: str
    image_score: Annotated[float, Field(allow_inf_nan=False)] | None
    """None where the answer holds none; in 0..1, but for maps from files."""
    regions: dict[int, Fraction]
    n_regions: Count
    status: Status
    notes: list[str]
    key: str
    """The stored answer's key in answers.sqlite; empty for a baseline."""
    outcome: Outcome = "ok"
    """How the answer ended, as the endpoint said; "status" is what was read from it."""
    text: str
    """The answer, cut after 20,000 characters; the whole is in answers.sqlite."""
    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Amount | None
    seconds: Amount
    division: str
    """The hash of the image's division; empty for a dense row."""

    @model_validator(mode="after")
    def _regions_are_there(self) -> PredictionRecord:
        if not all(1 <= number <= self.n_regions for number in self.regions):
            raise ValueError(f"regions are numbered 1 to {self.n_regions}")
        return self


class PlaceMeasures(_Record):
    """What was measured on one category, or the mean over all; what older versions did not write may be missing."""

    model_config = ConfigDict(extra="ignore", strict=True)

    image_auroc: Fraction | None = None
    image_ap: Fraction | None = None
    image_f1_max: Fraction | None = None
    pixel_auroc: Fraction | None = None
    pixel_ap: Fraction | None = None
    pixel_f1_max: Fraction | None = None
    pixel_aupro: Fraction | None = None
    n_images: Count
    n_measured: Count
    interval: dict[str, Span] = {}
    interval_over_categories: dict[str, Span] = {}
    range: dict[str, Span] = {}
    undefined: dict[str, str] = {}
    """Metric -> why it is None."""


class UsageMeasures(_Record):
    """What a run took, summed over its images; None where an answer does not say."""

    model_config = ConfigDict(extra="ignore", strict=True)

    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Amount | None
    spent_usd: Amount | None = None
    seconds: Amount


class AnswerMeasures(_Record):
    """How many answers came out how; the other counts are the statuses of predictions."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Count]

    total: Annotated[int, Field(ge=1)]
    usable: Count


class Measures(_Record):
    """The content of metrics.json."""

    model_config = ConfigDict(extra="ignore", strict=True)

    mean: PlaceMeasures
    categories: dict[str, PlaceMeasures]
    answers: AnswerMeasures
    usage: UsageMeasures
    coverage: Fraction | None = None
    """Share of images with a usable answer."""
    scores: dict[str, Count] = {}
