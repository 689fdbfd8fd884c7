"""Where the images of runs are on this machine: a note in the user's cache, never beside runs, which are given away."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.storage import write_file
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset

__all__ = ["Place", "find_place", "remember_place"]

_MOST = 1000
"""Data sets, each with a folder of runs, that are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Place:
    """How a data set was loaded.

    Attributes:
        name: as ``load_dataset`` takes it.
        root: the folder.
        mask_threshold: as ``load_dataset`` takes it.
        divided_by: names and folders of the models that divided it here; a run's own word for them is not taken.
    """

    name: str
    root: Path
    mask_threshold: int | None = None
    divided_by: tuple[str, ...] = ()


def remember_place(out: Path, dataset: Dataset, mask_threshold: int | None, divided_by: str = "") -> None:
    """Note where a data set is. It is a convenience: what cannot be written is left out.

    Args:
        out: the folder of runs.
        dataset: the data set.
        mask_threshold: as ``load_dataset`` took it.
        divided_by: the model that divided it, by name or folder; empty if none did.
    """
    places = _read()
    known, key = find_place(out, dataset.fingerprint), _key(out, dataset.fingerprint)
    models = {*(known.divided_by if known else ()), *([divided_by] if divided_by else [])}
    places.pop(key, None)
    places[key] = {
        "name": dataset.name,
        "root": str(dataset.root.resolve()),
        "mask_threshold": mask_threshold,
        "divided_by": sorted(models),
    }
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_file(_file(), json.dumps(dict(list(places.items())[-_MOST:]), indent=2))


def find_place(out: Path, fingerprint: str) -> Place | None:
    """Return where a data set was when runs in a folder were made on this machine; None if nobody noted it."""
    try:
        found = _read()[_key(out, fingerprint)]
        threshold, models = found["mask_threshold"], found["divided_by"]
        return Place(
            str(found["name"]),
            Path(str(found["root"])),
            None if threshold is None else int(str(threshold)),
            tuple(map(str, models)) if isinstance(models, list) else (),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _key(out: Path, fingerprint: str) -> str:
    return f"{fingerprint} {out.resolve()}"


def _file() -> Path:
    return user_cache() / "places.json"


def _read() -> dict[str, dict[str, object]]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
