"""Folders and files, listed in the same order on every machine, without what an operating system leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.names import normalized
from lvlm_ad.errors import DataError

_SYSTEM_FILES = frozenset({"__macosx", "desktop.ini", "thumbs.db"})
_SHOWN_NAMES = 6


def name_of(folder: Path) -> str:
    """Return a folder's name, also that of "." and of a link."""
    return Path(os.path.abspath(folder)).name or "root"  # noqa: PTH100 - resolve() would follow the link


def is_file(path: Path) -> bool:
    """Return whether a file is there, also for a name that is too long for any file."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file() raises for names that are too long


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder by name, without hidden ones."""
    return [path for path in _entries(folder) if path.is_dir()]


def inner_folder(folder: Path, name: str) -> Path:
    """Return the folder of a name in a folder, such as test/; another case counts if there is none in lower case."""
    exact = folder / name
    if not exact.is_dir():
        # A folder that cannot be listed, such as lost+found, has none.
        with suppress(DataError):
            return next((path for path in _entries(folder) if path.name.lower() == name and path.is_dir()), exact)
    return exact


def files_in(folder: Path) -> list[Path]:
    """List the files in a folder by name, without hidden ones and those of the operating system; with dead links."""
    # Pipes and devices are not listed.
    return [path for path in _entries(folder) if path.is_file() or (path.is_symlink() and not path.is_dir())]


def is_visible(name: str) -> bool:
    """Return whether a file or folder is neither hidden nor one that an operating system leaves behind."""
    return not name.startswith(".") and name.casefold() not in _SYSTEM_FILES


def _entries(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are enough
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be listed: {error.strerror}.") from error
    return [folder / name for name in sorted(filter(is_visible, names), key=normalized)]


def contents_of(folder: Path) -> str:
    """Describe what a folder holds, for a message."""
    names = [shown(path.name) + ("/" if path.is_dir() else "") for path in _entries(folder)]
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "") if names else "nothing"


def check_root(root: Path, source: str = "") -> None:
    """Raise a ``DataError`` if a root is not a folder; ``source`` is a sentence on where to get the data."""
    if not os.path.exists(root):  # noqa: PTH110 - Path.exists() raises for names that are too long
        raise DataError(f"{shown(root)} does not exist; give the folder of the data set. {source}".rstrip())
    if not root.is_dir():
        raise DataError(f"{shown(root)} is a file, not a folder; unpack it if it is an archive. {source}".rstrip())


def find_root(root: Path, levels: Iterable[Iterable[Path]], fits: Callable[[Path], bool]) -> Path | None:
    """Return the only folder that fits, in the first level of folders that has one; None if none fits.

    Raises:
        DataError: several folders of a level fit.
    """
    for level in levels:
        hits = [folder for folder in level if fits(folder)]
        if len(hits) > 1:
            names = ", ".join(shown(hit.name) for hit in hits)
            raise DataError(f"{shown(root)} holds this data set more than once ({names}); give one of these folders.")
        if hits:
            return hits[0]
    return None


def category_folders(
    root: Path, names: Collection[str], fits: Callable[[Path], bool], about: str
) -> tuple[Path, list[Path]]:
    """Find the categories of a data set whose folders have known names.

    Args:
        root: the folder of the categories, one category's, or the folder around the data set's.
        names: the names of the categories' folders.
        fits: whether a folder of such a name is a category's. Those are found, too, that were unpacked into a folder of
            their own name, see ``is_doubled``.
        about: for a message, the data set's name, what was expected, and where to get it: "X: ... were expected. ..."

    Returns:
        The data set's folder, which is the category's if ``root`` is one, and the folders of the categories.

    Raises:
        DataError: ``root`` is no folder, holds no category, or holds the data set more than once.
    """
    check_root(root)

    def is_category(folder: Path) -> bool:
        return folder.is_dir() and (fits(folder) or is_doubled(folder, fits))

    def categories(folder: Path) -> list[Path]:
        return [folder / name for name in names if is_category(folder / name)]

    if name_of(root) in names and is_category(root):
        return root, [root]

    home = find_root(root, ([root], folders_in(root)), lambda folder: bool(categories(folder)))
    if home is None:
        title, _, expected = about.partition(": ")
        raise DataError(f"{shown(root)} is not {title}: it holds {contents_of(root)}, but {expected}")
    return home, categories(home)


def is_doubled(folder: Path, fits: Callable[[Path], bool]) -> bool:
    """Return whether an archive was unpacked into a folder of its own name, such as ``can/can/train``."""
    return not fits(folder) and fits(folder / folder.name)


def doubled(folder: Path) -> str:
    """Say that a folder is doubled, and what to do."""
    name = shown(folder.name)
    return f"{name}/{name}/ holds what belongs in {name}/; move it one level up."
