"""What the user wants to measure: the configuration of a bench, as it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from lvlm_ad.errors import ConfigError, nearest, what_is_wrong
from lvlm_ad.escape import escaped
from lvlm_ad.evaluate.kept_pictures import size_in_bytes
from lvlm_ad.limits import is_utf8
from lvlm_ad.runs import DEFAULT_FPR_LIMIT

__all__ = ["REFERENCE_ROWS", "RunConfig"]

REFERENCE_ROWS = ("contrast", "chance", "oracle")
"""The rows beside which every model is shown, by the names of their presets."""

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class RunConfig:
    """What to measure, on which data, and how.

    Attributes:
        models: names of presets or plugins, paths of preset files (``x.toml``) or of files with your own class
            (``x.py``, ``x.py:Class``), or classes in modules (``package.module:Class``). Empty: the reference rows.
        dataset: its name; None: "demo" without ``data``, else the data set that ``data`` unmistakably is, or "folder".
        data: the data set's folder; the demo needs none.
        split: the part of a data set that has several, such as "private"; None: the usual one.
        categories: those to measure; all if empty.
        limit: at most this many images per category.
        method: how chat models inspect an image: a method's name, or a file or class of your own as for ``models``.
        protocol: the protocol preset, or a file's path.
        settings: key -> value: fields of the protocol and the model presets, and options of the plugins.
        out: the folder for runs and stores.
        stores: the folder of ``answers.sqlite``, ``cache.sqlite`` and pictures, for runs that share them with others;
            None: ``out``.
        concurrency: questions under way at once, at the start; the number then adapts to the endpoint's limit.
        max_cost: USD that may be spent.
        on_failure: "zero": an image without a usable answer counts as "no anomaly reported"; "exclude": it is left out.
        seed: chooses reference images and random scores.
        reference_rows: whether chance, contrast and oracle run beside the models.
        mask_threshold: a mask's pixel is defective above this value; None: see ``lvlm_ad.datasets.masks.read_mask``.
        mask_values: the mask values that are defective, in place of a threshold: numbers and ranges such as "1,3-7".
        retry_failed: ask again where a stored answer is refused, cut off, empty or unreadable.
        batch: use the endpoint's Batch API, which is slower and cheaper.
        fpr_limit: the false-positive rate up to which AUPRO is integrated, in (0, 1].
        resamples: bootstrap resamples for intervals, 50 or more; with 0 only image AUROC has an interval.
        engine: "local": all on this machine; "ray": images are divided and local models run on a Ray cluster. The
            numbers are the same.
        maps: the folder for the anomaly maps of every row; None: maps are not written.
        map_format: their format: "tiff" and "npy" hold each score as float32, "png" in 16 bits.
        ray_address: address of a running cluster; None: the one that RAY_ADDRESS names, or one on this machine alone.
        threshold: the score at which an image alarms: a number; "reference:QUANTILE" of good training images;
            "conformal:ALPHA", so that at most this share of good images alarms; "calibration:FOLDER" or
            "calibration:FRACTION", the best on other labelled images, or on a part of the test images.
        reference_images: at most this many good training images of each category are asked for the threshold.
        cost_miss: the price of a defect that passes; with the next three, the expected cost of a part is given.
        cost_false_alarm: the price of a good part that is rejected.
        cost_check: the price of a part that a person inspects because the model gave no answer.
        prevalence: the share of defective parts on the line, in (0, 1).
        keep_pictures: most bytes of drawn pictures that ``out`` keeps for later commands, as a number or as "2GB"; the
            least recently used are deleted. 0: only their digests, which are always kept, so that a stored answer is
            found without drawing.
        frame: old name of ``reference_rows``.

    Example:
        >>> RunConfig(models="contrast", limit="5").models
        ('contrast',)
    """

    models: Sequence[str] = ()
    dataset: str | None = None
    data: Path | None = None
    split: str | None = None
    categories: Sequence[str] = ()
    limit: int | None = None
    method: str = "regions"
    protocol: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    out: Path = Path("runs")
    stores: Path | None = None
    concurrency: Annotated[int, Field(ge=1)] = 16
    max_cost: Annotated[float, Field(ge=0)] | None = None
    on_failure: Literal["zero", "exclude"] = "zero"
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] = 0
    reference_rows: bool = True
    mask_threshold: int | None = None
    mask_values: str | None = None
    retry_failed: bool = False
    batch: bool = False
    fpr_limit: Annotated[float, Field(gt=0, le=1)] = DEFAULT_FPR_LIMIT
    resamples: int = 1000
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    maps: Path | None = None
    map_format: Literal["tiff", "png", "npy"] = "tiff"
    threshold: str = "0.5"
    reference_images: Annotated[int, Field(ge=1)] = 60
    cost_miss: Price | None = None
    cost_false_alarm: Price | None = None
    cost_check: Price | None = None
    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = None
    keep_pictures: Annotated[int, BeforeValidator(size_in_bytes), Field(ge=0)] = 2_000_000_000
    frame: InitVar[bool | None] = None

    def __post_init__(self, frame: bool | None) -> None:
        """Convert paths and numbers given as text, and one model or category given as text; refuse other types."""
        if frame is not None:
            object.__setattr__(self, "reference_rows", frame)
        for name in ("models", "categories"):
            value = getattr(self, name)
            several = isinstance(value, Sequence) and not isinstance(value, str)
            object.__setattr__(self, name, tuple(value) if several else (value,))
        object.__setattr__(self, "threshold", str(self.threshold))
        if str(self.settings.get("repeat")).lower() in {"true", "false"}:
            # The scripted backend's old name, until 0.3, for cycle; the protocol's repeat is a number.
            others = {name: value for name, value in self.settings.items() if name != "repeat"}
            object.__setattr__(self, "settings", {**others, "cycle": self.settings["repeat"]})
        for model in self.models:
            if not isinstance(model, str):
                raise ConfigError(
                    f"models takes names, not {model!r:.80}. Put a class of your own into a file, so that its stored "
                    "answers are kept apart from those of later versions, and give models=['FILE.py:CLASS']."
                )
        for name, value in self.settings.items():
            if not all(is_utf8(str(text)) for text in (name, value)):
                raise ConfigError(f"The setting {escaped(name)!r} holds bytes that are not valid UTF-8; correct them.")
        for name, field_type in _field_types().items():
            try:
                value = field_type.validate_python(getattr(self, name))
            except ValidationError as error:
                reason = what_is_wrong(error.errors(include_url=False)[0])
                raise ConfigError(f"{name} {reason}; got {getattr(self, name)!r:.80}.") from None
            object.__setattr__(self, name, value)

    @property
    def stores_folder(self) -> Path:
        """The folder of stored answers, divisions and pictures."""
        return self.out if self.stores is None else self.stores

    def with_options(self, options: Mapping[str, Any]) -> RunConfig:
        """Return this configuration with other values of some fields.

        Raises:
            ConfigError: there is no such field (the nearest are named), or it cannot hold the value.
        """
        known = [*(one.name for one in fields(self)), "frame"]
        for name in options:
            if name not in known:
                raise ConfigError(f"RunConfig has no field {name!r}.{nearest(name, known)}")
        return replace(self, **options)


@cache
def _field_types() -> dict[str, TypeAdapter[Any]]:
    """Return the type of each field of ``RunConfig``; the settings are checked by their owners."""
    hints = get_type_hints(RunConfig, include_extras=True)
    names = {one.name for one in fields(RunConfig)} - {"models", "categories", "settings"}
    return {name: TypeAdapter(hints[name]) for name in names}
