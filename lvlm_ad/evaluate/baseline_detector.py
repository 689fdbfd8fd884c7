"""A baseline in a bench: its own map, and that map averaged over the regions and read like a chat model's answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.baseline import DenseScores, References, Truth, View, flaw_of
from lvlm_ad.datasets.images import read_image, resize_image, resize_mask
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.detector import Detector, Prediction
from lvlm_ad.evaluate.manifest import NO_DIVISION, RowFacts
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.prompts import reference_paths
from lvlm_ad.text2seg import paint, parse, write

if TYPE_CHECKING:
    from lvlm_ad.baseline import Baseline, Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions

__all__ = ["BaselineDetector"]


class BaselineDetector(Detector["Baseline"]):
    """A baseline. Its regions are scored by the very path that a chat model's answer takes."""

    def __init__(self, session: Session, model: Model, baseline: Baseline) -> None:
        super().__init__(session, model, baseline)
        self._seed = session.plan.config.seed
        side = session.plan.protocol.image_size
        self._size = (side, side)
        # Two: while the last images of a category are scored, the first ones of the next are.
        self._references = lru_cache(maxsize=2)(self._read_references)
        self.rows, self.sees_truth = baseline.rows, baseline.sees_truth
        self.workers = baseline.concurrency or os.cpu_count() or 1
        self.finalize = self._finalized

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample."""
        dense = self._dense(sample)
        pooled = np.clip(regions.pool(dense.map), 0.0, 1.0)
        # As the questions ask: regions that are not anomalous at all are left out.
        text = write(dense.image, {number: score for number, score in enumerate(pooled.tolist(), start=1) if score > 0})
        scores = parse(text, regions.count)
        score_map = paint(scores.regions, regions, binary=self.session.plan.protocol.binary)
        return Prediction(sample.id, scores, score_map, text=text, dense=dense)

    def facts(self, row: Row) -> RowFacts:
        """Return this detector's part of a row's manifest."""
        baseline, plan, through_regions = self.plugin, self.session.plan, row == "regions"
        own = {"frame": baseline.reference_row, "label": baseline.label, "notes": list(baseline.notes)}
        shots = not baseline.reference_row
        fields = {"image_size", *(["binary"] if through_regions else []), *(["shots"] if shots else [])}
        seeded = baseline.seeded or (shots and plan.protocol.shots > 0)
        return RowFacts(
            self.model_facts(row) | own,
            plan.protocol.model_dump(mode="json", include=fields),
            self.session.divisions.facts if through_regions else NO_DIVISION,
            seed=plan.config.seed if seeded else 0,
        )

    def _finalized(self, category: str, parts: Sequence[tuple[float, ...]]) -> list[float]:
        """Return the final image scores of a category; raises PluginError if the baseline gives none."""
        try:
            with plugin_code(f"{category}: finalize_category() raised"):
                scores = [float(score) for score in self.plugin.finalize_category(parts)]
        except PluginError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            raise PluginError(
                f"The baseline {self.name} gave parts but has no finalize_category() to make image scores of them."
            ) from error
        if len(scores) != len(parts) or not all(0 <= score <= 1 for score in scores):
            raise PluginError(f"{category}: finalize_category() must give {len(parts)} image scores in [0, 1].")
        return scores

    def _dense(self, sample: Sample) -> DenseScores:
        view, name = self._view(sample), f"The baseline {self.name}"
        with plugin_code(f"{name} raised", name=name, after=f" ({sample.id})."):
            dense = self.plugin.score(view)
        wrong = flaw_of(dense, self._size)
        if "no numbers" in wrong:
            wrong += ": its weights are damaged, or its computing type is too narrow (--set dtype=float32)"
        if wrong:
            raise PluginError(f"{name} {wrong} ({sample.id}).")
        return dense

    def _view(self, sample: Sample) -> View:
        truth = None
        if self.plugin.sees_truth:
            mask = sample.mask
            truth = Truth(sample.label, None if mask is None else resize_mask(mask, self._size))
        original, references = sample.image, self._references(sample.category)
        return View(
            image=resize_image(original, self._size),
            category=sample.category,
            seed=f"{self._seed}/{sample.id}",
            references=references.images,
            truth=truth,
            original=original,
            original_references=references.originals,
        )

    def _read_references(self, category: str) -> References:
        plan = self.session.plan
        paths = reference_paths(plan.dataset, category, plan.protocol.shots, self._seed)
        originals = tuple(read_image(path) for path in paths)
        return References(tuple(resize_image(image, self._size) for image in originals), originals)
