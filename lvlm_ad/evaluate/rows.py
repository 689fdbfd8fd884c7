"""Gathers one method's predictions into the rows of a table: records, and metrics as each category is complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.scoring import CategoryResult, Scored, answer_counts, measure_category, summary
from lvlm_ad.metrics.tallies import THRESHOLDS
from lvlm_ad.records import TEXT_KEPT, PredictionRecord
from lvlm_ad.text2seg import UNANSWERED, parse, write

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.detectors import Prediction
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.prepare import Divisions
    from lvlm_ad.metrics.tallies import PixelTally

__all__ = ["COUNTED", "Measured", "RowResult", "measure"]

COUNTED: Mapping[Row, str] = {"regions": "exact", "dense": f"{THRESHOLDS} thresholds"}
"""How a row's pixels are counted for intervals."""


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

    def settled(self, score: float) -> Measured:
        """Return the same with its final image score; through the regions it is written and read like others."""
        text = ""
        if self.record.text:
            text = write(score, self.record.regions)
            score = parse(text, self.record.n_regions).image or 0.0
        record = self.record.model_copy(update={"image_score": score, "text": text[:TEXT_KEPT]})
        return replace(self, record=record, scored=replace(self.scored, image_score=score), parts=())


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


@dataclass
class RowResult:
    """A row while it is being gathered, image by image in any order.

    Attributes:
        plan: what is measured.
        settle: gives the final image scores of a category from its samples' parts; see ``Baseline.over_category``.
        records: sample id -> record.
        categories: category -> what was measured, once its last image is in.
        spent: USD paid for answers of this run, as far as known.
        expected: how many scores are expected values.
        counted: how pixels are counted for intervals: "exact", or "256 thresholds".
    """

    plan: Plan
    settle: Callable[[Sequence[tuple[float, ...]]], Sequence[float]] | None = None
    records: dict[str, PredictionRecord] = field(default_factory=dict)
    categories: dict[str, CategoryResult] = field(default_factory=dict)
    spent: float = 0.0
    expected: int = 0
    counted: str = "exact"
    _waiting: dict[str, dict[str, Measured]] = field(default_factory=dict)
    _ids: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for sample in self.plan.dataset:
            self._ids.setdefault(sample.category, []).append(sample.id)

    def add(self, measured: Measured) -> None:
        """Add one image; with the last of a category its metrics are computed and its arrays let go."""
        record = measured.record
        self.records[record.id] = record
        self.expected += measured.expected
        if not measured.stored:
            self.spent += record.cost_usd or 0.0
        gathered = self._waiting.setdefault(record.category, {})
        gathered[record.id] = measured
        expected = self._ids[record.category]
        if len(gathered) == len(expected):
            whole = self._settled([gathered[sample_id] for sample_id in expected])
            self.records |= {one.record.id: one.record for one in whole}
            config = self.plan.config
            self.categories[record.category] = measure_category(
                [one.scored for one in whole], config.on_failure, record.category, config.resamples
            )
            del self._waiting[record.category]

    def _settled(self, whole: list[Measured]) -> list[Measured]:
        """Give the samples of a category their final image scores.

        Raises:
            PluginError: the method gave scores of a wrong number or range.
        """
        if self.settle is None or not any(one.parts for one in whole):
            return whole
        scores = [float(score) for score in self.settle([one.parts for one in whole])]
        if len(scores) != len(whole) or not all(0 <= score <= 1 for score in scores):
            raise PluginError(
                f"{whole[0].record.category}: over_category() must give {len(whole)} image scores in [0, 1]."
            )
        return [one.settled(score) for one, score in zip(whole, scores, strict=True)]

    def predictions(self) -> list[PredictionRecord]:
        """Return the records in the data set's order."""
        return [self.records[sample.id] for sample in self.plan.dataset]

    def tallies(self) -> list[PixelTally | None]:
        """Return what is kept of each image's pixels, in the data set's order."""
        found = {
            sample_id: tally
            for category, ids in self._ids.items()
            for sample_id, tally in zip(ids, self.categories[category].tallies, strict=True)
        }
        return [found[sample.id] for sample in self.plan.dataset]

    def metrics(self, *, paid: bool) -> dict[str, Any]:
        """Return the content of metrics.json.

        Args:
            paid: whether the answers cost money; a baseline's do not.
        """
        records = self.predictions()
        usable = sum(record.image_score is not None for record in records)
        answered = [record for record in records if record.status not in UNANSWERED]
        costs = [record.cost_usd for record in answered]
        # Where nothing was answered, what failed may have been billed all the same.
        known = None not in costs and bool(costs)
        measured = {name: self.categories[name] for name in self.plan.dataset.categories}
        resamples = self.plan.config.resamples
        scores = sum(len(record.regions) + (record.image_score is not None) for record in records)
        counted = {"scores": {"total": scores, "expected": self.expected}}
        return {
            "mean": summary(measured),
            "categories": {name: one.metrics for name, one in measured.items()},
            **({"intervals": {"level": 0.95, "resamples": resamples, "pixels": self.counted}} if resamples else {}),
            "answers": answer_counts([record.status for record in records], usable),
            "outcomes": dict(sorted(Counter(record.outcome for record in answered).items())) if paid else {},
            **(counted if paid and self.plan.protocol.scoring == "expected" else {}),
            "coverage": usable / len(records),
            "usage": {
                "input_tokens": _total([record.input_tokens for record in answered]),
                "output_tokens": _total([record.output_tokens for record in answered]),
                "cost_usd": (sum(cost or 0.0 for cost in costs) if known else None) if paid else 0.0,
                "spent_usd": (self.spent if known else None) if paid else 0.0,
                "seconds": sum(record.seconds for record in records),
            },
        }


def _total(tokens: Sequence[int | None]) -> int | None:
    """Add up token counts; None where any is unknown."""
    return None if None in tokens else sum(count or 0 for count in tokens)
