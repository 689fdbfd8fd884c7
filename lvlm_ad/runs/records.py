"""Schema of run.json, and what the schemas of a run's other files share. Reading a file checks every field."""

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
)

from lvlm_ad.errors import what_is_wrong
from lvlm_ad.limits import TOTAL_COUNT, check_plain
from lvlm_ad.methods.contract import Places
from lvlm_ad.presets import Price, Protocol
from lvlm_ad.runs.fields import Amount, Values

__all__ = [
    "DEFAULT_FPR_LIMIT",
    "INTERVAL_RULE",
    "METRIC_NAMES",
    "METRIC_TITLES",
    "SCHEMA_VERSION",
    "TEXT_KEPT",
    "Manifest",
    "MethodRecord",
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


class ModelRecord(_Record):
    """The model that was measured: a chat model, a baseline, or maps from files."""

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
    """Whether it is given the ground truth."""
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

    @property
    def title(self) -> str:
        """The name as readers see it."""
        return self.name if self.name.strip() else "(no name)"


class DatasetRecord(_Record):
    """The data set that the model was measured on."""

    name: str
    fingerprint: str
    """SHA-256 over ids, labels, image files and mask files."""
    n_images: Annotated[int, Field(ge=1, le=TOTAL_COUNT)]
    categories: Annotated[list[str], Field(min_length=1)]
    whole: bool
    """Whether every category and image of the test split was measured."""
    notes: list[str]
    split: str = ""
    """The part of a data set that has several. "" is left out of run.json, as in runs of older versions."""
    is_labelled: bool = True
    """Whether its images are known to be normal or anomalous. If not, the run has predictions but no metrics."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialize(self)
        if not self.split:
            values.pop("split", None)
        if self.is_labelled:
            values.pop("is_labelled", None)
        return values

    @property
    def images(self) -> str:
        """How many images, such as "10 images, 2 categories"."""
        several = len(self.categories) > 1
        categories = f", {len(self.categories)} categories" if several else f" of {self.categories[0]}"
        return f"{self.n_images} image{'' if self.n_images == 1 else 's'}{categories}"

    @property
    def summary(self) -> str:
        """What was measured, such as "mvtec (part): 10 images, 2 categories"."""
        split = f", split {self.split}" if self.split else ""
        return f"{self.name}{split}{'' if self.whole else ' (part)'}: {self.images}"


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
    own: bool | None = None
    """For a method whose answers follow a convention: whether the question is that of the model's preset, not the
    user's. Each model is then asked in the words and the convention that it knows."""


class MethodRecord(_Record):
    """How the model inspected each image. The default is left out of run.json, as in runs of older versions."""

    name: str = "regions"
    options: Values = {}
    """The options that decide a finding."""
    convention: Values = {}
    """How the model writes coordinates, for a method that reads them; "stated": whether questions state it."""
    places: Places = "regions"
    """The kind of place that it answers with; empty: it gives no map."""


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
        return f"{self.model.title} ({labels})" if labels else self.model.title
