"""Names of files as lists write them: backslashes, composed or decomposed accents, suffixes in another case."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

UNREADABLE_PICTURES = frozenset(
    (
        *(".arw", ".avif", ".bayer", ".cr2", ".cr3", ".dcm", ".dib", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif"),
        *(".ico", ".j2k", ".jfif", ".jif", ".jp2", ".jpe", ".jpf", ".jpx", ".jxl", ".nef", ".orf"),
        *(".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".raw", ".rw2", ".svg", ".tga", ".xcf"),
    )
)
"""Endings of pictures in formats that are not read."""


def normalized(name: str) -> str:
    """Return a name in the form of ids: macOS decomposes accents in file names, but ids are the same on all machines.

    Example:
        >>> normalized("gro\u0308ße") == "größe"
        True
    """
    return unicodedata.normalize("NFC", name)


def plain_name(name: str) -> str:
    r"""Return a path in a form for all systems: composed letters, slashes, no "." and no empty part.

    Example:
        >>> plain_name(".\\crack\\000.png"), plain_name("/data//000.png")
        ('crack/000.png', '/data/000.png')
    """
    return PurePosixPath(normalized(name).replace("\\", "/")).as_posix()


def with_lower_suffix(name: str) -> str:
    """Return a name with its suffix in lower case.

    Example:
        >>> with_lower_suffix("Crack/A.v2.PNG")
        'Crack/A.v2.png'
    """
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) + suffix.lower()


class ListedFiles:
    """Finds the files that a list names, relative to a root or in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._absolute = root.absolute()
        self._entries = cache(_entries)

    def find(self, name: str) -> list[Path]:
        """Return the files that a name may mean; none if there is no such file.

        If there is a file of exactly that name, it is the only one. Otherwise names are compared with composed letters,
        slashes and the suffix in lower case; the name of the root may come first.
        """
        plain = plain_name(name)
        for exact in (self._root / name, self._root / plain):
            if os.path.isfile(exact):  # noqa: PTH113 - Path.is_file() raises for names that are too long
                return [exact]
        parts = PurePosixPath(plain.removeprefix(f"{plain_name(str(self._absolute))}/")).parts
        names_root = parts[:1] == (normalized(self._absolute.name),)
        return self._matching(parts) or (self._matching(parts[1:]) if names_root else [])

    def _matching(self, parts: tuple[str, ...]) -> list[Path]:
        if not parts:
            return []
        places = [self._root]
        for folder in parts[:-1]:
            places = [inner for place in places for inner in self._entries(place)[0].get(folder, ())]
        return [file for place in places for file in self._entries(place)[1].get(_key(parts[-1]), ())]


def _key(name: str) -> str:
    return with_lower_suffix(normalized(name))


def _entries(folder: Path) -> tuple[Mapping[str, list[Path]], Mapping[str, list[Path]]]:
    """Return the folders in a folder by composed name, and its files by composed name with the suffix in lower case."""
    folders, files = defaultdict(list), defaultdict(list)
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            folders[normalized(path.name)].append(path)
            if path.is_file():
                files[_key(path.name)].append(path)
    return folders, files
