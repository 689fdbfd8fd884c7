"""Finds the model that a name stands for, with its preset, and builds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, LvlmAdError, PluginError, nearest, where
from lvlm_ad.guard import guarded
from lvlm_ad.missing import missing_module
from lvlm_ad.plugins.installed import installed, is_ours, load_installed, unreadable
from lvlm_ad.plugins.named import is_own, load_own, own_name
from lvlm_ad.presets import ModelPreset, Pacing, Price, load_model, model_preset, preset_names, validated

if TYPE_CHECKING:
    from lvlm_ad.plugins.classes import Kind

__all__ = ["Model", "build", "find_model", "load_plugin"]

_KINDS: tuple[Kind, ...] = ("baseline", "backend")


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was asked for: its preset and the plugin's class.

    Attributes:
        preset: the preset, settings of the command line applied.
        plugin: the backend's or baseline's class.
        label: the model that was set, where it is not the preset's own; empty otherwise.
    """

    preset: ModelPreset
    plugin: type[Any]
    label: str = ""


def load_plugin(kind: Kind, name: str) -> type[Any]:
    """Import a plugin's class, by the name that its package gives it, its file or ``module:Class``.

    Raises:
        PluginError: it is not there, not of this kind, or its import fails.
    """
    if not is_own(name):
        return load_installed(kind, name)
    is_kind, plugin = load_own(name)
    if is_kind != kind:
        raise PluginError(f"{name} is a {is_kind}, not a {kind}.")
    return plugin


def find_model(name: str, settings: dict[str, Any]) -> tuple[Model, set[str]]:
    """Find a model by preset, preset file, plugin name or class, and apply the settings that it knows.

    Args:
        name: a preset's name, a path ending in .toml, the name of an installed backend or baseline, the file of a class
            (``my_backend.py``, or ``my_backend.py:Class``) or a class in a module (``package.module:Class``).
        settings: key -> value; those that are neither the preset's nor the plugin's are left. Where they name another
            model or endpoint, the preset's prices are dropped.

    Returns:
        The model, and every setting that it knows, taken or not.

    Raises:
        ConfigError: nothing has this name (the nearest are named), or the preset is wrong.
        PluginError: the plugin cannot be loaded.
    """
    presets = preset_names("models")
    own = None
    plugins = _plugins()
    if name.endswith(".toml") or name in presets:
        preset = load_model(name)
    elif name in plugins:
        preset = model_preset({"name": name, plugins[name]: name})
    elif is_own(name):
        own = load_own(name)
        # Neither a hash nor a table depends on the folder that the file is in.
        preset = model_preset({"name": own_name(name), own[0]: Path(name).name})
    else:
        raise ConfigError(
            f"There is no model {name!r}.{nearest(name, {*presets, *plugins})} A preset file of your own is given by "
            "its path, ending in .toml, a class of your own as FILE.py or module:Class; 'lvlm-ad models' lists what "
            f"there is.{''.join(f' {said}' for said in unreadable())}"
        )
    plugin = own[1] if own else load_plugin(preset.kind, preset.plugin)
    known = {"description", *Price.model_fields, *Pacing.model_fields, *plugin.Options.model_fields}
    taken = {key: value for key, value in settings.items() if key in known}
    # A preset's prices are those of its model at its endpoint.
    elsewhere = any(key in taken and taken[key] != preset.options.get(key) for key in plugin.Options.priced_by)
    price = Price() if elsewhere else preset.price
    if preset.kind == "backend" and not plugin.billed and price.price_input is None and price.price_output is None:
        price = price.model_copy(update={"price_input": 0.0, "price_output": 0.0})
    options = dict(preset.options)
    label = ""
    if "model" in taken and taken["model"] != options.get("model"):
        label = str(taken["model"])
        options = {key: value for key, value in options.items() if key not in plugin.Options.of_model}
    flat = {"name": preset.name, "description": preset.description, preset.kind: preset.plugin}
    preset = model_preset({**flat, **price.model_dump(), **preset.pacing.model_dump(), **options, **taken})
    return Model(preset, plugin, label), known


def _plugins() -> dict[str, Kind]:
    """Return the kind of each installed plugin. Of two kinds that have one name, the one that is ours goes first."""
    found: dict[str, Kind] = {}
    for kind in _KINDS:
        for name, entries in installed(kind).items():
            if name not in found or is_ours(entries[0]) or not is_ours(installed(found[name])[name][0]):
                found[name] = kind
    return found


def build(model: Model) -> Any:
    """Build a model's backend or baseline with its options.

    Raises:
        ConfigError: an option is unknown or wrong.
        PluginError: the plugin cannot be built.
    """
    options = validated(model.plugin.Options, model.preset.options, f"model {model.preset.name}")
    try:
        with guarded():
            return model.plugin(options)
    except LvlmAdError:
        raise
    except ModuleNotFoundError as error:
        named = f"The {model.preset.kind} {model.preset.plugin}"
        raise PluginError(missing_module(named, error, of=model.plugin.__module__)) from error
    # An end of the process among them: it would end the whole command, without a word.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The {model.preset.kind} {model.preset.plugin!r} cannot be built: {where(error)}."
        ) from error
