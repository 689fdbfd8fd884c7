"""Gathers one method's predictions into the rows of a table: records, and metrics as each category is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import LvlmAdError, PluginError, where
from lvlm_ad.evaluate.measure import CategoryResult, Images, Scored, measure_category
from lvlm_ad.evaluate.summary import answer_counts, summary
from lvlm_ad.metrics.histograms import THRESHOLDS, ScoreHistograms
from lvlm_ad.runs import TEXT_KEPT, PredictionRecord
from lvlm_ad.text2seg import UNANSWERED, parse, write

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.detectors import Prediction
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.divide import Divisions
    from lvlm_ad.text2seg import Status

__all__ = ["COUNTED", "Measured", "RowResult", "measure"]

COUNTED: Mapping[Row, str] = {"regions": "exact", "dense": f"{THRESHOLDS} thresholds"}
"""How a row's pixels are counted for intervals."""

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, eq=False)
class Measured:
    """One image's contribution to one row.

    Attributes:
        record: the line of predictions.jsonl.
        scored: what the metrics need.
        stored: whether the answer was asked in an earlier run.
        expected: how many of its scores are expected values.
        parts: what the method needs of it for the final image scores of the category; empty: the score is final.
    """

    record: PredictionRecord
    scored: Scored
    stored: bool
    expected: int = 0
    parts: tuple[float, ...] = ()


def measure(
    sample: Sample, prediction: Prediction, rows: Sequence[Row], divisions: Divisions, image_size: int
) -> dict[Row, Measured]:
    """Take from a prediction what each row needs, and no pixel array that it does not need."""
    found: dict[Row, Measured] = {}
    scores = prediction.scores
    record = PredictionRecord(
        id=sample.id,
        category=sample.category,
        label=sample.label,
        defect=sample.defect,
        image_score=scores.image,
        regions=dict(scores.regions),
        n_regions=prediction.score_map.regions.count,
        status=scores.status,
        notes=list(scores.notes),
        key=prediction.key,
        outcome=prediction.outcome,
        text=prediction.text[:TEXT_KEPT],
        input_tokens=prediction.usage.input_tokens,
        output_tokens=prediction.usage.output_tokens,
        cost_usd=prediction.cost,
        seconds=prediction.seconds,
        division=divisions.hash_of(sample),
    )
    if "regions" in rows:
        scored = Scored(sample.label, scores.image, prediction.score_map.values, divisions.counts(sample))
        found["regions"] = Measured(record, scored, prediction.stored, scores.expected, _parts(prediction))
    if "dense" in rows and prediction.dense is not None:
        mask = sample.mask
        truth = None if mask is None else resize_mask(mask, (image_size, image_size))
        own = {"image_score": prediction.dense.image, "regions": {}, "n_regions": 0, "status": "ok", "notes": []}
        scored = Scored(sample.label, prediction.dense.image, np.asarray(prediction.dense.map), truth)
        dense_record = record.model_copy(update={**own, "text": "", "division": ""})
        found["dense"] = Measured(dense_record, scored, stored=False, parts=_parts(prediction))
    return found


def _parts(prediction: Prediction) -> tuple[float, ...]:
    return () if prediction.dense is None else prediction.dense.parts


class _Gathering:
    """A category while its images come in, in any order; its records are kept in theirs.

    Args:
        ids: the category's samples in order.
        folder: where maps go that are too many for memory.
    """

    def __init__(self, ids: Sequence[str], folder: Path) -> None:
        self._ids = ids
        self._early: dict[str, Measured] = {}
        self.records: list[PredictionRecord] = []
        self.images = Images(folder=folder)
        self.parts: list[tuple[float, ...]] = []

    @property
    def complete(self) -> bool:
        """Whether the last image is in."""
        return len(self.images) == len(self._ids)

    def add(self, measured: Measured) -> None:
        """Take an image, and all that waited for it."""
        self._early[measured.record.id] = measured
        while not self.complete and (one := self._early.pop(self._ids[len(self.images)], None)) is not None:
            self.records.append(one.record)
            self.images.add(one.scored)
            self.parts.append(one.parts)

    def settled(self, scores: Sequence[float]) -> None:
        """Give the images their final scores."""
        self.records = [settled(record, score) for record, score in zip(self.records, scores, strict=True)]
        self.images.settle([record.image_score or 0.0 for record in self.records])


class RowResult:
    """A row while it is being gathered, image by image in any order.

    Args:
        plan: what is measured.
        settle: gives the final image scores of a category from its samples' parts; see ``Baseline.finalize_category``.
        counted: how pixels are counted for intervals: "exact", or "256 thresholds".

    Attributes:
        spent: USD paid for answers of this run, as far as known.
        expected: how many scores are expected values.
    """

    def __init__(
        self,
        plan: Plan,
        settle: Callable[[Sequence[tuple[float, ...]]], Sequence[float]] | None = None,
        *,
        counted: str = "exact",
    ) -> None:
        self._plan, self._settle, self._counted = plan, settle, counted
        self.spent, self.expected = 0.0, 0
        self._categories: dict[str, CategoryResult] = {}
        # Both are in the data set's order: it goes by category.
        self._records: dict[str, list[PredictionRecord]] = {}
        self._histograms: dict[str, ScoreHistograms] = {}
        self._waiting: dict[str, _Gathering] = {}
        self._ids: dict[str, list[str]] = {}
        for sample in plan.dataset:
            self._ids.setdefault(sample.category, []).append(sample.id)

    def add(self, measured: Measured) -> None:
        """Add one image; with the last of a category its metrics are computed and its arrays let go.

        Raises:
            PluginError: the method gave scores of a wrong number or range.
            RunError: there is no room for the category's maps.
        """
        category = measured.record.category
        self.expected += measured.expected
        if not measured.stored:
            self.spent += measured.record.cost_usd or 0.0
        gathered = self._waiting.setdefault(category, _Gathering(self._ids[category], self._plan.config.out))
        gathered.add(measured)
        if gathered.complete:
            if self._settle is not None and any(gathered.parts):
                gathered.settled(_final(category, self._settle, gathered.parts))
            config = self._plan.config
            found = measure_category(gathered.images, config.on_failure, category, config.resamples)
            self._records[category], self._histograms[category] = gathered.records, found.histograms
            # Held once: they are let go while they are joined.
            self._categories[category] = replace(found, histograms=ScoreHistograms.of(()))
            del self._waiting[category]

    @cached_property
    def predictions(self) -> list[PredictionRecord]:
        """The records in the data set's order, once all are in."""
        return [record for name in self._plan.dataset.categories for record in self._records[name]]

    @cached_property
    def histograms(self) -> ScoreHistograms:
        """What is kept of each image's pixels, in the data set's order, once all are in."""
        return ScoreHistograms.joined(self._histograms.pop(name) for name in self._plan.dataset.categories)

    def metrics(self, *, paid: bool) -> dict[str, Any]:
        """Return the content of metrics.json.

        Args:
            paid: whether the answers cost money; a baseline's do not.
        """
        statuses: Counter[Status] = Counter()
        outcomes: Counter[str] = Counter()
        usage = _Usage()
        total = usable = scores = 0
        for record in self.predictions:
            total += 1
            statuses[record.status] += 1
            usable += record.image_score is not None
            scores += len(record.regions) + (record.image_score is not None)
            usage.add(record)
            if record.status not in UNANSWERED:
                outcomes[record.outcome] += 1
        measured = {name: self._categories[name] for name in self._plan.dataset.categories}
        resamples = self._plan.config.resamples
        counted = {"scores": {"total": scores, "expected": self.expected}}
        return {
            "mean": summary(measured),
            "categories": {name: one.metrics for name, one in measured.items()},
            **({"intervals": {"level": 0.95, "resamples": resamples, "pixels": self._counted}} if resamples else {}),
            "answers": answer_counts(statuses, usable),
            "outcomes": dict(sorted(outcomes.items())) if paid else {},
            **(counted if paid and self._plan.protocol.scoring == "expected" else {}),
            "coverage": usable / total,
            "usage": usage.summed(self.spent, paid=paid),
        }


class _Usage:
    """Adds up what answers took; a sum is unknown where one of them is."""

    def __init__(self) -> None:
        self._input: int | None = 0
        self._output: int | None = 0
        self._cost: float | None = 0
        self._seconds = 0.0
        self._answers = 0

    def add(self, record: PredictionRecord) -> None:
        self._seconds += record.seconds
        if record.status not in UNANSWERED:
            self._answers += 1
            self._input = _plus(self._input, record.input_tokens)
            self._output = _plus(self._output, record.output_tokens)
            self._cost = _plus(self._cost, record.cost_usd)

    def summed(self, spent: float, *, paid: bool) -> dict[str, Any]:
        # Where nothing was answered, what failed may have been billed all the same.
        known = self._cost is not None and bool(self._answers)
        return {
            "input_tokens": self._input,
            "output_tokens": self._output,
            "cost_usd": (self._cost if known else None) if paid else 0.0,
            "spent_usd": (spent if known else None) if paid else 0.0,
            "seconds": self._seconds,
        }


def _plus(sum_so_far: _Number | None, one: _Number | None) -> _Number | None:
    return None if sum_so_far is None or one is None else sum_so_far + one


def _final(
    category: str,
    settle: Callable[[Sequence[tuple[float, ...]]], Sequence[float]],
    parts: Sequence[tuple[float, ...]],
) -> list[float]:
    """Take the final image scores of a category, and check them.

    Raises:
        PluginError: they cannot be had, or are of a wrong number or range.
    """
    try:
        scores = [float(score) for score in settle(parts)]
    except LvlmAdError:
        raise
    # Whatever a stranger's code raises: a bench ends with one line.
    except Exception as error:
        raise PluginError(f"{category}: finalize_category() raised {where(error)}.") from error
    if len(scores) != len(parts) or not all(0 <= score <= 1 for score in scores):
        raise PluginError(f"{category}: finalize_category() must give {len(parts)} image scores in [0, 1].")
    return scores


def settled(record: PredictionRecord, score: float) -> PredictionRecord:
    """Return the record with the image's final score; through the regions it is written and read like others."""
    text = ""
    if record.text:
        text = write(score, record.regions)
        score = parse(text, record.n_regions).image or 0.0
    return record.model_copy(update={"image_score": score, "text": text[:TEXT_KEPT]})
