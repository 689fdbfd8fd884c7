"""Remembers where the images of runs are on this machine: in the user's cache, never beside runs, which are shared."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.files import write_file
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset

__all__ = ["Place", "find_place", "remember_place"]


@dataclass(frozen=True, slots=True)
class Place:
    """How a data set was loaded.

    Attributes:
        name: the data set, as ``load_dataset`` takes it.
        root: its folder.
        mask_threshold: as ``load_dataset`` takes it.
        divided_by: names and folders of the models that divided it on this machine. A run's own manifest is not trusted
            with that: it may come from a stranger.
    """

    name: str
    root: Path
    mask_threshold: int | None = None
    divided_by: tuple[str, ...] = ()


def remember_place(out: Path, dataset: Dataset, mask_threshold: int | None, divided_by: str = "") -> None:
    """Note where a data set is. Nothing depends on it, so a note that cannot be written is left out.

    Args:
        out: the folder of runs.
        dataset: the data set.
        mask_threshold: as ``load_dataset`` took it.
        divided_by: the model that divided it, by name or folder; empty if none did.
    """
    known, file = find_place(out, dataset.fingerprint), _file(out, dataset.fingerprint)
    models = {*(known.divided_by if known else ()), *([divided_by] if divided_by else [])}
    place = Place(dataset.name, dataset.root.resolve(), mask_threshold, tuple(sorted(models)))
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # One file each, so that two commands that end at once do not overwrite each other's note.
        write_file(file, json.dumps(asdict(place), indent=2, default=str))


def find_place(out: Path, fingerprint: str) -> Place | None:
    """Return where a data set was when the runs in a folder were made on this machine; None if there is no note."""
    try:
        note = json.loads(_file(out, fingerprint).read_text(encoding="utf-8"))
        return Place(note["name"], Path(note["root"]), note["mask_threshold"], tuple(note["divided_by"]))
    except (OSError, LookupError, TypeError, ValueError):
        return None


def _file(out: Path, fingerprint: str) -> Path:
    key = hashlib.sha256(f"{fingerprint} {out.resolve()}".encode(errors="surrogateescape"))
    return user_cache() / "places" / f"{key.hexdigest()}.json"
