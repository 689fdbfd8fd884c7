"""Finds backends and baselines through entry points and says what is wrong when it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from lvlm_ad.backend import Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import ConfigError, LvlmAdError, PluginError, nearest
from lvlm_ad.presets import ModelPreset, Pacing, Price, load_model, model_preset, preset_names, validated

__all__ = ["Model", "build", "find_model", "load_plugin", "plugin_names"]

Kind = Literal["backend", "baseline"]

_KINDS: tuple[Kind, ...] = ("baseline", "backend")

_EXTRAS = {"torch": "local", "transformers": "local", "accelerate": "local", "open_clip": "clip", "ray": "ray"}
"""Top-level module -> the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was asked for: its preset and the plugin's class.

    Attributes:
        preset: the preset, settings of the command line applied.
        plugin: the backend's or baseline's class.
    """

    preset: ModelPreset
    plugin: type[Any]


def _entries(kind: Kind) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=f"lvlm_ad.{kind}s"):
        # The same installation can be listed twice, by two metadata folders on the path.
        if all(entry.value != other.value for other in found.setdefault(entry.name, [])):
            found[entry.name].append(entry)
    return found


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of the installed backends or baselines, sorted."""
    return sorted(_entries(kind))


def load_plugin(kind: Kind, name: str) -> type[Any]:
    """Import a plugin's class.

    Raises:
        PluginError: no installed package offers the name (the nearest are named), two packages do, or its import fails;
            the message names the package, its version and the cause.
    """
    entries = _entries(kind)
    found = entries.get(name, [])
    if not found:
        raise PluginError(f"There is no {kind} {name!r} installed.{nearest(name, entries)}")
    if len(found) > 1:
        raise PluginError(
            f"The {kind} {name!r} is offered twice, by {' and by '.join(_owner(entry) for entry in found)}; "
            "uninstall one of them."
        )
    entry = found[0]
    try:
        plugin = entry.load()
    except ModuleNotFoundError as error:
        raise PluginError(_missing(kind, f"{name} of {_owner(entry)}", error)) from error
    except Exception as error:
        raise PluginError(
            f"The {kind} {name!r} of {_owner(entry)} cannot be loaded from {entry.value}: "
            f"{type(error).__name__}: {error}."
        ) from error
    base = Backend if kind == "backend" else Baseline
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError(f"The {kind} {name!r} of {_owner(entry)} is no subclass of {base.__name__}: {entry.value}.")
    return plugin


def _missing(kind: Kind, name: str, error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(module)
    remedy = f"pip install 'lvlm-ad[{extra}]'" if extra else f"install the package that brings {module!r}"
    return f"The {kind} {name} needs the module {module!r}, which is not installed; {remedy}."


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def find_model(name: str, settings: dict[str, Any]) -> tuple[Model, set[str]]:
    """Find a model by preset, preset file or plugin name, and apply the settings that it knows.

    Args:
        name: a preset's name, a path ending in .toml, or the name of an installed backend or baseline.
        settings: key -> value; those that are neither the preset's nor the plugin's are left. Where they name another
            model or endpoint, the preset's prices are dropped.

    Returns:
        The model, and every setting that it knows, taken or not.

    Raises:
        ConfigError: nothing has this name (the nearest are named), or the preset is wrong.
        PluginError: the plugin cannot be loaded.
    """
    presets = preset_names("models")
    plugins: dict[str, Kind] = {found: kind for kind in _KINDS for found in _entries(kind)}
    if name.endswith(".toml") or name in presets:
        preset = load_model(name)
    elif name in plugins:
        preset = model_preset({"name": name, plugins[name]: name})
    else:
        raise ConfigError(
            f"There is no model {name!r}.{nearest(name, {*presets, *plugins})} A preset file of your own is given by "
            "its path, ending in .toml; 'lvlm-ad models' lists what there is."
        )
    plugin = load_plugin(preset.kind, preset.plugin)
    known = {"description", *Price.model_fields, *Pacing.model_fields, *plugin.Options.model_fields}
    taken = {key: value for key, value in settings.items() if key in known}
    # A preset's prices are those of its model at its endpoint.
    elsewhere = any(key in taken and taken[key] != preset.options.get(key) for key in plugin.Options.priced_by)
    price = Price() if elsewhere else preset.price
    if preset.kind == "backend" and not plugin.billed and price.price_input is None and price.price_output is None:
        price = price.model_copy(update={"price_input": 0.0, "price_output": 0.0})
    options = dict(preset.options)
    if "model" in taken and taken["model"] != options.get("model"):
        options = {key: value for key, value in options.items() if key not in plugin.Options.of_model}
    flat = {"name": preset.name, "description": preset.description, preset.kind: preset.plugin}
    preset = model_preset({**flat, **price.model_dump(), **preset.pacing.model_dump(), **options, **taken})
    return Model(preset, plugin), known


def build(model: Model) -> Any:
    """Build a model's backend or baseline with its options.

    Raises:
        ConfigError: an option is unknown or wrong.
        PluginError: the plugin cannot be built.
    """
    options = validated(model.plugin.Options, model.preset.options, f"model {model.preset.name}")
    try:
        return model.plugin(options)
    except LvlmAdError:
        raise
    except ModuleNotFoundError as error:
        raise PluginError(_missing(model.preset.kind, model.preset.plugin, error)) from error
    except Exception as error:
        raise PluginError(
            f"The {model.preset.kind} {model.preset.plugin!r} cannot be built: {type(error).__name__}: {error}."
        ) from error
