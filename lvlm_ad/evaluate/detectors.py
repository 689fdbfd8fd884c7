"""Detectors predict one sample at a time: what all have in common, and the detector of a baseline.

A baseline gives a map of its own. This map is also averaged over the regions and read like a chat model's answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from lvlm_ad.baseline import DenseScores, Truth, View, flaw_of
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.datasets.questions import LETTERS
from lvlm_ad.deferred import deferred
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.painting import kept_places
from lvlm_ad.methods import AskedModel, Finding
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.prompts import own_references, reference_paths
from lvlm_ad.runs import TEXT_KEPT, MethodRecord, PredictionRecord
from lvlm_ad.runs.prediction_records import ChoiceRecord
from lvlm_ad.text2seg import paint, parse, write

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline, Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg import ScoreMap

__all__ = [
    "BaselineDetector",
    "Detector",
    "Finalize",
    "Prediction",
    "added",
    "make_record",
    "method_facts",
    "with_score",
]

Images = Sequence["NDArray[np.uint8]"]

PluginT = TypeVar("PluginT", bound="Backend | Baseline")

Finalize = Callable[[str, Sequence[tuple[float, ...]]], Sequence[float]]
"""From a category's name and the parts of its images to its final image scores."""


@dataclass(frozen=True)
class Prediction:
    """A detector's scores for one sample, and the evidence for them.

    Attributes:
        record: scores and evidence as predictions.jsonl keeps them, but without the division's hash.
        score_map: the map, constant on cells.
        stored: whether earlier runs asked all its questions.
        expected: how many of the scores are expected values.
        retry_error: why asking again failed, where ``--retry-failed`` asked again and the stored answer stayed.
        spent: USD that the image costs now; None if unknown.
        divided: whether the scores are about the regions of the image's division.
        dense: a baseline's own scores; None for a chat model.
    """

    record: PredictionRecord
    score_map: ScoreMap
    stored: bool = False
    expected: int = 0
    retry_error: str = ""
    spent: float | None = 0.0
    divided: bool = True
    dense: DenseScores | None = None


def make_record(sample: Sample, finding: Finding, n_regions: int = 0, **evidence: Any) -> PredictionRecord:
    """Make the record of an image.

    Args:
        sample: the image.
        finding: its scores; of an own map the image score alone.
        n_regions: how many regions the image has; 0 if it is not divided.
        **evidence: other fields of the record; an own map has none.
    """
    return PredictionRecord(
        id=sample.id,
        category=sample.category,
        label=sample.label,
        defect=sample.defect,
        image_score=finding.image,
        **kept_places(finding.shapes),
        n_regions=n_regions,
        status=finding.status,
        flags=list(finding.flags),
        source=finding.source,
        mass=finding.mass,
        spread=finding.spread,
        choices=_choices(sample, finding) if finding.choices else [],
        is_labelled=sample.is_labelled,
        tags=dict(sample.tags),
        part=sample.part,
        **{"notes": list(finding.notes), **evidence},
    )


def _choices(sample: Sample, finding: Finding) -> list[ChoiceRecord]:
    return [
        ChoiceRecord(
            type=asked.type,
            options=len(asked.options),
            right=asked.right_letter,
            chosen=None if one.option is None else LETTERS[one.option],
            status=one.status,
        )
        for asked, one in zip(sample.questions, finding.choices, strict=True)
    ]


def method_facts(plan: Plan, asked: AskedModel | None = None) -> dict[str, Any]:
    """Return the manifest's "method"; the convention only where the method reads coordinates in it."""
    convention: dict[str, Any] = {}
    if asked is not None and asked.convention is not None and plan.method.places in {"boxes", "points", "masks"}:
        fields = asked.convention.model_dump(mode="json", exclude={"families"})
        convention = {**fields, "stated": asked.state_convention}
    method = MethodRecord(
        name=plan.method_name, options=plan.method.identity(), convention=convention, places=plan.method.places
    )
    return method.model_dump(mode="json")


def added(values: Iterable[float | None]) -> Any:
    """Add up; None if one value is unknown."""
    total: float = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def with_score(record: PredictionRecord, score: float) -> PredictionRecord:
    """Return the record with its final image score; through the regions it is written and read like any other."""
    text = ""
    if record.text:
        text = write(score, record.regions)
        score = parse(text, record.n_regions).image or 0.0
    return record.model_copy(update={"image_score": score, "text": text[:TEXT_KEPT]})


class Detector(Generic[PluginT]):
    """One chat model or baseline in a bench: from a sample and its regions to a prediction.

    Attributes:
        rows: the rows of the leaderboard that it fills.
        paid: whether its answers may cost money.
        sees_truth: whether it is given the ground truth.
        workers: how many threads should call ``detect``; known after ``start``.
        at_first: how many before the first results, if fewer.
        finalize: computes the final image scores of a category; None where image scores are final.
        places: the kind of place that the row "regions" answers with.
    """

    rows: tuple[Row, ...] = ("regions",)
    places: Places = "regions"
    paid: bool = False
    sees_truth: bool = False
    workers: int = 1
    at_first: int | None = None
    finalize: Finalize | None = None

    def __init__(self, session: Session, model: Model, plugin: PluginT) -> None:
        self.session, self.model, self.plugin = session, model, plugin
        self.name = model.preset.name
        # A model that runs on this machine says now, not after an hour of dividing, that its weights are missing.
        plugin.identity()

    def start(self) -> None:
        """Get ready to predict; with ``--batch``, have all questions answered."""

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample. Several threads call it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Start no new question; called when a run ends, early or not."""

    def forecast(self) -> dict[str, Any] | None:
        """Return what a run would ask and cost; None for a detector that asks nothing."""
        return None

    def facts(self, row: Row) -> dict[str, Any]:
        """Return this detector's part of a row's manifest: see ``RowResult.write``."""
        raise NotImplementedError

    def model_facts(self, row: Row) -> dict[str, Any]:
        """Return the manifest's "model", which ``facts`` completes."""
        preset = self.model.preset
        return {
            "name": preset.name,
            "kind": preset.kind,
            "plugin": preset.plugin,
            "identity": self.plugin.identity(),
            "row": row,
            "price": preset.price.model_dump(),
            "frame": False,
            "sees_truth": self.sees_truth,
            "label": self.model.label,
            "notes": [],
        }


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
        record = make_record(sample, Finding.of(scores), regions.count, text=text[:TEXT_KEPT])
        return Prediction(record, score_map, dense=dense)

    def facts(self, row: Row) -> dict[str, Any]:
        """Return this detector's part of a row's manifest."""
        baseline, plan, through_regions = self.plugin, self.session.plan, row == "regions"
        own = {"frame": baseline.reference_row, "label": baseline.label, "notes": list(baseline.notes)}
        shots = not baseline.reference_row
        fields = {"image_size", *(["binary"] if through_regions else []), *(["shots"] if shots else [])}
        fields |= plan.protocol.newer_settings() & {"reference_set"} if shots else set()
        seeded = baseline.seeded or (shots and plan.protocol.shots > 0)
        return {
            "model": self.model_facts(row) | own,
            "protocol": plan.protocol.model_dump(mode="json", include=fields),
            "seed": plan.config.seed if seeded else 0,
            **({"division": self.session.divisions.facts} if through_regions else {}),
        }

    def _finalized(self, category: str, parts: Sequence[tuple[float, ...]]) -> list[float]:
        """Return the final image scores of a category; raises PluginError if the baseline gives none."""
        with plugin_code(f"{category}: finalize_category() raised"):
            scores = [float(score) for score in self.plugin.finalize_category(parts)]
        if len(scores) != len(parts) or not all(0 <= score <= 1 for score in scores):
            raise PluginError(f"{category}: finalize_category() must give {len(parts)} image scores in [0, 1].")
        return scores

    def _dense(self, sample: Sample) -> DenseScores:
        view, name = self._view(sample), f"The baseline {self.name}"
        with plugin_code(f"{name} raised", name=name, after=f" ({sample.id})."):
            dense = self.plugin.score(view)
        flaw = flaw_of(dense, self._size)
        if "no numbers" in flaw:
            flaw += ": its weights are damaged, or its computing type is too narrow (--set dtype=float32)"
        if flaw:
            raise PluginError(f"{name} {flaw} ({sample.id}).")
        return dense

    def _view(self, sample: Sample) -> View:
        paths = own_references(sample, self.session.plan.protocol.shots)
        references, original_references = (
            self._read(sample.category, paths) if paths else self._references(sample.category)
        )
        # Decoded once, also for a baseline that looks at both: most look at one of them, some at neither.
        original = cache(lambda: sample.image)
        return View(
            image=deferred(lambda: resize_image(original(), self._size)),
            category=sample.category,
            seed=f"{self._seed}/{sample.id}",
            references=references,
            truth=deferred(lambda: self._truth(sample)) if self.plugin.sees_truth else None,
            original=deferred(original),
            original_references=original_references,
            side=self._size[0],
        )

    def _truth(self, sample: Sample) -> Truth:
        mask = sample.mask
        return Truth(sample.label, None if mask is None else resize_mask(mask, self._size))

    def _read_references(self, category: str) -> tuple[Images, Images]:
        """Return a category's normal training images: stretched to the protocol's size, and as they are."""
        plan = self.session.plan
        shots, reference_set = plan.protocol.shots, plan.protocol.reference_set
        return self._read(category, reference_paths(plan.dataset, category, shots, self._seed, reference_set))

    def _read(self, category: str, paths: Iterable[Path]) -> tuple[Images, Images]:
        originals = tuple(self.session.plan.dataset.reference_image(category, path) for path in paths)
        return tuple(resize_image(image, self._size) for image in originals), originals
