"""Finds again what a run was measured on: its images, and how they were divided."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lvlm_ad.datasets import load_dataset
from lvlm_ad.errors import DataError, LvlmAdError
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.divide import Divisions, divide_dataset
from lvlm_ad.evaluate.places import Place, find_place
from lvlm_ad.progress import Progress
from lvlm_ad.regions import METHODS, DivisionStore
from lvlm_ad.store import open_cache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.runs import Run

__all__ = ["Sources", "find_sources"]


@dataclass(frozen=True)
class Sources:
    """What pictures are made of.

    Attributes:
        samples: sample id -> sample.
        divisions: how the images are cut; None for a row that is not divided, or where they cannot be cut again.
        side: the side of images in pixels; 0: each image's own size.
        note: what is missing, and why; empty if nothing is.
    """

    samples: Mapping[str, Sample]
    divisions: Divisions | None
    side: int
    note: str = ""


def find_sources(run: Run, data: Path | None, progress: Progress, stack: ExitStack) -> Sources:
    """Find a run's images and their divisions.

    Args:
        run: read with its predictions.
        data: where the data set is; None: where it was when the run was made.
        progress: hears how far dividing is, should the stored divisions be lost.
        stack: closes the store of divisions.

    Raises:
        DataError: the data set is not there, or holds other images.
    """
    recorded = run.manifest.dataset
    place = find_place(run.dir.resolve().parent, recorded.fingerprint)
    if data is not None:
        place = Place(recorded.name, data, place.mask_threshold if place else None, place.divided_by if place else ())
    if place is None:
        raise DataError(f"Where the images of {run.dir} are is not known here; name the folder with --data.")
    chosen = _chosen(load_dataset(place.name, place.root, mask_threshold=place.mask_threshold), run)
    samples = {sample.id: sample for sample in chosen}
    side = int(run.manifest.protocol.get("image_size", 0))
    if not run.manifest.division.hash:
        return Sources(samples, None, side)
    try:
        divisions = _divided(run, chosen, side, place.divided_by, progress, stack)
    except LvlmAdError as error:
        return Sources(samples, None, side, f"Marks and maps cannot be drawn: {error}")
    if divisions.hash != run.manifest.division.hash:
        return Sources(samples, None, side, "Marks and maps are not drawn: this version divides the images otherwise.")
    return Sources(samples, divisions, side)


def _chosen(whole: Dataset, run: Run) -> Dataset:
    """Return the images that the run measured.

    Raises:
        DataError: some are not there, or are others.
    """
    by_id = {sample.id: sample for sample in whole}
    absent = [record.id for record in run.predictions if record.id not in by_id]
    if absent:
        raise DataError(f"{whole.root} has no image {absent[0]}, which {run.dir} measured ({len(absent)} are missing).")
    chosen = replace(whole, samples=tuple(by_id[record.id] for record in run.predictions), kinds=whole.defects)
    if chosen.fingerprint != run.manifest.dataset.fingerprint:
        raise DataError(f"The images or masks in {whole.root} are not those that {run.dir} measured.")
    return chosen


def _divided(
    run: Run, chosen: Dataset, side: int, divided_by: Sequence[str], progress: Progress, stack: ExitStack
) -> Divisions:
    recorded = run.manifest.division
    model = recorded.options.get("sam_model")
    if model is not None and model not in divided_by:
        # A stranger's run must not decide which files are opened, or fetched.
        raise DataError(f"it was divided by the model {model!r:.80}, which has divided nothing on this machine")
    own = METHODS[recorded.method][0].model_fields if recorded.method in METHODS else {}
    options = {name: value for name, value in recorded.options.items() if name in own}
    settings = {"image_size": side, "division": recorded.method, **options}
    out = run.dir.resolve().parent
    plan = resolve(RunConfig(settings=settings, out=out), chosen)
    stored = out / "cache.sqlite"
    # A run that was copied elsewhere is read, and nothing is written beside it.
    if not stored.is_file():
        stored = Path(stack.enter_context(TemporaryDirectory())) / "cache.sqlite"
    cache = stack.enter_context(closing(open_cache(stored)))
    return divide_dataset(plan, DivisionStore(cache), progress)
