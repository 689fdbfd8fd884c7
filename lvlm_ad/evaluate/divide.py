"""Divides a data set once, and counts its ground truth in the same pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.depth import is_deep
from lvlm_ad.datasets.hashing import hash_rows
from lvlm_ad.engines import Engine, LocalEngine
from lvlm_ad.errors import DataError
from lvlm_ad.evaluate.lost_truth import LostTruth
from lvlm_ad.metrics import CellCounts
from lvlm_ad.metrics.cut import Cut, count_truth
from lvlm_ad.metrics.histograms import histogram_of_cells

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.log import Progress
    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.regions import DivisionStore, Regions, StoredDivision

__all__ = ["Divisions", "divide_dataset"]

DIVISION_VERSION = 1
"""Raised when the same settings give other regions or counts, so that divisions of older versions are not used."""


class Divisions:
    """The divisions of the images that a plan asks about, read from the store one at a time.

    Attributes:
        record: the division's settings, for manifests; read before the first image, since a model's files may change.
        empty: how many divisions have no region.
    """

    def __init__(self, plan: Plan, store: DivisionStore) -> None:
        self._dataset, self._method, self._store = plan.dataset, plan.protocol.division, store
        self._side = plan.protocol.image_size
        self.record = plan.division.record()
        shared = {
            "version": DIVISION_VERSION,
            "image_size": self._side,
            "method": plan.protocol.division,
            "options": plan.division.identity(),
        }
        self._keys: dict[str, str] = {}
        for sample in plan.asked:
            own = {"files": plan.asked.file_hashes[sample.id], "label": sample.label, "threshold": sample.threshold}
            if sample.depth is not None and is_deep(sample.image_path):
                own["highest"] = [sample.depth.highest(kind) for kind in "if"]
            decides = json.dumps({**shared, **own}, sort_keys=True)
            self._keys[sample.id] = hashlib.sha256(decides.encode()).hexdigest()
        self._hashes: dict[str, str] = {}
        self.empty = 0

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Look up samples and return those that are not divided yet."""
        known = self._store.known(self._keys[sample.id] for sample in samples)
        missing: list[Sample] = []
        for sample in samples:
            if (division := known.get(self._keys[sample.id])) is None:
                missing.append(sample)
            else:
                self._hashes[sample.id], n_regions = division
                self.empty += n_regions == 0
        return missing

    def put(self, sample: Sample, division: StoredDivision) -> None:
        """Store a sample's division."""
        self._store.put(self._keys[sample.id], division)

    def regions(self, sample: Sample) -> Regions:
        """Return a sample's regions."""
        return self._store.regions(self._keys[sample.id])

    def histogram(self, sample: Sample, scores: NDArray[np.floating[Any]]) -> ScoreHistogram | None:
        """Count a sample's pixels by the scores of its cells; None where it has no ground truth."""
        arrays = self._store.counts(self._keys[sample.id])
        return None if arrays is None else histogram_of_cells(CellCounts.from_arrays(arrays), scores)

    def lost_truth(self) -> LostTruth:
        """Return the ground truth that is not measured; masks counted by an older version are read again."""
        size = (self._side, self._side)
        lost = LostTruth("{} x {}".format(*size), "Measure at a larger size with --set image_size=N.")
        for sample in self._dataset:
            key = self._keys[sample.id]
            if not sample.mask_files or (counts := self._store.counts(key, only="lost")) is None:
                continue
            if "lost" not in counts and (mask := sample.mask) is not None:
                counts = count_truth(self._store.regions(key), mask, size)
                self._store.put_counts(key, counts)
            lost.add(sample.id, *map(int, counts["lost"]))
        return lost

    def hash_of(self, sample: Sample) -> str:
        """Return the hash of a sample's division."""
        return self._hashes[sample.id]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over every test image's id and division: equal if and only if every image is divided alike."""
        return hash_rows([sample.id, self.hash_of(sample)] for sample in self._dataset)

    @property
    def facts(self) -> dict[str, Any]:
        """The manifest's "division"."""
        return {"method": self._method, "options": dict(self.record), "hash": self.hash}


def divide_dataset(plan: Plan, store: DivisionStore, progress: Progress, engine: Engine | None = None) -> Divisions:
    """Divide the images that are not divided yet; each division is stored as soon as it is made.

    This reads every image and mask, so a file that cannot be used ends the bench before a model is asked anything.
    Without an engine this machine divides.

    Raises:
        DataError: images or masks cannot be used; the message names the first and counts the rest.
        ConfigError: the model that divides cannot be used.
    """
    divisions = Divisions(plan, store)
    missing = divisions.missing(plan.asked)
    problems: list[str] = []
    progress.start("dividing", len(plan.asked))
    progress.advance(len(plan.asked) - len(missing), stored=True)
    cut = Cut(plan.protocol.division, plan.division.model_dump(), plan.protocol.image_size)
    with ExitStack() as stack:
        engine = engine or stack.enter_context(closing(LocalEngine()))
        # Closed here, so that after an error no work goes on behind it.
        results = stack.enter_context(closing(engine.map(cut, missing, holds_model=plan.division.in_one_process)))
        for sample, result in results:
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
    divisions.missing(missing)
    if divisions.empty:
        progress.note(
            f"{divisions.empty} of {len(plan.asked)} images have no region within the area limits; their maps are "
            "empty."
        )
    for note in divisions.lost_truth().notes():
        progress.note(note)
    return divisions
