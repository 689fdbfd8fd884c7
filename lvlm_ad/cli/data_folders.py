"""``--data`` of ``lvlm-ad leaderboard``: the folder of one data set, or the folders of several by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.runs import DataFolders

__all__ = ["data_folders"]


def data_folders(values: Sequence[str]) -> DataFolders:
    """Read ``NAME=PATH`` for each data set, or one ``PATH``; nothing: None.

    A name may occur several times: sets of own images are all read as "folder".

    Text before the first ``=`` is a name, unless it is a path: ``./a=b`` is a path.

    Raises:
        ConfigError: there is no data set of a name, or no folder; a name is given with a path without a name.

    Example:
        >>> data_folders(["./size=96"]) == Path("size=96"), data_folders(["demo=new"]) == {"demo": [Path("new")]}
        (True, True)
    """
    from lvlm_ad.errors import ConfigError

    folders: dict[str, list[Path]] = {}
    plain = [value for value in values if not _is_named(value)]
    if plain and len(values) > 1:
        raise ConfigError(
            f"--data {plain[0]!r:.80} has no name; if you give several data sets, give each as NAME=PATH, such as "
            "mvtec=PATH."
        )
    if plain:
        return Path(plain[0])
    for value in values:
        name, _, path = value.partition("=")
        folders.setdefault(name, []).append(_folder(name, path))
    return folders or None


def _is_named(value: str) -> bool:
    name, separator, _ = value.partition("=")
    # "./a", "/a" and "~/a" are places, not names.
    return bool(separator) and Path(name).name == name


def _folder(name: str, path: str) -> Path:
    """Return the folder of a data set.

    Raises:
        ConfigError: there is no data set of that name, or no folder.
    """
    from lvlm_ad.datasets.readers import READERS
    from lvlm_ad.errors import ConfigError, nearest

    if name not in READERS:
        whole = f"{name}={path}"
        if Path(whole).exists():
            raise ConfigError(f"--data {whole!r:.80}: write './' before a path that contains '='.")
        raise ConfigError(f"--data: there is no data set {name!r:.80}.{nearest(name, READERS)}")
    folder = Path(path).expanduser()
    # The demo is drawn where it is not yet.
    if not path or not (folder.is_dir() or name == "demo"):
        raise ConfigError(f"--data {name}: there is no folder {path!r:.200}.")
    return folder
