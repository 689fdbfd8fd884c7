"""Divides a data set once, and counts its ground truth in the same pass."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lvlm_ad.engines import Cutting, Engine, LocalEngine
from lvlm_ad.errors import DataError
from lvlm_ad.metrics import CellCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.evaluate.config import Plan, Progress
    from lvlm_ad.regions import DivisionStore, Regions

__all__ = ["Divisions", "divide_dataset"]

DIVISION_VERSION = 1
"""Raised when the same settings give other regions or counts, so that what older versions stored is not used."""


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


def divide_dataset(plan: Plan, store: DivisionStore, progress: Progress, engine: Engine | None = None) -> Divisions:
    """Divide what is not divided yet; each division is stored as soon as it is made.

    Reading every image and mask, this also finds all that cannot be used before a model is asked anything.

    Args:
        plan: what is measured.
        store: where divisions are kept.
        progress: hears how far it has come.
        engine: where images are cut; None: on this machine.

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

    cutting = Cutting(
        plan.protocol.division,
        plan.division.model_dump(),
        plan.protocol.image_size,
        plan.division.in_one_process,
        plan.dataset.file_hashes,
    )
    for sample_id, result in (engine or LocalEngine()).divide(missing, cutting, done):
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
