"""Loads a class of the user's own, named by its file or its module, without any packaging."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from lvlm_ad.backend import Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import PluginError, nearest, where
from lvlm_ad.guard import guarded
from lvlm_ad.missing import missing_module
from lvlm_ad.plugins.classes import METHODS, Kind, as_plugin
from lvlm_ad.plugins.sources import source_of_file, source_of_module

__all__ = ["is_own", "load_own", "own_name"]

_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>\w+))?")
_CLASS = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<name>[A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Say whether a name is that of a file (``x.py``, ``x.py:Class``) or of a class in a module (``x.y:Class``)."""
    return bool(_FILE.fullmatch(name) or _CLASS.fullmatch(name))


def own_name(name: str) -> str:
    """Return what such a model is called in tables: the class if it is named, or the file."""
    return name.rpartition(":")[2] if _CLASS.fullmatch(name) or not name.endswith(".py") else Path(name).stem


def load_own(name: str) -> tuple[Kind, type[Any]]:
    """Import a class that is named by its file or module.

    A file's own folder, and for a module the current one, are put at the end of the path of imports.

    Args:
        name: one for which ``is_own`` holds.

    Raises:
        PluginError: there is no such file, module or class, its import fails (the message names the line), or a file
            has several classes and none is named.
    """
    if match := _FILE.fullmatch(name):
        module, digest = _run(Path(match["path"]))
    else:
        match = _CLASS.fullmatch(name)
        assert match is not None  # noqa: S101 - is_own holds
        module = _imported(match["module"])
        digest = source_of_module(module)
    kind, plugin = as_plugin(_chosen(module, match["name"] or "", name), name)
    if digest:
        plugin.source = digest
    return kind, plugin


def _run(path: Path) -> tuple[ModuleType, str]:
    try:
        path.read_bytes()
    except OSError as error:
        raise PluginError(f"{path} cannot be read: {error.strerror}.") from error
    # A prefix: the file may be called as a module that is installed.
    spec = importlib.util.spec_from_file_location(f"lvlm_ad_file_{path.stem}", path.resolve())
    assert spec is not None  # noqa: S101 - its name ends in .py
    assert spec.loader is not None  # noqa: S101 - likewise
    module = importlib.util.module_from_spec(spec)
    _see(path.resolve().parent)
    # Dataclasses and pydantic look a class's module up by its name.
    sys.modules[spec.name] = module
    _loading(str(path), lambda: spec.loader.exec_module(module))
    # Line ends are no difference between two files.
    return module, source_of_file(path.resolve())


def _imported(name: str) -> ModuleType:
    _see(Path.cwd())
    if name not in sys.modules:
        _loading(name, lambda: importlib.import_module(name))
    return sys.modules[name]


def _loading(name: str, load: Any) -> None:
    try:
        with guarded():
            load()
    except ModuleNotFoundError as error:
        raise PluginError(missing_module(name, error)) from error
    except ImportError as error:
        hint = "; name it by its package, as in package.module:Class" if "relative import" in str(error) else ""
        raise PluginError(f"{name} cannot be loaded: {where(error)}{hint}.") from error
    # Some scripts end themselves where they are not called as they expect.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{name} cannot be loaded: {where(error)}.") from error


def _see(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _chosen(module: ModuleType, wanted: str, name: str) -> Any:
    """Return the class that is named, or the only one of a file that can be a plugin."""
    own = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and (issubclass(value, Backend | Baseline) or any(callable(getattr(value, one, None)) for one in METHODS))
    }
    if wanted:
        if not hasattr(module, wanted):
            raise PluginError(f"{name}: there is no {wanted!r} in it.{nearest(wanted, own)}")
        return getattr(module, wanted)
    if len(own) != 1:
        found = f"several: {', '.join(own)}; name one, as in {name}:{next(iter(own))}" if own else "none"
        raise PluginError(f"{name} must hold one class with answer, answer_many or score; it holds {found}.")
    return next(iter(own.values()))
