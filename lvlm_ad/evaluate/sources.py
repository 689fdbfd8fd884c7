"""Finds the images of a run again, and divides them as they were divided for it.

Where they are is remembered in the user's cache, never beside runs, which are shared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

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
    """

    samples: Mapping[str, Sample]
    divisions: Divisions | None
    side: int
    note: str = ""


def find_sources(run: Run, data: Path | None, progress: Progress, stack: ExitStack) -> Sources:
    """Find a run's images and their divisions.

    Args:
        run: read with its predictions.
        data: where the data set is; None: where it was when this machine made the run.
        progress: receives how many images are divided, if they must be divided again.
        stack: closes the store of divisions.

    Raises:
        DataError: the data set is not there, or has other images.
    """
    recorded = run.manifest.dataset
    place = _find_place(run.dir.resolve().parent, recorded.fingerprint)
    if data is not None:
        place = _Place(recorded.name, data, place.mask_threshold if place else None, place.divided_by if place else ())
    if place is None:
        raise DataError(f"The images of {run.dir} are not known on this machine; name their folder with --data.")
    dataset = _measured_images(load_dataset(place.name, place.root, mask_threshold=place.mask_threshold), run)
    samples = {sample.id: sample for sample in dataset}
    side = int(run.manifest.protocol.get("image_size", 0))
    if not run.manifest.division.hash:
        return Sources(samples, None, side)
    try:
        divisions = _divide(run, dataset, place.divided_by, progress, stack)
    except LvlmAdError as error:
        return Sources(samples, None, side, f"the images cannot be divided again: {error}")
    if divisions.hash != run.manifest.division.hash:
        note = "this version of lvlm-ad divides the images differently."
        return Sources(samples, None, side, note)
    return Sources(samples, divisions, side)


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


def _divide(run: Run, dataset: Dataset, divided_by: Sequence[str], progress: Progress, stack: ExitStack) -> Divisions:
    recorded = run.manifest.division
    model = recorded.options.get("sam_model")
    if model is not None and model not in divided_by:
        # A stranger's run must not decide which files are opened or downloaded.
        raise DataError(f"the run was divided by the model {model!r:.80}, which this machine has never used")
    known = METHODS[recorded.method][0].model_fields if recorded.method in METHODS else {}
    options = {name: value for name, value in recorded.options.items() if name in known}
    settings = {"image_size": run.manifest.protocol.get("image_size", 0), "division": recorded.method, **options}
    out = run.dir.resolve().parent
    plan = resolve(RunConfig(settings=settings, out=out), dataset)
    stored = out / "cache.sqlite"
    # Beside a run that was copied from elsewhere, nothing is written.
    if not stored.is_file():
        stored = Path(stack.enter_context(TemporaryDirectory())) / "cache.sqlite"
    cache = stack.enter_context(closing(open_cache(stored)))
    divisions = Divisions(plan, DivisionStore(cache))
    return divide_dataset(plan, DivisionStore(cache), progress) if divisions.missing(dataset) else divisions


@dataclass(frozen=True, slots=True)
class _Place:
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
    """Note where a data set is, and the model that divided it. Without the note, reports show no pictures."""
    known, file = _find_place(out, dataset.fingerprint), _file(out, dataset.fingerprint)
    models = {*(known.divided_by if known else ()), *([divided_by] if divided_by else [])}
    place = _Place(dataset.name, dataset.root.resolve(), mask_threshold, tuple(sorted(models)))
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # One file each, so that two commands that end at once do not overwrite each other's note.
        write_file(file, json.dumps(asdict(place), indent=2, default=str))


def _find_place(out: Path, fingerprint: str) -> _Place | None:
    """Return where a data set was when the runs in a folder were made on this machine; None if there is no note."""
    try:
        note = json.loads(_file(out, fingerprint).read_text(encoding="utf-8"))
        return _Place(note["name"], Path(note["root"]), note["mask_threshold"], tuple(note["divided_by"]))
    except (OSError, LookupError, TypeError, ValueError):
        return None


def _file(out: Path, fingerprint: str) -> Path:
    key = hashlib.sha256(f"{fingerprint} {out.resolve()}".encode(errors="surrogateescape"))
    return user_cache() / "places" / f"{key.hexdigest()}.json"
