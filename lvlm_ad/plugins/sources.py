"""What a class of the user's own is made of: its file and what it imports from beside it. Edited, it is another."""

from __future__ import annotations

import ast
import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = ["source_of_file", "source_of_module"]


def source_of_file(path: Path) -> str:
    """Return SHA-256 (hex) of a file and of all that it imports, at whatever depth, from its own folder.

    A file that imports nothing from there has the hash of its content, line ends aside.

    Args:
        path: a file of Python.
    """
    return _hash([path, *_beside(path, path.parent)], path.parent)


def source_of_module(module: ModuleType) -> str:
    """Return the same of a module; of one in a package, of the whole package. Empty for what pip has put away.

    A package that is installed for good is named by its version; one that is worked on ("pip install -e", or found from
    the current folder) has none that tells one state from the next.

    Args:
        module: an imported one.
    """
    if not module.__file__:
        return ""
    path = Path(module.__file__).resolve()
    if any(path.is_relative_to(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib", "stdlib")):
        return ""
    depth = module.__name__.count(".") + (path.name == "__init__.py")
    if depth == 0:
        return source_of_file(path)
    package = path.parents[depth - 1]
    return _hash(sorted(package.rglob("*.py")), package)


def _beside(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that a file imports, and those that they import."""
    waiting, seen = [path], {path}
    while waiting:
        for name in sorted(_imported(waiting.pop())):
            package = folder / name
            whole = (package / "__init__.py").is_file()
            for file in sorted(package.rglob("*.py")) if whole else [folder / f"{name}.py"]:
                if file not in seen and file.is_file():
                    seen.add(file)
                    waiting.append(file)
                    yield file


def _imported(path: Path) -> set[str]:
    """Return the first parts of all names that a file imports; none of a file that is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    taken_from = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | taken_from} - {""}


def _hash(files: list[Path], folder: Path) -> str:
    hashes = []
    for file in files:
        # Line ends are no difference between two files.
        digest = hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        hashes.append((file.relative_to(folder).as_posix(), digest))
    if len(hashes) == 1:
        return hashes[0][1]
    return hashlib.sha256(repr(sorted(hashes)).encode()).hexdigest()
