"""Classes of the user, named by file (``x.py``, ``x.py:Class``) or by module (``x.y:Class``)."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lvlm_ad.errors import PluginError, nearest
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins.source import files_beside, files_of

__all__ = ["is_own", "own_class", "title_of"]

_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>\w+))?")
_CLASS = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<name>[A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Return whether a name is a file (``x.py``, ``x.py:Class``) or a class in a module (``x.y:Class``)."""
    return bool(_FILE.fullmatch(name) or _CLASS.fullmatch(name))


def title_of(name: str) -> str:
    """Return a plugin's name in runs and tables: of a file the class, or else the file's name without its folder.

    Example:
        >>> title_of("boxes"), title_of("mine/looks.py"), title_of("mine/looks.py:Twice")
        ('boxes', 'looks', 'Twice')
    """
    return Path(name).stem if name.endswith(".py") else name.rpartition(":")[2]


def own_class(name: str, fits: Callable[[type], bool], wanted: str) -> tuple[Any, dict[str, Path]]:
    """Import a class by its file or module; the file's folder, or the current one, joins ``sys.path`` at the end.

    Args:
        name: as ``is_own`` takes it.
        fits: whether a class can be meant if the name does not say which.
        wanted: what such a class has, for messages, such as "with a method answer".

    Returns:
        The class, or whatever has its name, and the files that decide what it does, by name.

    Raises:
        PluginError: there is none, the name does not say which, or the import fails.
    """
    if match := _FILE.fullmatch(name):
        module = _run(Path(match["path"]))
        files = files_beside(Path(str(module.__file__)))
    else:
        match = _CLASS.fullmatch(name)
        assert match is not None  # noqa: S101 - the caller asked is_own
        _add_to_path(Path.cwd())
        with plugin_code(f"{name} cannot be loaded:", name=name):
            module = importlib.import_module(match["module"])
        files = files_of(module)
    return _class_in(module, match["name"] or "", name, fits, wanted), files


def _run(path: Path) -> ModuleType:
    if not path.is_file():
        where = "" if path.is_absolute() else f" in {Path.cwd()}, the current folder"
        raise PluginError(f"There is no file {path}{where}.")
    # The prefix keeps it apart from an installed module of the same name.
    spec = importlib.util.spec_from_file_location(f"lvlm_ad_file_{path.stem}", path.resolve())
    assert spec is not None  # noqa: S101 - its name ends in .py
    assert spec.loader is not None  # noqa: S101 - likewise
    module = importlib.util.module_from_spec(spec)
    _add_to_path(path.resolve().parent)
    # Dataclasses and pydantic look up a class's module by its name.
    sys.modules[spec.name] = module
    with plugin_code(f"{path} cannot be loaded:", name=str(path)):
        spec.loader.exec_module(module)
    return module


def _add_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _class_in(module: ModuleType, class_name: str, name: str, fits: Callable[[type], bool], wanted: str) -> Any:
    """Return the class with the name, or without a name the only one that fits."""
    candidates = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and fits(value)
    }
    if class_name:
        if not hasattr(module, class_name):
            raise PluginError(f"{name.rpartition(':')[0]} contains no {class_name!r}.{nearest(class_name, candidates)}")
        return getattr(module, class_name)
    if len(candidates) != 1:
        has = ", ".join(candidates) or "none"
        advice = f"; name one, as in {name}:{next(iter(candidates))}" if candidates else ""
        raise PluginError(f"{name} must contain one class {wanted}; it contains {has}{advice}.")
    return next(iter(candidates.values()))
