"""Schemas of a run's files: run.json, predictions.jsonl and metrics.json. Reading a file checks every field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from lvlm_ad.backend import Outcome
from lvlm_ad.errors import what_is_wrong
from lvlm_ad.limits import REGIONS, TOTAL_COUNT, check_plain
from lvlm_ad.methods.contract import Places
from lvlm_ad.presets import Price, Protocol
from lvlm_ad.runs.decision_records import DecisionMeasures
from lvlm_ad.runs.fields import Amount, Count, Fraction, Interval, Values
from lvlm_ad.text2seg import Status
from lvlm_ad.text2seg.finding import Source

__all__ = [
    "DEFAULT_FPR_LIMIT",
    "INTERVAL_RULE",
    "METRIC_NAMES",
    "METRIC_TITLES",
    "SCHEMA_VERSION",
    "TEXT_KEPT",
    "Manifest",
    "Measures",
    "MethodRecord",
    "PredictionRecord",
    "StepRecord",
]

SCHEMA_VERSION = 1

TEXT_KEPT = 20_000
"""Characters of an answer that predictions.jsonl keeps; answers.sqlite keeps the whole answer."""

DEFAULT_FPR_LIMIT = 0.3
"""The false-positive rate up to which AUPRO is integrated, unless a run says otherwise."""

INTERVAL_RULE = 2
"""How intervals are computed. Those of rule 1, of versions 0.1 and before, were too narrow: no table uses them."""

METRIC_TITLES = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "image_f1_max": "Image F1",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1_max": "Pixel F1",
    "pixel_aupro": "PRO",
}
"""The seven metrics, in the order of every table, and their names on pages and in notebooks."""

METRIC_NAMES = tuple(METRIC_TITLES)


def _check(values: dict[str, Any], model: type[BaseModel]) -> None:
    """Raise ValueError unless values are valid for a preset's class: tables and pages calculate with them."""
    try:
        model.model_validate(values, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))} {what_is_wrong(problem)}") from error


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_NEWER = ("shapes", "flags", "source", "spread", "steps", "measures")
"""Fields of a prediction that came later than version 0.2."""


class ModelRecord(_Record):
    """The method that was measured."""

    name: str
    kind: Literal["backend", "baseline", "maps"]
    plugin: str
    identity: Values
    """The options that decide its answers; no keys."""
    row: Literal["regions", "dense"]
    """"regions": scores of regions, painted into them. "dense": a baseline's own anomaly map."""
    frame: bool = False
    """Whether it is a reference row: chance, contrast or oracle. Reference rows are not ranked."""
    sees_truth: bool = False
    """Whether the method is given the ground truth."""
    price: Values

    @field_validator("price")
    @classmethod
    def _check_price(cls, price: dict[str, Any]) -> dict[str, Any]:
        _check(price, Price)
        return price

    label: str = ""
    """Text that follows the name in every table, in brackets."""
    notes: list[str] = []
    """What a reader of a table must know."""


class DatasetRecord(_Record):
    """The data set that the method was measured on."""

    name: str
    fingerprint: str
    """SHA-256 over ids, labels, image files and mask files."""
    n_images: Annotated[int, Field(ge=1, le=TOTAL_COUNT)]
    categories: Annotated[list[str], Field(min_length=1)]
    whole: bool
    """Whether every category and image of the test split was measured."""
    notes: list[str]

    @property
    def summary(self) -> str:
        """What was measured, such as "mvtec (part): 10 images, 2 categories"."""
        several = len(self.categories) > 1
        categories = f", {len(self.categories)} categories" if several else f" of {self.categories[0]}"
        images = f"{self.n_images} image{'' if self.n_images == 1 else 's'}"
        return f"{self.name}{'' if self.whole else ' (part)'}: {images}{categories}"


class DivisionRecord(_Record):
    """How images were divided into regions."""

    method: str
    options: Values
    hash: str
    """SHA-256 over every image's division; empty for an own map, which needs no division."""


class PromptRecord(_Record):
    """What the model was asked; empty for a baseline."""

    name: str = ""
    hash: str = ""
    zero_knowledge: bool = True
    with_schema: bool | None = None
    """For a prompt that asks for JSON: whether the endpoint was given the schema."""


class MethodRecord(_Record):
    """How the model inspected each image; the default is left out of run.json, as before there were others."""

    name: str = "regions"
    options: Values = {}
    """The options that decide a finding."""
    convention: Values = {}
    """How the model writes coordinates, for a method that reads them; with "told", whether the question says it."""
    places: Places = "regions"
    """In what it says where a defect is; empty: it does not say."""


class Manifest(_Record):
    """Everything that a run's numbers depend on: the content of run.json."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    config_hash: str
    """SHA-256 over all fields below except times and versions. The run folder's name ends with its first 8 digits."""
    model: ModelRecord
    dataset: DatasetRecord
    protocol: Values
    division: DivisionRecord
    prompt: PromptRecord
    method: MethodRecord = MethodRecord()
    on_failure: Literal["zero", "exclude"]
    seed: Annotated[int, AfterValidator(check_plain)]
    """0 where nothing depends on it."""
    versions: dict[str, str]
    started: str
    """UTC, ISO 8601."""
    seconds: Amount
    """Wall-clock time of this run; stored answers take none."""

    @field_validator("started")
    @classmethod
    def _check_time(cls, started: str) -> str:
        if datetime.fromisoformat(started).tzinfo is None:
            raise ValueError("started must be a time in UTC")
        return started

    @field_validator("protocol")
    @classmethod
    def _check_protocol(cls, protocol: dict[str, Any]) -> dict[str, Any]:
        """Check the fields that tables and pages calculate with."""
        # An image size of 0 stands for each image's own.
        known = {name: protocol[name] for name in Protocol.model_fields.keys() & protocol if protocol[name] is not None}
        _check({"name": "", **known, **({} if known.get("image_size") else {"image_size": 768})}, Protocol)
        limit = protocol.get("fpr_limit", DEFAULT_FPR_LIMIT)
        if not isinstance(limit, float) or not 0 < limit <= 1:
            raise ValueError("fpr_limit must be above 0 and at most 1")
        return protocol

    @model_serializer(mode="wrap")
    def _without_default_method(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialize(self)
        if self.method == MethodRecord():
            values.pop("method", None)
        return values

    @property
    def fpr_limit(self) -> float:
        """The false-positive rate up to which AUPRO is integrated."""
        return float(self.protocol.get("fpr_limit", DEFAULT_FPR_LIMIT))

    @property
    def row_name(self) -> str:
        """The model's name as tables show it, such as "contrast (dense)", or "gpt-4o (boxes)" for another method."""
        method = "" if self.method.name == "regions" else self.method.name
        labels = ", ".join(filter(None, (method, "dense" if self.model.row == "dense" else "", self.model.label)))
        return f"{self.model.name} ({labels})" if labels else self.model.name


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
    """Of a yes or no: "probability" or "text"."""
    spread: Amount | None = None
    """The standard deviation of the image score over several answers."""
    measures: dict[str, Amount] = {}
    """What is measured in this image alone, such as its IoU or how many points lie in it."""

    def line(self) -> bytes:
        """Return the record as a line of predictions.jsonl; newer fields only where they say something."""
        unset = {name for name in _NEWER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump_json(exclude=unset).encode() + b"\n"

    @model_validator(mode="after")
    def _check_regions(self) -> PredictionRecord:
        if not all(1 <= number <= self.n_regions for number in self.regions):
            raise ValueError(f"regions are numbered 1 to {self.n_regions}")
        return self


class _Measures(_Record):
    model_config = ConfigDict(extra="ignore", strict=True)


class ShapeMeasures(_Measures):
    """The metrics of shapes of one category, or the mean over all."""

    miou_box: Fraction | None
    miou_mask: Fraction | None
    acc_box_10: Fraction | None
    acc_box_30: Fraction | None
    acc_box_50: Fraction | None
    acc_mask_10: Fraction | None
    acc_mask_30: Fraction | None
    acc_mask_50: Fraction | None
    false_alarms: Fraction | None
    point_hit: Fraction | None = None
    """Of a method that answers in points, as the next."""
    found: Fraction | None = None
    interval: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    range: dict[str, Interval] = {}


class CategoryMeasures(_Measures):
    """The metrics of one category, or the mean over all. Fields that older versions did not write have a default."""

    image_auroc: Fraction | None = None
    image_ap: Fraction | None = None
    image_f1_max: Fraction | None = None
    pixel_auroc: Fraction | None = None
    pixel_ap: Fraction | None = None
    pixel_f1_max: Fraction | None = None
    pixel_aupro: Fraction | None = None
    n_images: Count
    n_measured: Count
    n_with_truth: Count | None = None
    """How many images the pixel metrics cover, if some ground truth is unknown."""
    fpr_limit: Fraction = DEFAULT_FPR_LIMIT
    interval: dict[str, Interval] = {}
    """Metric -> the ends of its 95 % interval."""
    no_interval: dict[str, str] = {}
    """Metric -> why it has a value but no interval."""
    few_images: list[str] = []
    """Metrics with so few images that even a perfect value does not exclude chance."""
    bound_at_extreme: dict[str, Fraction] = {}
    """Image AUROC at 1 or 0 -> the smallest or largest true AUROC that no valid interval can exclude."""
    interval_over_categories: dict[str, Interval] = {}
    """Of a mean: metric -> an interval that also stands for other kinds of objects."""
    range: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    """Metric -> why it is None."""
    shapes: ShapeMeasures | None = None
    """Of a method that answers in boxes, points, cells or masks."""


class GroupMeasures(_Measures):
    """The defects of one kind in a category, or of one size, against the good images."""

    n: Count
    """Defective images that were measured."""
    categories: list[str] = []
    """Of a size: the categories that have such defects; the metrics are means over them."""
    image_auroc: Fraction | None
    pixel_auroc: Fraction | None
    pixel_aupro: Fraction | None
    judged: Count = 0
    """Defective images that are judged at the run's threshold, those without an answer included."""
    found: Count = 0
    """Those of them that alarm."""
    recall: Fraction | None = None
    interval: dict[str, Interval] = {}
    no_interval: dict[str, str] = {}
    few_images: list[str] = []
    bound_at_extreme: dict[str, Fraction] = {}
    undefined: dict[str, str] = {}


class UsageMeasures(_Measures):
    """Tokens, cost and time of all answers together; None where an answer does not report them."""

    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Amount | None
    spent_usd: Amount | None = None
    seconds: Amount
    questions: Count | None = None
    """Questions that were answered; only of methods other than regions, which asks one an image."""


class AnswerMeasures(_Measures):
    """How many answers have which status."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Count]

    total: Annotated[int, Field(ge=1, le=TOTAL_COUNT)]
    usable: Count


class IntervalMeasures(_Measures):
    """How a run's intervals were computed."""

    level: Fraction = 0.95
    resamples: Count = 0
    pixels: str = ""
    """How pixels were counted for resamples: "exact", or at how many thresholds."""
    rule: Count = 1


class Measures(_Measures):
    """The content of metrics.json."""

    mean: CategoryMeasures
    categories: dict[str, CategoryMeasures]
    answers: AnswerMeasures
    usage: UsageMeasures
    intervals: IntervalMeasures = IntervalMeasures()
    """Missing in runs of rule 1 with --resamples 0."""
    coverage: Fraction | None = None
    """The fraction of images with a usable answer."""
    scores: dict[str, Count] = {}
    findings: dict[str, Count] = {}
    """What tables must say of the findings; only of methods other than regions."""
    decisions: DecisionMeasures | None = None
    kinds: dict[str, dict[str, GroupMeasures]] = {}
    """Category -> kind of defect -> its metrics, where a category has several kinds."""
    sizes: dict[str, GroupMeasures] = {}
    """Size of defect -> the metrics of such defects."""
