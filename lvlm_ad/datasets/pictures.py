"""Pictures without labels: all that a folder holds, at any depth, also while it fills."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import NamedTuple

from lvlm_ad.datasets.folders import is_visible
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.names import UNREADABLE_PICTURES, normalized
from lvlm_ad.errors import DataError

__all__ = ["FileState", "PictureFolder", "folder_order"]

_SUFFIXES = IMAGE_SUFFIXES | UNREADABLE_PICTURES
"""A picture in a format that is not read is listed too: nobody must take it for inspected."""

_OURS = ("answers.sqlite", "inspection.json", "run.json")
"""A folder with one of these files is an output of lvlm-ad; its pictures are drawn, not taken."""

_REASONS = {
    "link": "links are not followed",
    "hidden": "hidden files and folders are not inspected",
    "ours": "folders with results of lvlm-ad are not inspected",
    "closed": "folders cannot be listed",
    "special": "names of pictures belong to no regular file",
}


class FileState(NamedTuple):
    """What changes when a file gets another content."""

    token: str
    """Times, size and inode."""
    changed: float
    """When it last changed, in seconds since 1970."""


def folder_order(path: str) -> tuple[str, ...]:
    """Return the sort key of a path in a folder: by the names on the way, as a file manager shows them.

    Example:
        >>> sorted(["b.png", "a/2.png", "a/1.png"], key=folder_order)
        ['a/1.png', 'a/2.png', 'b.png']
    """
    return PurePosixPath(normalized(path)).parts


class PictureFolder:
    """The pictures in a folder and in the folders in it.

    Links are not followed; hidden files and folders with results of lvlm-ad are left out. Each is reported once.

    Args:
        root: the folder.
        apart: folders in it that are left out.
        note: receives what the user should know.

    Raises:
        DataError: the root is no folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("b.png", "a/1.jpg", "notes.txt"):
        ...         Path(root, name).parent.mkdir(exist_ok=True)
        ...         Path(root, name).touch()
        ...     print(list(PictureFolder(Path(root)).scan()))
        ['a/1.jpg', 'b.png']
    """

    def __init__(self, root: Path, apart: Iterable[Path] = (), note: Callable[[str], None] = lambda _: None) -> None:
        if not root.is_dir():
            what = "is a file" if root.exists() else "does not exist"
            raise DataError(f"{shown(root)} {what}; give the folder of the pictures.")
        self.root = root
        self._apart = {os.path.realpath(folder) for folder in apart}
        self._note = note
        self._reported: set[str] = set()

    def scan(self) -> dict[str, FileState]:
        """Return the pictures that are there now, by their paths in the folder, in its order."""
        odd: list[tuple[str, str]] = []
        pictures = dict(self._walk(odd))
        self._report(odd)
        return {path: pictures[path] for path in sorted(pictures, key=folder_order)}

    def _walk(self, odd: list[tuple[str, str]]) -> Iterator[tuple[str, FileState]]:
        def cannot_list(error: OSError) -> None:
            odd.append(("closed", os.fspath(error.filename)))

        for place, folders, files in os.walk(self.root, onerror=cannot_list):
            folders[:] = [name for name in folders if self._enters(os.path.join(place, name), odd)]  # noqa: PTH118 - fast
            for name in files:
                path = os.path.join(place, name)  # noqa: PTH118 - as above
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - as above
                if suffix not in _SUFFIXES:
                    continue
                if not is_visible(name):
                    odd.append(("hidden", path))
                    continue
                try:
                    stat = os.lstat(path)
                except OSError:
                    continue  # it was removed just now
                if S_ISREG(stat.st_mode):
                    token = f"{stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size} {stat.st_ino}"
                    inner = Path(os.path.relpath(path, self.root)).as_posix()
                    yield inner, FileState(token, max(stat.st_mtime, stat.st_ctime))
                else:
                    odd.append(("link" if os.path.islink(path) else "special", path))  # noqa: PTH114 - as above

    def _enters(self, folder: str, odd: list[tuple[str, str]]) -> bool:
        """Return whether a folder is looked into."""
        if os.path.realpath(folder) in self._apart:
            return False
        why = ""
        if os.path.islink(folder):  # noqa: PTH114 - a Path takes ten times as long
            why = "link"
        elif not is_visible(os.path.basename(folder)):  # noqa: PTH119 - as above
            why = "hidden"
        elif any(os.path.exists(os.path.join(folder, name)) for name in _OURS):  # noqa: PTH110, PTH118 - as above
            why = "ours"
        if why:
            odd.append((why, folder))
        return not why

    def _report(self, odd: Iterable[tuple[str, str]]) -> None:
        """Note each kind of oddity with its first path, unless it was reported before."""
        new: dict[str, list[str]] = {}
        for kind, path in odd:
            if path not in self._reported:
                self._reported.add(path)
                new.setdefault(kind, []).append(path)
        for kind, paths in new.items():
            self._note(f"{shown(self.root)}: {_REASONS[kind]}: {len(paths)}, the first is {shown(min(paths))}.")
