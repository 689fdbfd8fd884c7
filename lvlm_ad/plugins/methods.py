"""Find methods of inspection, installed ones and the user's own, and build them with their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from lvlm_ad.errors import PluginError
from lvlm_ad.methods import Method, MethodOptions
from lvlm_ad.methods.contract import Places
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins.entries import chosen, installed, loaded, owner
from lvlm_ad.plugins.own import is_own, own_class
from lvlm_ad.plugins.source import files_of_entry, hash_of
from lvlm_ad.presets import Pacing, Price, Protocol, validated

__all__ = ["as_method", "load_method", "method_class", "method_names"]

_TAKEN = {
    "name",
    "description",
    "convention",
    "state_convention",
    *Protocol.model_fields,
    *Price.model_fields,
    *Pacing.model_fields,
}
"""Settings of every bench; a method's option may have none of these names, because ``--set`` would set both."""
_REMEDY = " For a method of your own, give FILE.py or module:Class. Reinstall a package after you add a method to it."


def method_names() -> list[str]:
    """Return the names of the installed methods, sorted.

    Example:
        >>> "boxes" in method_names()
        True
    """
    return sorted(installed("method"))


def load_method(name: str, settings: Mapping[str, Any]) -> tuple[Method, set[str]]:
    """Find a method by name, file or class, and build it with the settings that it has.

    Args:
        name: an installed method's name, the file of a class (``my_method.py``, or ``my_method.py:Class``) or a class
            in a module (``package.module:Class``).
        settings: key -> value; settings that belong to something else are left out.

    Returns:
        The method, and the names of all settings that it has.

    Raises:
        PluginError: nothing has this name (the message lists similar ones), or it cannot be loaded or built.
        ConfigError: an option has a wrong value.
    """
    cls, source = method_class(name)
    known = set(cls.Options.model_fields)
    values = {key: value for key, value in settings.items() if key in known}
    options = validated(cls.Options, values, f"method {name}")
    what = f"The method {name!r}"
    with plugin_code(f"{what} cannot be built:", name=what):
        method: Any = cls(options)
    if source:
        method.source = source
    return method, known


def method_class(name: str) -> tuple[type[Method], str]:
    """Return the class that a name of ``load_method`` leads to, and its source, see ``Method``.

    Raises:
        PluginError: nothing has this name, or it cannot be loaded.
    """
    return _own(name) if is_own(name) else _installed(name)


def _own(name: str) -> tuple[type[Method], str]:
    """Return a class of the user, and its source."""
    cls, files = own_class(name, lambda cls: issubclass(cls, Method), "derived from lvlm_ad.methods.Method")
    return as_method(cls, name), hash_of(files)


def _installed(name: str) -> tuple[type[Method], str]:
    """Return a class of an installed package, and its source."""
    entry = chosen("method", name, _REMEDY)
    what = f"The method {name!r} of {owner(entry)}"
    cls = loaded(entry, what)
    return as_method(cls, f"{what}, {entry.value},"), hash_of(files_of_entry(entry, cls))


def as_method(cls: Any, name: str) -> type[Method]:
    """Check that a class can be a method of inspection.

    Args:
        cls: the class.
        name: what the user calls it, for messages.

    Raises:
        PluginError: it is no such class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise PluginError(f"{name} is no class derived from lvlm_ad.methods.Method, so it is no method.")
    if cls.inspect is Method.inspect:
        raise PluginError(f"{name} has no inspect(self, view); a method must define it.")
    if cls.places not in get_args(Places):
        known = ", ".join(repr(one) for one in get_args(Places))
        raise PluginError(f"{name}: places is {cls.places!r:.60}; it must be one of {known}.")
    options: Any = cls.Options
    if not (isinstance(options, type) and issubclass(options, MethodOptions)):
        raise PluginError(f"{name}: Options is {options!r:.60}; it must be a class derived from MethodOptions.")
    for option in options.model_fields:
        if option in _TAKEN:
            raise PluginError(f"{name}: every bench has a setting {option!r}; give your option another name.")
    return cls
