"""Entry points of installed packages: backends, baselines and methods by name."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from lvlm_ad.errors import PluginError, nearest
from lvlm_ad.plugin_errors import plugin_code

__all__ = ["AnyKind", "chosen", "installed", "is_ours", "loaded", "owner"]

AnyKind: TypeAlias = Literal["backend", "baseline", "method"]


def installed(kind: AnyKind) -> Mapping[str, list[EntryPoint]]:
    """Return the entry points of installed packages by name; those of lvlm-ad itself come first."""
    states = ((folder, _changed(Path(folder))) for folder in sys.path)
    return _installed(tuple(state for state in states if _has_packages(*state)))[kind]


def _changed(folder: Path) -> int:
    """Return when a folder last changed, in nanoseconds; 0 if there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _has_packages(folder: str, _: int) -> bool:
    """Return whether packages are installed in a folder; each run changes the folder of the user's own plugins."""
    path = Path(folder)
    return path.is_file() or any(one.suffix in {".dist-info", ".egg-info", ".egg"} for one in _listed(path))


def _listed(folder: Path) -> list[Path]:
    """List a folder; nothing if it cannot be listed."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


@lru_cache(maxsize=8)
def _installed(_: tuple[tuple[str, int], ...]) -> Mapping[AnyKind, Mapping[str, list[EntryPoint]]]:
    """Read the entry points of all packages, which takes 20 ms: again only when a folder of packages has changed."""
    found = entry_points()
    offers: dict[AnyKind, dict[str, list[EntryPoint]]] = {kind: {} for kind in get_args(AnyKind)}
    for kind, by_name in offers.items():
        for entry in sorted(found.select(group=f"lvlm_ad.{kind}s"), key=lambda entry: not is_ours(entry)):
            by_name.setdefault(entry.name, []).append(entry)
    return offers


def is_ours(entry: EntryPoint) -> bool:
    """Return whether lvlm-ad itself offers an entry point."""
    return entry.dist is not None and _name(entry.dist).replace("_", "-") == "lvlm-ad"


def _name(package: Distribution) -> str:
    """Return a package's name. ``package.name`` parses all metadata, README included, each time it is read."""
    line = re.search(r"^Name: *(.+)$", package.read_text("METADATA") or "", re.MULTILINE)
    return line[1].strip() if line else package.name


def owner(entry: EntryPoint) -> str:
    """Return the name and version of the package that offers an entry point."""
    return _title(entry.dist) if entry.dist else entry.value


@lru_cache(maxsize=64)
def _title(package: Distribution) -> str:
    """Return the name and version of a package, kept because each reading parses all its metadata."""
    metadata = package.metadata
    return f"{metadata['Name']} {metadata['Version']}"


def chosen(kind: AnyKind, name: str, remedy: str = "") -> EntryPoint:
    """Return the entry point of a name; if lvlm-ad has one, that.

    Args:
        kind: what it is.
        name: its name.
        remedy: what else the user can give, for the message.

    Raises:
        PluginError: there is none, or two other packages offer it.
    """
    entries = installed(kind)
    if name not in entries:
        raise PluginError(f"There is no {kind} {name!r:.80} installed.{nearest(name, entries)}{remedy}")
    entry, *others = entries[name]
    if others and not is_ours(entry):
        owners = " and by ".join(owner(one) for one in entries[name])
        raise PluginError(f"The {kind} {name!r} is offered twice, by {owners}; uninstall one of them.")
    return entry


def loaded(entry: EntryPoint, what: str) -> Any:
    """Import what an entry point names.

    Args:
        entry: the entry point.
        what: what it offers, for messages, such as "The backend 'x' of package 1.0".

    Raises:
        PluginError: the import fails.
    """
    with plugin_code(f"{what} cannot be loaded from {entry.value}:", name=what):
        return entry.load()
