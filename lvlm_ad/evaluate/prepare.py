"""Divides a data set once, in parallel where a method allows it, and counts its ground truth in the same pass."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import DataError, ImageError
from lvlm_ad.metrics import CellCounts, count_cells
from lvlm_ad.regions import DivisionStore, Regions, StoredDivision, divide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.evaluate.config import Plan, Progress

__all__ = ["Divisions", "divide_dataset"]

DIVISION_VERSION = 1
"""Raised when the same settings give other regions or counts, so that what older versions stored is not used."""

_WORTH_PROCESSES = 4
"""Below so many images, starting processes takes longer than dividing."""


@dataclass(frozen=True)
class Divisions:
    """The divisions of a data set, read from the store one at a time.

    Attributes:
        store: where they are.
        keys: sample id -> key in the store, in the data set's order.
        hashes: key -> hash of the division.
        record: the settings, for a manifest; taken before the first image, since a model's files may change later.
    """

    store: DivisionStore
    keys: Mapping[str, str]
    hashes: Mapping[str, str]
    record: Mapping[str, Any]

    def regions(self, sample: Sample) -> Regions:
        """Return a sample's regions."""
        return self.store.regions(self.keys[sample.id])

    def counts(self, sample: Sample) -> CellCounts | None:
        """Return the pixel counts of a sample's ground truth in its cells; None where it has no ground truth."""
        arrays = self.store.counts(self.keys[sample.id])
        return None if arrays is None else CellCounts.from_arrays(arrays)

    def hash_of(self, sample: Sample) -> str:
        """Return the hash of a sample's division."""
        return self.hashes[self.keys[sample.id]]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over every sample's id and division: equal if and only if every image is cut alike."""
        listing = [[sample_id, self.hashes[key]] for sample_id, key in self.keys.items()]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def divide_dataset(plan: Plan, store: DivisionStore, progress: Progress) -> Divisions:
    """Divide what is not divided yet; each division is stored as soon as it is made.

    Reading every image and mask, this also finds all that cannot be used before a model is asked anything.

    Raises:
        DataError: images or masks cannot be used; the message names the first and counts the rest.
        ConfigError: the model that divides cannot be found or used.
    """
    identity, record = plan.division.identity(), plan.division.record()
    keys = {sample.id: _key(sample, plan, identity) for sample in plan.dataset}
    known = store.hashes(keys.values())
    missing = [sample for sample in plan.dataset if keys[sample.id] not in known]
    problems: list[str] = []
    progress.start("dividing", len(plan.dataset))
    for _ in range(len(plan.dataset) - len(missing)):
        progress.advance(stored=True)
    if plan.division.in_one_process:
        # Slow, and several commands may divide the same images at once: each begins elsewhere and leaves out what the
        # others have done meanwhile.
        random.Random(os.getpid()).shuffle(missing)  # noqa: S311 - nothing is kept secret by it

    def done(sample: Sample) -> bool:
        return bool(store.hashes([keys[sample.id]]))

    for sample_id, result in _divide_all(missing, plan, done):
        if isinstance(result, str):
            problems.append(result)
        elif result is not None:
            store.put(keys[sample_id], result)
        progress.advance(failed=isinstance(result, str), stored=result is None)
    progress.finish()
    plan.division.release()
    if problems:
        others = f" {len(problems) - 1} more cannot be used either." if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{others} 'lvlm-ad data check' lists all problems.")
    empty = store.without_regions(keys.values())
    if empty:
        progress.note(f"{empty} of {len(keys)} images keep no region within the area limits; their maps are empty.")
    return Divisions(store, keys, store.hashes(keys.values()), record)


def _key(sample: Sample, plan: Plan, identity: Mapping[str, Any]) -> str:
    dataset: Dataset = plan.dataset
    decides = {
        "version": DIVISION_VERSION,
        "files": dataset.file_hashes[sample.id],
        "label": sample.label,
        "threshold": sample.threshold,
        "image_size": plan.protocol.image_size,
        "method": plan.protocol.division,
        "options": identity,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _divide_all(
    samples: list[Sample], plan: Plan, done: Callable[[Sample], bool]
) -> Iterator[tuple[str, StoredDivision | str | None]]:
    """Divide samples; None for one that was found done when its turn came."""
    method, options, side = plan.protocol.division, plan.division.model_dump(), plan.protocol.image_size
    if plan.division.in_one_process or len(samples) < _WORTH_PROCESSES:
        for sample in samples:
            yield (sample.id, None) if done(sample) else _divide_one(sample, method, options, side)
        return
    # loky's processes need no `if __name__ == "__main__"` in a caller's script.
    from joblib.externals.loky import ProcessPoolExecutor, as_completed  # noqa: PLC0415 - only where images are divided

    # One thread each: there are as many processes as processors.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    processes = ProcessPoolExecutor(max_workers=min(len(samples), os.cpu_count() or 1), env=single)
    try:
        tasks = [processes.submit(_divide_one, sample, method, options, side) for sample in samples]
        yield from (task.result() for task in as_completed(tasks))
    finally:
        # They would be kept for later; a bench divides once and may then wait for answers for hours.
        processes.shutdown(wait=True, kill_workers=True)


def _divide_one(sample: Sample, method: str, options: dict[str, Any], side: int) -> tuple[str, StoredDivision | str]:
    """Divide one image and count its mask; may run in a worker process. A text says what is wrong with the files."""
    try:
        regions = divide(resize_image(sample.image, (side, side)), method, **options)
        mask = sample.mask
    except ImageError as error:
        return sample.id, str(error)
    counts = None
    if mask is not None:
        counts = count_cells(regions.cells, resize_mask(mask, (side, side)), regions.n_cells).to_arrays()
    return sample.id, StoredDivision.pack(regions, counts)
