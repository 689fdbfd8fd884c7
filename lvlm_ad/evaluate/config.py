"""What a bench measures: the user's configuration, and the plan, in which every name is resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.decisions import Choice, parse_threshold
from lvlm_ad.engines import RayOptions
from lvlm_ad.errors import ConfigError, nearest, what_is_wrong
from lvlm_ad.escape import escaped
from lvlm_ad.evaluate.method_choice import method_title, prompts_of, with_method
from lvlm_ad.evaluate.threshold_images import Drawing, threshold_images
from lvlm_ad.limits import is_utf8
from lvlm_ad.plugins import Model, find_model
from lvlm_ad.plugins.methods import load_method
from lvlm_ad.presets import PromptPreset, Protocol, load_protocol
from lvlm_ad.regions import METHODS, DivisionOptions, division_options
from lvlm_ad.regions.methods import GridOptions
from lvlm_ad.runs import DEFAULT_FPR_LIMIT

if TYPE_CHECKING:
    from lvlm_ad.methods import Method

__all__ = ["REFERENCE_ROWS", "Plan", "RunConfig", "resolve"]

REFERENCE_ROWS = ("contrast", "chance", "oracle")
"""The rows beside which every model is shown, by the names of their presets."""

FEWEST_RESAMPLES = 50
"""Fewer give no interval worth the name."""


Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class RunConfig:
    """What to measure, on which data, and how.

    Attributes:
        models: names of presets or plugins, paths of preset files (``x.toml``) or of files with your own class
            (``x.py``, ``x.py:Class``), or classes in modules (``package.module:Class``). Empty: the reference rows.
        dataset: "mvtec", "visa", "folder" or "demo"; None: "folder" if ``data`` is given, else "demo".
        data: the data set's folder; the demo needs none.
        categories: those to measure; all if empty.
        limit: at most this many images per category.
        method: how chat models inspect an image: a method's name, or a file or class of your own as for ``models``.
        protocol: the protocol preset, or a file's path.
        settings: key -> value: fields of the protocol and the model presets, and options of the plugins.
        out: the folder for runs and stores.
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
        frame: old name of ``reference_rows``.

    Example:
        >>> RunConfig(models="contrast", limit="5").models
        ('contrast',)
    """

    models: Sequence[str] = ()
    dataset: str | None = None
    data: Path | None = None
    categories: Sequence[str] = ()
    limit: int | None = None
    method: str = "regions"
    protocol: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    out: Path = Path("runs")
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


_OPTIONS = {one.name for one in fields(RunConfig)} - {"models", "categories", "settings"}
_OPTIONS |= {"model", "category", "dry_run", "json", "log", "report"}
"""Options of the command line that a user may take for settings."""


@cache
def _field_types() -> dict[str, TypeAdapter[Any]]:
    """Return the type of each field of ``RunConfig``; the settings are checked by their owners."""
    hints = get_type_hints(RunConfig, include_extras=True)
    names = {one.name for one in fields(RunConfig)} - {"models", "categories", "settings"}
    return {name: TypeAdapter(hints[name]) for name in names}


@dataclass(frozen=True)
class Plan:
    """A configuration in which every name is resolved.

    Attributes:
        config: the configuration.
        models: the models in the order to run.
        protocol: the conditions.
        method: how chat models inspect an image.
        method_name: its name in runs and tables.
        prompt: the question.
        own_prompts: the prompts of models whose presets name another, by the model's name.
        division: the division's options, defaults filled in.
        dataset: the test images to measure.
        whole: whether that is the whole test split.
        choice: how the threshold is chosen.
        threshold_images: other images that it is chosen from.
    """

    config: RunConfig
    models: tuple[Model, ...]
    protocol: Protocol
    method: Method
    method_name: str
    prompt: PromptPreset
    own_prompts: Mapping[str, PromptPreset]
    division: DivisionOptions
    dataset: Dataset
    whole: bool
    choice: Choice
    threshold_images: tuple[Sample, ...] = ()

    def prompt_of(self, model: Model) -> PromptPreset:
        """Return the prompt of a model's questions."""
        return self.own_prompts.get(model.preset.name, self.prompt)

    @cached_property
    def divided(self) -> Plan:
        """The plan by which images are divided.

        Where neither the method nor a baseline needs regions, an image is not cut at all, but its files are checked.
        """
        if self.method.needs_regions or any(model.preset.kind == "baseline" for model in self.models):
            return self
        whole = GridOptions(grid_rows=1, grid_columns=1, min_area=0, max_area=1e12)
        return replace(self, protocol=self.protocol.model_copy(update={"division": "grid"}), division=whole)

    @cached_property
    def asked(self) -> Dataset:
        """The test images, and after them those that the threshold is chosen from."""
        samples = (*self.dataset.samples, *self.threshold_images)
        return (
            replace(self.dataset, samples=samples, kinds=self.dataset.defects)
            if self.threshold_images
            else self.dataset
        )


def resolve(config: RunConfig, dataset: Dataset | None = None) -> Plan:
    """Find the models, presets and data set that a configuration names, and check its values.

    Args:
        config: the configuration.
        dataset: the data set itself; None: the one that the configuration names.

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a plugin cannot be loaded.
        DataError: the data set cannot be read.
    """
    if config.resamples and config.resamples < FEWEST_RESAMPLES:
        raise ConfigError(f"--resamples takes 0, or {FEWEST_RESAMPLES} or more, not {config.resamples}.")
    if config.ray_address is not None and config.engine != "ray":
        raise ConfigError("--ray-address needs --engine ray.")
    choice = parse_threshold(config.threshold)
    _check_cost(config)
    settings = dict(config.settings)
    fields_of_protocol = set(Protocol.model_fields) - {"name"}
    protocol = load_protocol(config.protocol, {key: settings[key] for key in settings if key in fields_of_protocol})
    method, of_method = load_method(config.method, settings)
    protocol, method_name = with_method(protocol, method, settings), method_title(config.method)
    if not config.models and not config.reference_rows:
        raise ConfigError("Without reference rows and without a model there is nothing to measure; name a model.")
    references = REFERENCE_ROWS if config.reference_rows else ()
    models = [find_model(name, settings) for name in dict.fromkeys([*config.models, *references])]
    known = fields_of_protocol.union(of_method, *(keys for _, keys in models))
    known |= set(RayOptions.model_fields) if config.engine == "ray" else set()
    for key in settings:
        if key not in known:
            raise ConfigError(f"There is no setting {key!r}.{_hint(key, known)}")
    _check_prices([model for model, _ in models], config)
    if config.batch and not any(model.preset.kind == "backend" for model, _ in models):
        raise ConfigError("--batch needs a chat model; a baseline asks no questions. Leave --batch out.")
    prompt, own_prompts = prompts_of(protocol, method, method_name, [model for model, _ in models], settings)
    # A protocol may set several division methods; --set may not set another method's.
    own = METHODS[protocol.division][0].model_fields if protocol.division in METHODS else {}
    options = {key: value for key, value in protocol.division_options().items() if key in own or key in settings}
    division = division_options(protocol.division, options)
    if dataset is None:
        # Last, since the demo may have to be drawn.
        name = config.dataset or ("demo" if config.data is None else "folder")
        dataset = load_dataset(
            name,
            config.data,
            mask_threshold=config.mask_threshold,
            mask_values=config.mask_values,
            categories=config.categories,
        )
    selected = dataset.select(config.categories, config.limit)
    reading = {"mask_threshold": config.mask_threshold, "mask_values": config.mask_values}
    drawing = Drawing(config.reference_images, protocol.shots, config.seed, reading)
    return Plan(
        config,
        tuple(model for model, _ in models),
        protocol,
        method,
        method_name,
        prompt,
        own_prompts,
        division,
        selected,
        whole=dataset.complete and len(selected) == len(dataset),
        choice=choice,
        threshold_images=threshold_images(choice, selected, drawing),
    )


def _hint(key: str, known: Iterable[str]) -> str:
    """Say what the user of an unknown setting probably meant; begins with a space."""
    option = key.strip("- ").lower().replace("-", "_")
    if option in _OPTIONS:
        return f" It is an option of bench: --{option.replace('_', '-')}."
    secret = " Do not give a key on the command line: name its environment variable." if "key" in key else ""
    return f"{nearest(key, known)}{secret}"


def _check_cost(config: RunConfig) -> None:
    """Refuse a part of what the expected cost of a part needs."""
    prices = {name: getattr(config, name) for name in ("cost_miss", "cost_false_alarm", "cost_check")}
    needed = {**prices, "prevalence": config.prevalence}
    missing = [f"--{name.replace('_', '-')}" for name, value in needed.items() if value is None]
    if missing and any(value is not None for value in prices.values()):
        raise ConfigError(f"The expected cost of a part also needs {', '.join(missing)}.")


def _check_prices(models: Sequence[Model], config: RunConfig) -> None:
    """Refuse a limit in money for a model whose price is unknown."""
    if config.max_cost is None:
        return
    for model in models:
        price = model.preset.price
        if model.preset.kind == "backend" and (price.price_input is None or price.price_output is None):
            raise ConfigError(
                f"--max-cost needs a price, but that of {model.preset.name} is unknown. Give it with "
                "--set price_input=... --set price_output=... (USD per million tokens)."
            )
