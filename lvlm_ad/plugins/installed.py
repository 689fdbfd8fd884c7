"""Finds backends and baselines that installed packages offer, and says whose fault it is when one cannot be loaded."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

from lvlm_ad import __version__
from lvlm_ad.errors import PluginError, nearest, where
from lvlm_ad.guard import guarded
from lvlm_ad.missing import missing_module
from lvlm_ad.plugins.classes import Kind, as_plugin
from lvlm_ad.plugins.sources import source_of_module

__all__ = ["clashes", "installed", "is_ours", "load_installed", "owner", "plugin_names", "unreadable"]

_KINDS: tuple[Kind, ...] = ("backend", "baseline")


def installed(kind: Kind) -> dict[str, list[EntryPoint]]:
    """Return the entry points of installed packages, by name; this package's own come first."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in _scan()[0]:
        # The same installation can be listed twice, by two metadata folders on the path.
        if entry.group == f"lvlm_ad.{kind}s" and all(
            entry.value != other.value for other in found.setdefault(entry.name, [])
        ):
            found[entry.name].append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: not is_ours(entry))
    return found


def unreadable() -> list[str]:
    """Return a sentence for each installed package whose entry points cannot be read; what they offer is left out."""
    return _scan()[1]


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of the installed backends or baselines, sorted."""
    return sorted(installed(kind))


def clashes(presets: list[str]) -> dict[str, str]:
    """Return what is to be said of names that two claim.

    Args:
        presets: the names of this package's presets, which are taken before any plugin's.

    Returns:
        Name -> a sentence that names both owners.
    """
    found: dict[str, str] = {}
    everything = [(kind, name, entry) for kind in _KINDS for name, es in installed(kind).items() for entry in es]
    ours = {name: f"{kind} of {owner(entry)}" for kind, name, entry in everything if is_ours(entry)}
    ours |= {name: f"preset of lvlm-ad {__version__}" for name in presets if name not in ours}
    for kind, name, entry in everything:
        if is_ours(entry):
            continue
        if name in ours:
            found[name] = f"{name} is the {ours[name]}; the {kind} {name!r} of {owner(entry)} is not reached by it."
        else:
            others = [one for _, other, one in everything if other == name and one is not entry]
            if others:
                found.setdefault(name, f"{name} is offered by {' and by '.join(map(owner, [entry, *others]))}.")
    return found


def load_installed(kind: Kind, name: str) -> type[Any]:
    """Import the class of an installed backend or baseline; a name of this package's own is its own.

    Raises:
        PluginError: no installed package offers the name (the nearest are named), two packages do, or its import fails;
            the message names the package, its version, the cause and the line.
    """
    entries = installed(kind)
    found = entries.get(name, [])
    if not found:
        broken = "".join(f" {said}" for said in unreadable())
        raise PluginError(f"There is no {kind} {name!r} installed.{nearest(name, entries)}{broken}")
    if len(found) > 1 and not is_ours(found[0]):
        raise PluginError(
            f"The {kind} {name!r} is offered twice, by {' and by '.join(owner(entry) for entry in found)}; "
            "uninstall one of them."
        )
    entry = found[0]
    own = f"The {kind} {name!r} of {owner(entry)}"
    loaded = _loaded(entry, own)
    is_kind, plugin = as_plugin(loaded, f"{own}, {entry.value},")
    if is_kind != kind:
        raise PluginError(f"{own}, {entry.value}, is a {is_kind}; its package declares it in lvlm_ad.{kind}s.")
    # Ours are paid for by many people; an edit of ours that changes answers changes what is asked.
    if not is_ours(entry):
        source = source_of_module(sys.modules[loaded.__module__])
        if source:
            plugin.source = source
    return plugin


def owner(entry: EntryPoint) -> str:
    """Return the name and version of the package that offers an entry point."""
    return _called(entry.dist) if entry.dist else entry.value


def is_ours(entry: EntryPoint) -> bool:
    """Say whether this package offers an entry point."""
    return _plain(_name(entry.dist)) == "lvlm-ad"


def _loaded(entry: EntryPoint, own: str) -> Any:
    """Import what an entry point names.

    Raises:
        PluginError: it cannot be.
    """
    declared = f"{entry.name} = {entry.value!r}"
    wants = _wants_another(entry.dist)
    if not re.fullmatch(r"[\w.]+\s*:\s*[\w.]+(\s*\[.*\])?", entry.value):
        raise PluginError(f"{own} is declared as {declared}; it must name a class, as package.module:Class.{wants}")
    try:
        with guarded():
            found: Any = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{entry.module}.".startswith(f"{error.name}."):
            raise PluginError(
                f"{own} cannot be loaded: there is no module {error.name!r}, which its package declares by "
                f"{declared}.{wants}"
            ) from error
        raise PluginError(missing_module(own, error, of=entry.module) + wants) from error
    # A script may end itself when it is imported.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{own} cannot be loaded from {entry.value}: {where(error)}.{wants}") from error
    for part in entry.attr.split("."):
        if not hasattr(found, part):
            names = [one for one, value in vars(found).items() if isinstance(value, type)]
            within = f"{found.__name__} ({found.__file__})" if isinstance(found, ModuleType) else entry.module
            raise PluginError(
                f"{own} cannot be loaded: there is no {part!r} in {within}, and its package declares it by "
                f"{declared}.{nearest(part, names)}{wants}"
            )
        found = getattr(found, part)
    return found


def _wants_another(dist: Distribution | None) -> str:
    """Say that a package wants another version of this one, if it does."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - asked of what is broken

    for text in (dist.requires if dist is not None else None) or ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if _plain(wanted.name) == "lvlm-ad" and not wanted.specifier.contains(__version__, prereleases=True):
            return f" It wants lvlm-ad{wanted.specifier}, and this is {__version__}."
    return ""


def _scan() -> tuple[list[EntryPoint], list[str]]:
    """Return the entry points of all installed packages, and what is to be said of those that cannot be read."""
    entries: list[EntryPoint] = []
    broken: list[str] = []
    seen: set[str] = set()
    for dist in distributions():
        try:
            # Most packages offer nothing to this one; reading the names of all would take longest.
            if "[lvlm_ad." not in (dist.read_text("entry_points.txt") or ""):
                continue
            name = _plain(_name(dist)) or str(id(dist))
            if name not in seen:
                entries += [one for one in dist.entry_points if one.group in {f"lvlm_ad.{kind}s" for kind in _KINDS}]
            seen.add(name)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a stranger's file stops no other
            broken.append(
                f"The entry points of {_called(dist)} cannot be read ({type(error).__name__}: {error!s:.80})."
            )
    # A folder may stand on the path twice.
    return entries, list(dict.fromkeys(broken))


def _called(dist: Distribution) -> str:
    """Return a package's name and version, or where its record lies if it has none."""
    try:
        name, version = dist.name, dist.version
    except Exception:  # noqa: BLE001 - a record that is damaged
        name = version = ""
    # What the standard library returns of a record without them.
    if not name or not version or "None" in {name, version}:
        place = Path(str(dist.locate_file("")))
        return f"a package in {getattr(dist, '_path', place)} whose record lacks its name or version"
    return f"{name} {version}"


def _name(dist: Distribution | None) -> str:
    try:
        return str((dist.name if dist is not None else "") or "")
    except Exception:  # noqa: BLE001 - a record that is damaged
        return ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
