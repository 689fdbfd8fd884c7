"""Where the data sets of runs are: their images and masks, which no run's folder has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from lvlm_ad.runs.run import Run

__all__ = ["DataFolders", "datasets_without", "folder_of"]

DataFolders: TypeAlias = Path | Mapping[str, Path] | None
"""One folder for every run, or folders by the names of data sets, or none."""


def folder_of(data: DataFolders, dataset: str) -> Path | None:
    """Return the folder of a data set, or None if it is not given.

    Example:
        >>> folder_of({"mvtec": Path("a")}, "visa") is None, folder_of(Path("a"), "visa") == Path("a")
        (True, True)
    """
    return data.get(dataset) if isinstance(data, Mapping) else data


def datasets_without(runs: Iterable[Run], data: DataFolders) -> list[str]:
    """Return the data sets of runs that have no folder, where folders are given by name; empty otherwise."""
    return sorted({run.manifest.dataset.name for run in runs} - data.keys()) if isinstance(data, Mapping) else []
