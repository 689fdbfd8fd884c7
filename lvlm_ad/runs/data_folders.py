"""Where the data sets of runs are: their images and masks, which no run's folder has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from lvlm_ad.runs.run import Run

__all__ = ["DataFolders", "datasets_without", "folders_of"]

DataFolders: TypeAlias = Path | Mapping[str, Path | Sequence[Path]] | None
"""One folder for every run, or folders by the names of data sets, or none. Own images may be in several folders, whose
name is "folder" for all: a run's images are in one of them."""


def folders_of(data: DataFolders, dataset: str) -> tuple[Path, ...]:
    """Return the folders that are given for a data set.

    Example:
        >>> folders_of({"mvtec": Path("a")}, "visa"), folders_of(Path("a"), "visa") == (Path("a"),)
        ((), True)
    """
    found = data.get(dataset) if isinstance(data, Mapping) else data
    return () if found is None else (found,) if isinstance(found, Path) else tuple(found)


def datasets_without(runs: Iterable[Run], data: DataFolders) -> list[str]:
    """Return the data sets of runs that have no folder, where folders are given by name; empty otherwise."""
    return sorted({run.manifest.dataset.name for run in runs} - data.keys()) if isinstance(data, Mapping) else []
