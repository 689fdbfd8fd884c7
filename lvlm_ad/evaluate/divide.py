"""Divides a data set once, and counts its ground truth in the same pass."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.hashing import hash_rows
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.datasets.masks import resize_mask
from lvlm_ad.engines import Engine, LocalEngine
from lvlm_ad.errors import DataError
from lvlm_ad.metrics import CellCounts, count_cells
from lvlm_ad.regions import StoredDivision, divide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.progress import Progress
    from lvlm_ad.regions import DivisionStore, Regions

__all__ = ["Divisions", "divide_dataset"]

DIVISION_VERSION = 1
"""Raised when the same settings give other regions or counts, so that what older versions stored is not used."""

_AT_ONCE = 900
"""Samples looked up at a time."""


@dataclass(frozen=True)
class _Cut:
    """Divide one image and count its ground truth; a task for an engine.

    Attributes:
        method: the division's name.
        options: its options, defaults filled in.
        side: of the square that images are stretched to, in pixels.
    """

    method: str
    options: Mapping[str, Any]
    side: int

    def load(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Read an image and its mask."""
        return sample.image, sample.mask

    def run(self, loaded: tuple[NDArray[np.uint8], NDArray[np.bool_] | None]) -> StoredDivision:
        """Divide the image into regions and count the mask's pixels in their cells."""
        image, mask = loaded
        size = (self.side, self.side)
        regions = divide(resize_image(image, size), self.method, **self.options)
        counts = None
        if mask is not None:
            counts = count_cells(regions.cells, resize_mask(mask, size), regions.n_cells).to_arrays()
        return StoredDivision.pack(regions, counts)


class _Keys:
    """Makes the keys under which divisions are stored. They are made anew where they are needed, not held.

    Args:
        plan: what is measured.
        identity: the division's options, as far as they decide.
    """

    def __init__(self, plan: Plan, identity: Mapping[str, Any]) -> None:
        self._files = plan.dataset.file_hashes
        self._shared = {
            "version": DIVISION_VERSION,
            "image_size": plan.protocol.image_size,
            "method": plan.protocol.division,
            "options": identity,
        }
        self._around = cache(self._written)

    def of(self, sample: Sample) -> str:
        """Return a sample's key, SHA-256 (hex) over everything that decides its division and its counts."""
        before, after = self._around(sample.label, sample.threshold)
        image, mask = self._files[sample.id]
        return hashlib.sha256(f'{before}["{image}", "{mask}"]{after}'.encode()).hexdigest()

    def _written(self, label: bool, threshold: int | None) -> tuple[str, str]:  # noqa: FBT001 - a value of the JSON
        """Write what is hashed once for all samples that differ in their files alone: what stands around these."""
        decides = {**self._shared, "files": [], "label": label, "threshold": threshold}
        before, _, after = json.dumps(decides, sort_keys=True).partition("[]")
        return before, after


class Divisions:
    """The divisions of a data set, read from the store one at a time.

    Args:
        store: where they are.
        dataset: whose they are.
        keys: makes the keys in the store.
        record: the settings, for a manifest; taken before the first image, since a model's files may change later.

    Attributes:
        record: the same.
        empty: how many of them have no region.
    """

    def __init__(self, store: DivisionStore, dataset: Dataset, keys: _Keys, record: Mapping[str, Any]) -> None:
        self._store, self._dataset, self._keys, self.record = store, dataset, keys, record
        self._hashes: dict[str, str] = {}
        self.empty = 0

    def look_for(self, samples: Iterable[Sample]) -> list[Sample]:
        """Note which samples are divided, and how.

        Returns:
            Those that are not.

        Raises:
            StoreError: the store is damaged.
        """
        missing: list[Sample] = []
        rest = iter(samples)
        while part := list(islice(rest, _AT_ONCE)):
            keys = [self._keys.of(sample) for sample in part]
            known = {key: (digest, count) for key, digest, count in self._store.known(keys)}
            for sample, key in zip(part, keys, strict=True):
                if key in known:
                    self._note(sample, *known[key])
                else:
                    missing.append(sample)
        return missing

    def _note(self, sample: Sample, digest: str, n_regions: int) -> None:
        self._hashes[sample.id] = digest
        self.empty += n_regions == 0

    def has(self, sample: Sample) -> bool:
        """Whether a sample's division is stored by now."""
        return any(self._store.known([self._keys.of(sample)]))

    def put(self, sample: Sample, division: StoredDivision) -> None:
        """Store a sample's division.

        Raises:
            StoreError: the store cannot be written.
        """
        self._store.put(self._keys.of(sample), division)

    def regions(self, sample: Sample) -> Regions:
        """Return a sample's regions."""
        return self._store.regions(self._keys.of(sample))

    def counts(self, sample: Sample) -> CellCounts | None:
        """Return the pixel counts of a sample's ground truth in its cells; None where it has no ground truth."""
        arrays = self._store.counts(self._keys.of(sample))
        return None if arrays is None else CellCounts.from_arrays(arrays)

    def hash_of(self, sample: Sample) -> str:
        """Return the hash of a sample's division."""
        return self._hashes[sample.id]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over every sample's id and division: equal if and only if every image is cut alike."""
        return hash_rows([sample.id, self.hash_of(sample)] for sample in self._dataset)


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
    divisions = Divisions(store, plan.dataset, _Keys(plan, identity), record)
    missing = divisions.look_for(plan.dataset)
    problems: list[str] = []
    progress.start("dividing", len(plan.dataset))
    progress.advance(len(plan.dataset) - len(missing), stored=True)
    if plan.division.in_one_process:
        # Slow, and several commands may divide the same images at once: each begins elsewhere and leaves out what the
        # others have done meanwhile.
        random.Random(os.getpid()).shuffle(missing)  # noqa: S311 - nothing is kept secret by it
    cut = _Cut(plan.protocol.division, plan.division.model_dump(), plan.protocol.image_size)

    def undivided() -> Iterator[Sample]:
        for sample in missing:
            if plan.division.in_one_process and divisions.has(sample):
                progress.advance(stored=True)
            else:
                yield sample

    engine = engine or LocalEngine()
    for sample, result in engine.map(cut, undivided(), holds_model=plan.division.in_one_process):
        if isinstance(result, DataError):
            problems.append(str(result))
        else:
            divisions.put(sample, result)
        progress.advance(failed=isinstance(result, DataError))
    progress.finish()
    plan.division.release()
    if problems:
        others = f" {len(problems) - 1} more cannot be used either." if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{others} 'lvlm-ad data check' lists all problems.")
    divisions.look_for(missing)
    if divisions.empty:
        progress.note(
            f"{divisions.empty} of {len(plan.dataset)} images keep no region within the area limits; their maps are "
            "empty."
        )
    return divisions
