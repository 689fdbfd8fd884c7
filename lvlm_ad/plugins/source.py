"""The files that decide what a plugin of the user does, and their hash: edited code is another plugin."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from lvlm_ad.plugins.entries import is_ours

__all__ = ["files_beside", "files_of", "files_of_entry", "hash_of"]


def files_of_entry(entry: EntryPoint, cls: Any) -> dict[str, Path]:
    """Return the files that decide what the class of an entry point does; none if a version identifies it."""
    # Our own are identified by their version: stored answers must survive an edit that changes none.
    return {} if is_ours(entry) or not isinstance(cls, type) else files_of(sys.modules[cls.__module__])


def files_of(module: ModuleType) -> dict[str, Path]:
    """Return the files that decide what a module does; none for a regularly installed one, which has a version."""
    if not module.__file__:
        return {}
    path = Path(module.__file__).resolve()
    if any(path.is_relative_to(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib", "stdlib")):
        return {}
    depth = module.__name__.count(".") + (path.name == "__init__.py")
    if depth == 0:
        return files_beside(path)
    package = path.parents[depth - 1]
    return {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}


def files_beside(path: Path) -> dict[str, Path]:
    """Return a file, the files in its folder that it imports, and those that they import."""
    folder, files = path.parent, [path]
    for file in files:
        for name in _imports(file.read_bytes()):
            package = folder / name
            beside = package.rglob("*.py") if (package / "__init__.py").is_file() else [folder / f"{name}.py"]
            files += [one for one in beside if one not in files and one.is_file()]
    return {file.relative_to(folder).as_posix(): file for file in files}


@lru_cache(maxsize=64)
def _imports(code: bytes) -> frozenset[str]:
    """Return the first part of each name that a file imports; none of a file that is no Python.

    Kept, because every run of a study asks again.
    """
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        return frozenset()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return frozenset(name.partition(".")[0] for name in names if name)


def hash_of(files: Mapping[str, Path]) -> str:
    """Return SHA-256 (hex) of files by name; of a single file, of its content alone. Line ends do not matter."""
    digests = sorted((name, hashlib.sha256(_content(file)).hexdigest()) for name, file in files.items())
    if len(digests) <= 1:
        return digests[0][1] if digests else ""
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def _content(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")
