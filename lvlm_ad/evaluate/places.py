"""Where the images of runs are on this machine: a note in the user's cache, never beside runs, which are given away."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.files import write_file
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
    known, file = find_place(out, dataset.fingerprint), _file(out, dataset.fingerprint)
    models = {*(known.divided_by if known else ()), *([divided_by] if divided_by else [])}
    place = {
        "out": str(out.resolve()),
        "fingerprint": dataset.fingerprint,
        "name": dataset.name,
        "root": str(dataset.root.resolve()),
        "mask_threshold": mask_threshold,
        "divided_by": sorted(models),
    }
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # A file each: of two commands that end at once, neither takes the other's note.
        write_file(file, json.dumps(place, indent=2))
        for old in sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)


def find_place(out: Path, fingerprint: str) -> Place | None:
    """Return where a data set was when runs in a folder were made on this machine; None if nobody noted it."""
    try:
        found = json.loads(_file(out, fingerprint).read_text(encoding="utf-8"))
        threshold, models = found["mask_threshold"], found["divided_by"]
        return Place(
            str(found["name"]),
            Path(str(found["root"])),
            None if threshold is None else int(str(threshold)),
            tuple(map(str, models)) if isinstance(models, list) else (),
        )
    except (OSError, LookupError, TypeError, ValueError):
        return None


def _file(out: Path, fingerprint: str) -> Path:
    key = hashlib.sha256(f"{fingerprint} {out.resolve()}".encode(errors="surrogateescape"))
    return user_cache() / "places" / f"{key.hexdigest()}.json"
