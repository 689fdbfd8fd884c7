"""Where the images of runs are on this machine: a note beside the runs, not in them; runs are given away."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset

__all__ = ["Place", "find_place", "remember_place"]

_FILE = "places.json"


@dataclass(frozen=True, slots=True)
class Place:
    """How a data set was loaded.

    Attributes:
        name: as ``load_dataset`` takes it.
        root: the folder.
        mask_threshold: as ``load_dataset`` takes it.
    """

    name: str
    root: Path
    mask_threshold: int | None = None


def remember_place(out: Path, dataset: Dataset, mask_threshold: int | None) -> None:
    """Note in the folder of runs where a data set is. It is a convenience: what cannot be written is left out."""
    places = _read(out)
    places[dataset.fingerprint] = {
        "name": dataset.name,
        "root": str(dataset.root.resolve()),
        "mask_threshold": mask_threshold,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out, prefix=".places-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(places, file, indent=2)
        Path(name).replace(out / _FILE)
    except OSError:
        return


def find_place(out: Path, fingerprint: str) -> Place | None:
    """Return where a data set was when a run of it was made; None if nobody noted it."""
    try:
        found = _read(out)[fingerprint]
        threshold = found["mask_threshold"]
        return Place(str(found["name"]), Path(str(found["root"])), None if threshold is None else int(str(threshold)))
    except (KeyError, TypeError, ValueError):
        return None


def _read(out: Path) -> dict[str, dict[str, object]]:
    try:
        found = json.loads((out / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
