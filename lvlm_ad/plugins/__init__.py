"""Find backends and baselines, installed ones and the user's own, and build models with them.

A name that ``--model`` takes leads to a ``Plugin`` (a class that can answer or score); with settings it is a ``Model``;
and ``build`` makes the backend or baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad import __version__
from lvlm_ad.errors import ConfigError, PluginError, nearest
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins.adapt import METHODS, Kind, Plugin, as_plugin
from lvlm_ad.plugins.end_of_life import end_in_words, is_followed, successor_of, utc_today, whom_it_asks
from lvlm_ad.plugins.entries import AnyKind, chosen, installed, is_ours, loaded, owner
from lvlm_ad.plugins.methods import load_method, method_class, method_names
from lvlm_ad.plugins.own import is_own, own_class, title_of
from lvlm_ad.plugins.source import files_of_entry
from lvlm_ad.presets import ModelPreset, Pacing, Price, load_model, model_preset, preset_names, validated

if TYPE_CHECKING:
    from datetime import date

__all__ = [
    "AnyKind",
    "Kind",
    "Model",
    "Plugin",
    "as_plugin",
    "build",
    "clashes",
    "end_in_words",
    "find_model",
    "installed",
    "is_ours",
    "load_method",
    "load_plugin",
    "method_class",
    "method_names",
    "owner",
    "plugin_names",
    "title_of",
    "utc_today",
    "whom_it_asks",
]

_KINDS: tuple[Kind, ...] = ("baseline", "backend")


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of the installed backends or baselines, sorted.

    Example:
        >>> "contrast" in plugin_names("baseline")
        True
    """
    return sorted(installed(kind))


def clashes(presets: list[str]) -> dict[str, str]:
    """Find names of models that two packages offer.

    Args:
        presets: names of lvlm-ad's presets, which come before any plugin.

    Returns:
        Name -> a sentence that names the packages.
    """
    ours = f"lvlm-ad {__version__}"
    owners: dict[str, set[str]] = {name: {ours} for name in presets}
    for entry in (entry for kind in _KINDS for offers in installed(kind).values() for entry in offers):
        owners.setdefault(entry.name, set()).add(ours if is_ours(entry) else owner(entry))
    return {
        name: f"{name} is offered by {' and by '.join(sorted(packages))}; if lvlm-ad has one, that is used."
        for name, packages in owners.items()
        if len(packages) > 1
    }


def load_plugin(kind: Kind, name: str) -> Plugin:
    """Import a plugin by the name that its package gives it, by its file or as ``module:Class``.

    Raises:
        PluginError: it does not exist, is of the other kind, or its import fails.

    Example:
        >>> load_plugin("baseline", "chance").cls.__name__
        'Chance'
    """
    if not is_own(name):
        return _load_installed(kind, name)
    plugin = _load_own(name)
    if plugin.kind != kind:
        raise PluginError(f"{name} is a {plugin.kind}, not a {kind}.")
    return plugin


def _load_installed(kind: Kind, name: str) -> Plugin:
    entry = chosen(kind, name)
    what = f"The {kind} {name!r} of {owner(entry)}"
    cls = loaded(entry, what)
    plugin = as_plugin(cls, f"{what}, {entry.value},", files_of_entry(entry, cls))
    if plugin.kind != kind:
        raise PluginError(f"{what}, {entry.value}, is a {plugin.kind}; its package declares it in lvlm_ad.{kind}s.")
    return plugin


def _load_own(name: str) -> Plugin:
    methods = f"{', '.join(METHODS[:-1])} or {METHODS[-1]}"
    cls, files = own_class(name, lambda cls: any(hasattr(cls, one) for one in METHODS), f"with a method {methods}")
    return as_plugin(cls, name, files)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the user named: a plugin and its settings.

    Attributes:
        preset: the preset, with the settings of the command line.
        plugin: the backend or baseline.
        label: the model that is asked, if it is not the preset's own but the user's or a successor; else empty.
        former: the preset as it was, if its provider removed its model and its successor is asked; else None.
    """

    preset: ModelPreset
    plugin: Plugin
    label: str = ""
    former: ModelPreset | None = None

    @property
    def title(self) -> str:
        """The name as tables show it, such as "vllm (Qwen/Qwen3-VL-8B)" for one of the models that a server has."""
        return f"{self.preset.name} ({self.label})" if self.label else self.preset.name


def find_model(name: str, settings: dict[str, Any], *, today: date | None = None) -> tuple[Model, set[str]]:
    """Find a model by preset, preset file, plugin name or class, and apply the settings that it has.

    Args:
        name: a preset's name, a path ending in .toml, the name of an installed backend or baseline, the file of a class
            (``my_backend.py``, or ``my_backend.py:Class``) or a class in a module (``package.module:Class``).
        settings: key -> value; settings that belong to something else are left out. If they name another model or
            endpoint, the preset's prices are dropped.
        today: the day, which decides whether a preset's successor is asked; None: today in UTC. A user who names the
            model or the endpoint gets just that.

    Returns:
        The model, and the names of all settings that it has.

    Raises:
        ConfigError: nothing has this name (the message lists similar ones), or the preset is wrong; or
            ``price_per_hour`` is set for an endpoint.
        PluginError: the plugin cannot be loaded.

    Example:
        >>> model, known = find_model("chance", {})
        >>> model.preset.kind, "price_input" in known
        ('baseline', True)
    """
    preset, plugin = _find_preset(name)
    former = None
    if not settings.keys() & set(plugin.Options.priced_by) and is_followed(preset, today or utc_today()):
        former, preset = preset, successor_of(preset)
        plugin = load_plugin(preset.kind, preset.plugin)
    engines, own_engine = plugin.engines, preset.backend
    if engines:
        preset, plugin = _on_engine(preset, plugin, settings)
    options_class = plugin.Options
    of_chat = {"convention", "state_convention"} if preset.kind == "backend" else set()
    known = {"description", *of_chat, *Price.model_fields, *Pacing.model_fields, *options_class.model_fields}
    taken = {key: value for key, value in settings.items() if key in known}
    # A preset's prices hold for its model at its endpoint.
    elsewhere = any(key in taken and taken[key] != preset.options.get(key) for key in options_class.priced_by)
    price = Price() if elsewhere else preset.price
    if preset.kind == "backend" and not plugin.billed and price.price_input is None and price.price_output is None:
        price = price.model_copy(update={"price_input": 0.0, "price_output": 0.0})
    options = dict(preset.options)
    label = "" if former is None else str(options.get("model", ""))
    if "model" in taken and taken["model"] != options.get("model"):
        label = str(taken["model"])
        options = {key: value for key, value in options.items() if key not in options_class.of_model}
        if "model" in preset.options:
            preset = preset.model_copy(update={"convention": "", "state_convention": False, "prompts": {}})
    if preset.backend != own_engine:
        # Rows of the same model on two engines are told apart.
        label = f"{label}, {preset.backend}" if label else preset.backend
    if preset.convention and taken.get("convention", preset.convention) != preset.convention:
        # The preset's prompts may ask for the convention that it names.
        preset = preset.model_copy(update={"state_convention": True})
    end = None if elsewhere else preset.end_of_life
    flat = preset.model_dump(exclude={"price", "pacing", "options"}) | {"end_of_life": end}
    preset = model_preset({**flat, **price.model_dump(), **preset.pacing.model_dump(), **options, **taken})
    if preset.kind == "backend" and plugin.billed and preset.price.price_per_hour is not None:
        raise ConfigError(
            f"price_per_hour is for a model that runs on this machine. The answers of {name} overlap in time: give "
            "price_input and price_output, USD per million tokens."
        )
    return Model(preset, plugin, label, former), known | ({"engine"} if engines else set())


def _on_engine(preset: ModelPreset, plugin: Plugin, settings: Mapping[str, Any]) -> tuple[ModelPreset, Plugin]:
    """Return a preset and its backend on the engine that the settings or the preset name, if they name one."""
    options = dict(preset.options)
    own = options.pop("engine", preset.backend)
    engine = str(settings.get("engine", own))
    if engine not in plugin.engines:
        known = " or ".join(plugin.engines)
        raise ConfigError(f"engine is {known}; got {engine!r:.40}.{nearest(engine, plugin.engines)}")
    return preset.model_copy(update={"backend": engine, "options": options}), load_plugin("backend", engine)


def _find_preset(name: str) -> tuple[ModelPreset, Plugin]:
    presets = preset_names("models")
    if name.endswith(".toml") or name in presets:
        preset = load_model(name)
        return preset, load_plugin(preset.kind, preset.plugin)
    if is_own(name):
        plugin = _load_own(name)
        # Neither a hash nor a table may depend on the folder of the file.
        return model_preset({"name": title_of(name), plugin.kind: Path(name).name}), plugin
    offers = [(entries[0], kind) for kind in _KINDS for entries in installed(kind).values()]
    # Sorted, so that our own come last and win.
    plugins = {entry.name: kind for entry, kind in sorted(offers, key=lambda offer: is_ours(offer[0]))}
    if name not in plugins:
        raise ConfigError(
            f"There is no model {name!r}.{nearest(name, {*presets, *plugins})} For a preset file of your own, give its "
            "path, ending in .toml; for your own class, FILE.py or module:Class. 'lvlm-ad models' lists all models."
        )
    return model_preset({"name": name, plugins[name]: name}), load_plugin(plugins[name], name)


def build(model: Model) -> Any:
    """Build a model's backend or baseline with its options.

    Raises:
        ConfigError: an option is unknown or wrong.
        PluginError: the plugin cannot be built.

    Example:
        >>> build(find_model("chance", {})[0]).reference_row
        True
    """
    preset, plugin = model.preset, model.plugin
    options = validated(plugin.Options, preset.options, f"model {preset.name}")
    what = f"The {preset.kind} {preset.plugin!r}"
    with plugin_code(f"{what} cannot be built:", name=what):
        return plugin.build(options)
