"""A baseline in a bench: its own map, and that map averaged over the regions and read like a chat model's answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.baseline import DenseScores, References, Truth, View, flaw_of
from lvlm_ad.datasets.images import read_image, resize_image
from lvlm_ad.datasets.masks import resize_mask
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.detector import Prediction, RowFacts
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


class BaselineDetector:
    """A baseline. Its regions are scored by the very path that a chat model's answer takes.

    Args:
        session: the bench.
        model: the model.
        baseline: the method.
    """

    paid = False

    def __init__(self, session: Session, model: Model, baseline: Baseline) -> None:
        self._session, self.model, self.plugin = session, model, baseline
        self._name, self._seed = model.preset.name, session.plan.config.seed
        side = session.plan.protocol.image_size
        self._size = (side, side)
        # Two: while the last images of a category are scored, the first ones of the next are.
        self._references = lru_cache(maxsize=2)(self._read_references)
        self.rows = baseline.rows
        self.workers = baseline.concurrency or os.cpu_count() or 1
        # A model that runs here says now, not after an hour of dividing, that its weights are missing.
        baseline.identity()

    def start(self) -> None:
        """Do nothing: a baseline is ready."""

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample.

        Raises:
            PluginError: the baseline failed, or gave scores of a wrong shape or range.
            ImageError: the image or the mask cannot be read.
        """
        dense = self._checked(self._scored(sample), sample)
        pooled = np.clip(regions.pool(dense.map), 0.0, 1.0)
        # As the questions ask: regions that are not anomalous at all are left out.
        text = write(dense.image, {number: score for number, score in enumerate(pooled.tolist(), start=1) if score > 0})
        scores = parse(text, regions.count)
        score_map = paint(scores.regions, regions, binary=self._session.plan.protocol.binary)
        return Prediction(sample.id, scores, score_map, text=text, dense=dense)

    def stop(self) -> None:
        """Do nothing: there is nothing to stop."""

    def forecast(self) -> None:
        """Return None: a baseline asks nothing."""

    def facts(self, row: Row) -> RowFacts:
        """Return this detector's part of a row's manifest."""
        baseline, plan = self.plugin, self._session.plan
        model = {
            "frame": baseline.reference_row,
            "sees_truth": baseline.sees_truth,
            "label": baseline.label,
            "notes": list(baseline.notes),
        }
        protocol = {"image_size"} | ({"binary"} if row == "regions" else set())
        seeded = baseline.seeded
        if not baseline.reference_row:
            protocol.add("shots")
            seeded = seeded or plan.protocol.shots > 0
        # A baseline does not fail.
        return RowFacts(model, protocol, {}, "zero", plan.config.seed if seeded else 0)

    def finalize(self, category: str, parts: Sequence[tuple[float, ...]]) -> list[float]:
        """Return the final image scores of a category, for a baseline that needs all of its images.

        Args:
            category: its name, for messages.
            parts: what ``score`` gave of each sample.

        Raises:
            PluginError: the baseline failed, or gave scores of a wrong number or range.
        """
        try:
            with plugin_code(f"{category}: finalize_category() raised"):
                scores = [float(score) for score in self.plugin.finalize_category(parts)]
        except PluginError as error:
            if isinstance(error.__cause__, NotImplementedError):
                raise PluginError(
                    f"The baseline {self._name} gave parts but has no finalize_category() to make image scores of them."
                ) from error
            raise
        if len(scores) != len(parts) or not all(0 <= score <= 1 for score in scores):
            raise PluginError(f"{category}: finalize_category() must give {len(parts)} image scores in [0, 1].")
        return scores

    def _scored(self, sample: Sample) -> Any:
        view, name = self._view(sample), f"The baseline {self._name}"
        module = self.plugin.implementation.__module__
        with plugin_code(f"{name} raised", name=name, module=module, after=f" ({sample.id})."):
            return self.plugin.score(view)

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
        plan = self._session.plan
        paths = reference_paths(plan.dataset, category, plan.protocol.shots, self._seed)
        originals = tuple(read_image(path) for path in paths)
        return References(tuple(resize_image(image, self._size) for image in originals), originals)

    def _checked(self, dense: Any, sample: Sample) -> DenseScores:
        wrong = flaw_of(dense, self._size)
        if "no numbers" in wrong:
            wrong += ": its weights are damaged, or its computing type is too narrow (--set dtype=float32)"
        if wrong:
            raise PluginError(f"The baseline {self._name} {wrong} ({sample.id}).")
        checked: DenseScores = dense
        return checked
