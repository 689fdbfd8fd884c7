"""What a bench measures: the plan, in which every name of the user's configuration is resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.datasets.readers import recognized_around
from lvlm_ad.decisions import Choice, parse_threshold
from lvlm_ad.engines import RayOptions
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.evaluate.method_choice import (
    check_protocol,
    check_questions,
    check_references,
    measurable,
    prompts_of,
    with_method,
)
from lvlm_ad.evaluate.reported import limits_of
from lvlm_ad.evaluate.run_config import REFERENCE_ROWS, RunConfig
from lvlm_ad.evaluate.threshold_images import Drawing, threshold_images
from lvlm_ad.evaluate.unlabelled import predictable, validation_images
from lvlm_ad.plugins import Model, find_model, title_of
from lvlm_ad.plugins.methods import load_method
from lvlm_ad.presets import PromptPreset, Protocol, load_protocol
from lvlm_ad.regions import METHODS, DivisionOptions, division_options
from lvlm_ad.regions.methods import GridOptions

if TYPE_CHECKING:
    from lvlm_ad.methods import Method

__all__ = ["REFERENCE_ROWS", "Plan", "RunConfig", "load_data", "resolve"]

FEWEST_RESAMPLES = 50
"""Fewer give no interval worth the name."""


_OPTIONS = {one.name for one in fields(RunConfig)} - {"models", "categories", "settings"}
_OPTIONS |= {"model", "category", "dry_run", "json", "log", "report"}
"""Options of the command line that a user may take for settings."""


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
        validation_images: normal images whose maps give the threshold of maps, which SegF1, ClassF1 and the folder for
            a server need.
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
    validation_images: tuple[Sample, ...] = ()

    @property
    def is_labelled(self) -> bool:
        """Whether the images are known to be normal or anomalous; otherwise nothing can be measured."""
        return all(sample.is_labelled for sample in self.dataset)

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
    def with_channels(self) -> frozenset[str]:
        """The ids of the images whose defects are counted one by one, for AU-sPRO."""
        needed = limits_of(self.dataset.metrics, "au_spro")
        return frozenset(sample.id for sample in self.dataset) if needed else frozenset()

    @cached_property
    def asked(self) -> Dataset:
        """All images that models are asked about, in their order.

        The validation images of a category come before its test images, those for the threshold at the end.
        """
        if not self.threshold_images and not self.validation_images:
            return self.dataset
        # A category is measured, and its maps are released, once the maps of its validation images are there, too.
        first: dict[str, list[Sample]] = {}
        for sample in self.validation_images:
            first.setdefault(sample.category, []).append(sample)
        tested = [one for sample in self.dataset for one in (*first.pop(sample.category, ()), sample)]
        return replace(self.dataset, samples=(*tested, *self.threshold_images), kinds=self.dataset.defects)


def resolve(config: RunConfig, dataset: Dataset | None = None, *, unlabelled: bool = False) -> Plan:
    """Find the models, presets and data set that a configuration names, and check its values.

    Args:
        config: the configuration.
        dataset: the data set itself; None: the one that the configuration names.
        unlabelled: whether the images may be without labels.

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a plugin cannot be loaded.
        DataError: the data set cannot be read, or has no labels.
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
    protocol, method_name = with_method(protocol, method, settings), title_of(config.method)
    check_protocol(protocol, method, method_name)
    found = _find_models(config, fields_of_protocol.union(of_method))
    models = measurable(found, config.models, method, method_name)
    _check_prices(models, config)
    if config.batch and not any(model.preset.kind == "backend" for model in models):
        raise ConfigError("--batch needs a chat model; a baseline asks no questions. Leave --batch out.")
    prompt, own_prompts = prompts_of(protocol, method, method_name, models, settings)
    division = _division(protocol, settings)
    if dataset is None:
        # Last, since the demo may have to be drawn.
        dataset = load_data(config)
    check_questions(method, method_name, dataset)
    check_references(protocol, dataset)
    if dataset.image_size is not None and "image_size" not in protocol.model_fields_set:
        protocol = protocol.model_copy(update={"image_size": dataset.image_size})
    selected = dataset.select(config.categories, config.limit)
    is_labelled = all(sample.is_labelled for sample in selected)
    if not is_labelled:
        models = predictable(models, config, selected, wanted=unlabelled)
    cuts_maps = bool(method.places) and (not is_labelled or not {"segf1", "classf1"}.isdisjoint(selected.metrics))
    reading = {"mask_threshold": config.mask_threshold, "mask_values": config.mask_values}
    drawing = Drawing(config.reference_images, protocol.shots, config.seed, reading, protocol.reference_set)
    return Plan(
        config,
        tuple(models),
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
        validation_images=validation_images(selected, config.limit) if cuts_maps else (),
    )


def _find_models(config: RunConfig, known: set[str]) -> list[Model]:
    """Find the models and the reference rows; refuse settings that neither they nor ``known`` have."""
    if not config.models and not config.reference_rows:
        raise ConfigError("Without reference rows and without a model there is nothing to measure; name a model.")
    references = REFERENCE_ROWS if config.reference_rows else ()
    found = [find_model(name, dict(config.settings)) for name in dict.fromkeys([*config.models, *references])]
    of_engine = set(RayOptions.model_fields) if config.engine == "ray" else set()
    known = known.union(of_engine, *(keys for _, keys in found))
    for key in config.settings:
        if key not in known:
            raise ConfigError(f"There is no setting {key!r}.{_hint(key, known)}")
    return [model for model, _ in found]


def _division(protocol: Protocol, settings: Mapping[str, Any]) -> DivisionOptions:
    """Return the options of the division. A protocol may set several methods; settings may not set another method's."""
    own = METHODS[protocol.division][0].model_fields if protocol.division in METHODS else {}
    options = {key: value for key, value in protocol.division_options().items() if key in own or key in settings}
    return division_options(protocol.division, options)


def load_data(config: RunConfig) -> Dataset:
    """Read the data set that a configuration names; the demo may have to be drawn.

    Raises:
        DataError: it cannot be read.
    """
    name = config.dataset or ("demo" if config.data is None else recognized_around(Path(config.data)) or "folder")
    return load_dataset(
        name,
        config.data,
        mask_threshold=config.mask_threshold,
        mask_values=config.mask_values,
        categories=config.categories,
        split=config.split,
    )


def _hint(key: str, known: Iterable[str]) -> str:
    """Say what the user of an unknown setting probably meant; begins with a space."""
    option = key.strip("- ").lower().replace("-", "_")
    if option == "engine":
        return " Only models that run on this machine have it. To compute with Ray: bench --engine ray."
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
                f"A limit on the cost needs a price, but that of {model.preset.name} is unknown. Give it with "
                "--set price_input=... --set price_output=... (USD per million tokens)."
            )
