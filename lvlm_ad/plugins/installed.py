"""Finds backends and baselines that installed packages offer, and says whose fault it is when one cannot be loaded."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lvlm_ad.errors import PluginError, nearest, where
from lvlm_ad.plugins.classes import Kind, as_plugin, missing_module
from lvlm_ad.plugins.sources import source_of_module

__all__ = ["installed", "load_installed", "owner", "plugin_names"]


def installed(kind: Kind) -> dict[str, list[EntryPoint]]:
    """Return the entry points of installed packages, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=f"lvlm_ad.{kind}s"):
        # The same installation can be listed twice, by two metadata folders on the path.
        if all(entry.value != other.value for other in found.setdefault(entry.name, [])):
            found[entry.name].append(entry)
    return found


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of the installed backends or baselines, sorted."""
    return sorted(installed(kind))


def load_installed(kind: Kind, name: str) -> type[Any]:
    """Import the class of an installed backend or baseline.

    Raises:
        PluginError: no installed package offers the name (the nearest are named), two packages do, or its import fails;
            the message names the package, its version, the cause and the line.
    """
    entries = installed(kind)
    found = entries.get(name, [])
    if not found:
        raise PluginError(f"There is no {kind} {name!r} installed.{nearest(name, entries)}")
    if len(found) > 1:
        raise PluginError(
            f"The {kind} {name!r} is offered twice, by {' and by '.join(owner(entry) for entry in found)}; "
            "uninstall one of them."
        )
    entry = found[0]
    own = f"The {kind} {name!r} of {owner(entry)}"
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        raise PluginError(missing_module(own, error)) from error
    # A script may end itself when it is imported.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{own} cannot be loaded from {entry.value}: {where(error)}.") from error
    is_kind, plugin = as_plugin(loaded, f"{own}, {entry.value},")
    if is_kind != kind:
        raise PluginError(f"{own}, {entry.value}, is a {is_kind}; its package declares it in lvlm_ad.{kind}s.")
    # Ours are paid for by many people; an edit of ours that changes answers changes what is asked.
    if entry.dist is None or entry.dist.name != "lvlm-ad":
        source = source_of_module(sys.modules[loaded.__module__])
        if source:
            plugin.source = source
    return plugin


def owner(entry: EntryPoint) -> str:
    """Return the name and version of the package that offers an entry point."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
