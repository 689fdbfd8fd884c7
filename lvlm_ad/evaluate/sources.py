"""Finds the images of a run again, and divides them as they were divided for it.

Where they are is remembered in the user's cache, never beside runs, which are shared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets import load_dataset
from lvlm_ad.errors import DataError, LvlmAdError
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.divide import Divisions, divide_dataset
from lvlm_ad.files import write_file
from lvlm_ad.regions import METHODS, DivisionStore
from lvlm_ad.store import open_cache
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.log import Progress
    from lvlm_ad.runs import Run

__all__ = ["Sources", "find_sources", "remember_place"]


@dataclass(frozen=True)
class Sources:
    """The images that a run measured, and their divisions.

    Attributes:
        samples: sample id -> sample.
        divisions: the regions of each image; None for an own map, or if the images cannot be divided as they were.
        side: width and height to which images are resized; 0: each image keeps its size.
        note: why there are no divisions; empty if there are, or need not be.
        dataset: the same samples, with the training images.
    """

    samples: Mapping[str, Sample]
    divisions: Divisions | None
    side: int
    note: str = ""
    dataset: Dataset | None = None


def find_sources(run: Run, data: Path | None, progress: Progress, stack: ExitStack) -> Sources:
    """Find the images of a run, which was read with its predictions, and their divisions.

    Args:
        run: the run.
        data: where the data set is; None: where it was when this machine made the run.
        progress: receives how many images are divided again.
        stack: closes the store of divisions.

    Raises:
        DataError: the data set is not there, or has other images.
    """
    recorded = run.manifest.dataset
    note = _read_note(_note_file(run.dir.resolve().parent, recorded.fingerprint))
    if data is not None:
        note |= {"name": recorded.name, "root": data}
    if not note:
        raise DataError(f"The images of {run.dir} are not known on this machine; name their folder with --data.")
    dataset = load_dataset(
        note["name"],
        Path(note["root"]),
        mask_threshold=note.get("mask_threshold"),
        mask_values=note.get("mask_values"),
        categories=recorded.categories,
        split=recorded.split,
    )
    dataset = _measured_images(dataset, run)
    samples = {sample.id: sample for sample in dataset}
    side = int(run.manifest.protocol.get("image_size") or 0)
    if not run.manifest.division.hash:
        return Sources(samples, None, side, dataset=dataset)
    try:
        divisions = _divide(run, dataset, note, progress, stack)
    except LvlmAdError as error:
        return Sources(samples, None, side, f"the images cannot be divided again: {error}", dataset)
    if divisions.hash != run.manifest.division.hash:
        return Sources(samples, None, side, "this version of lvlm-ad divides the images differently.", dataset)
    return Sources(samples, divisions, side, dataset=dataset)


def _measured_images(dataset: Dataset, run: Run) -> Dataset:
    """Return the images that the run measured; refuse a data set that lacks some or has others."""
    by_id = {sample.id: sample for sample in dataset}
    missing = [record.id for record in run.predictions if record.id not in by_id]
    if missing:
        raise DataError(f"{dataset.root} lacks {len(missing)} images that {run.dir} measured, such as {missing[0]}.")
    measured = tuple(by_id[record.id] for record in run.predictions)
    measured_dataset = replace(dataset, samples=measured, kinds=dataset.defects)
    if measured_dataset.fingerprint != run.manifest.dataset.fingerprint:
        raise DataError(f"The images or masks in {dataset.root} are not those that {run.dir} measured.")
    return measured_dataset


def _divide(run: Run, dataset: Dataset, note: Mapping[str, Any], progress: Progress, stack: ExitStack) -> Divisions:
    recorded = run.manifest.division
    model = recorded.options.get("sam_model")
    if model is not None and model not in note.get("divided_by", ()):
        # A stranger's run must not decide which files are opened or downloaded.
        raise DataError(f"the run was divided by the model {model!r:.80}, which this machine has never used")
    known = METHODS[recorded.method][0].model_fields if recorded.method in METHODS else {}
    options = {name: value for name, value in recorded.options.items() if name in known}
    settings = {"image_size": run.manifest.protocol.get("image_size", 0), "division": recorded.method, **options}
    out = run.dir.resolve().parent
    plan = resolve(RunConfig(settings=settings, out=out), dataset)
    stored = Path(note.get("stores", out)) / "cache.sqlite"
    # Beside a run that was copied from elsewhere, nothing is written.
    if not stored.is_file():
        stored = Path(stack.enter_context(TemporaryDirectory())) / "cache.sqlite"
    cache = stack.enter_context(closing(open_cache(stored, progress.note)))
    divisions = Divisions(plan, DivisionStore(cache))
    return divide_dataset(plan, DivisionStore(cache), progress) if divisions.missing(dataset) else divisions


def remember_place(out: Path, dataset: Dataset, config: RunConfig, divided_by: str = "") -> None:
    """Note where a data set is and how its masks were read, and which models divided it on this machine.

    Without the note, reports show no pictures.
    """
    file = _note_file(out, dataset.fingerprint)
    note = {
        "name": dataset.name,
        "root": str(dataset.root.resolve()),
        "mask_threshold": config.mask_threshold,
        "mask_values": config.mask_values,
        "stores": str(config.stores_folder.resolve()),
        "divided_by": sorted({*_read_note(file).get("divided_by", ()), divided_by} - {""}),
    }
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(note, indent=2))


def _read_note(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def _note_file(out: Path, fingerprint: str) -> Path:
    """Return the file of a note: one for each folder of runs and data set, so that two commands do not overwrite it."""
    key = hashlib.sha256(f"{fingerprint} {out.resolve()}".encode(errors="surrogateescape"))
    return user_cache() / "places" / f"{key.hexdigest()}.json"
