"""Collects one method's predictions into the rows of the leaderboard: records, histograms and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.measure import CategoryResult, Images, Scored, measure_category, summary
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.metrics.own_maps import THRESHOLDS
from lvlm_ad.runs import TEXT_KEPT, PredictionRecord
from lvlm_ad.text2seg import UNANSWERED, Status, parse, write

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detector import Finalize, Prediction
    from lvlm_ad.evaluate.session import Session

__all__ = ["RowImage", "RowResult", "answer_metrics", "images_of_rows", "make_record"]

_COUNTED: Mapping[Row, str] = {"regions": "exact", "dense": f"{THRESHOLDS} thresholds"}
"""How a row's pixels are counted for intervals."""

_NO_EVIDENCE: Mapping[str, Any] = {
    "regions": {},
    "n_regions": 0,
    "division": "",
    "status": "ok",
    "notes": [],
    "key": "",
    "text": "",
    "input_tokens": None,
    "output_tokens": None,
    "cost_usd": None,
    "seconds": 0.0,
}
"""Fields of the record of an own map."""


@dataclass(frozen=True, eq=False)
class RowImage:
    """One image's contribution to one row.

    Attributes:
        record: the line of predictions.jsonl.
        scored: what the metrics need.
        stored: whether an earlier run asked the question.
        expected: how many of its scores are expected values.
        parts: what ``Baseline.finalize_category`` needs of this image; empty where the image score is final.
    """

    record: PredictionRecord
    scored: Scored
    stored: bool
    expected: int = 0
    parts: tuple[float, ...] = ()


def images_of_rows(
    session: Session, rows: Sequence[Row], sample: Sample, prediction: Prediction
) -> dict[Row, RowImage]:
    """Take from a prediction what each row needs, and no pixel array that it does not need."""
    scores, dense, divisions = prediction.scores, prediction.dense, session.divisions
    record = make_record(
        sample,
        scores.image,
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
    parts = () if dense is None else dense.parts
    images: dict[Row, RowImage] = {}
    if "regions" in rows:
        scored = Scored(sample.label, scores.image, prediction.score_map.values, divisions.counts(sample))
        images["regions"] = RowImage(record, scored, prediction.stored, scores.expected, parts)
    if "dense" in rows and dense is not None:
        side = session.plan.protocol.image_size
        mask = sample.mask
        truth = None if mask is None else resize_mask(mask, (side, side))
        scored = Scored(sample.label, dense.image, np.asarray(dense.map), truth)
        images["dense"] = RowImage(make_record(sample, dense.image), scored, stored=False, parts=parts)
    return images


def make_record(sample: Sample, image_score: float | None, **evidence: Any) -> PredictionRecord:
    """Make the record of an image; without evidence, of one measured by an own map: no question, no regions.

    Args:
        sample: the sample.
        image_score: its score; None: the answer holds none.
        **evidence: other fields of the record.
    """
    return PredictionRecord(
        id=sample.id,
        category=sample.category,
        label=sample.label,
        defect=sample.defect,
        image_score=image_score,
        **{**_NO_EVIDENCE, **evidence},
    )


class _Category:
    """A category whose images arrive in any order and are kept in the order of ``ids``."""

    def __init__(self, ids: Sequence[str], folder: Path) -> None:
        self._ids = ids
        self._early: dict[str, RowImage] = {}
        self.records: list[PredictionRecord] = []
        self.parts: list[tuple[float, ...]] = []
        self.images = Images(folder=folder)

    @property
    def complete(self) -> bool:
        """Whether the last image has arrived."""
        return len(self.records) == len(self._ids)

    def add(self, image: RowImage) -> None:
        """Add an image, and those that waited for it."""
        self._early[image.record.id] = image
        while not self.complete and (one := self._early.pop(self._ids[len(self.records)], None)) is not None:
            self.records.append(one.record)
            self.parts.append(one.parts)
            self.images.add(one.scored)

    def finalize(self, scores: Sequence[float]) -> None:
        """Replace the image scores by the final ones."""
        self.records = [_with_score(record, score) for record, score in zip(self.records, scores, strict=True)]
        self.images.replace_scores([record.image_score or 0.0 for record in self.records])


class RowResult:
    """A row in progress.

    Args:
        plan: what is measured.
        row: through the regions, or a baseline's own map.
        finalize: gives the final image scores of a category whose images have parts.
    """

    def __init__(self, plan: Plan, row: Row, finalize: Finalize | None = None) -> None:
        self._plan, self._row, self._finalize = plan, row, finalize
        self._spent, self._expected = 0.0, 0
        self._ids: dict[str, list[str]] = {}
        for sample in plan.dataset:
            self._ids.setdefault(sample.category, []).append(sample.id)
        self._open: dict[str, _Category] = {}
        self._records: dict[str, list[PredictionRecord]] = {}
        self._results: dict[str, CategoryResult] = {}

    def add(self, image: RowImage) -> None:
        """Add one image; with the last of a category, compute its metrics and release its arrays."""
        name, config = image.record.category, self._plan.config
        self._expected += image.expected
        if not image.stored:
            self._spent += image.record.cost_usd or 0.0
        category = self._open.setdefault(name, _Category(self._ids[name], config.out))
        category.add(image)
        if not category.complete:
            return
        if self._finalize is not None and any(category.parts):
            category.finalize(self._finalize(name, category.parts))
        self._results[name] = measure_category(category.images, config.on_failure, name, config.resamples)
        self._records[name] = category.records
        del self._open[name]

    @property
    def predictions(self) -> list[PredictionRecord]:
        """The records in the data set's order, once all images are there."""
        return list(chain.from_iterable(self._records[name] for name in self._plan.dataset.categories))

    @property
    def histograms(self) -> ScoreHistograms:
        """The score histogram of each image, in the data set's order, once all images are there."""
        return ScoreHistograms.of(
            chain.from_iterable(self._results[name].histograms for name in self._plan.dataset.categories)
        )

    def metrics(self, *, paid: bool) -> dict[str, Any]:
        """Return the content of metrics.json; ``paid``: whether the answers may cost money."""
        results = {name: self._results[name] for name in self._plan.dataset.categories}
        records, resamples = self.predictions, self._plan.config.resamples
        intervals = {"level": 0.95, "resamples": resamples, "pixels": _COUNTED[self._row]}
        metrics = {
            "mean": summary(results),
            "categories": {name: one.metrics for name, one in results.items()},
            **({"intervals": intervals} if resamples else {}),
            **answer_metrics(records, paid=paid),
        }
        if paid and self._plan.protocol.scoring == "expected":
            total = sum(len(record.regions) + (record.image_score is not None) for record in records)
            metrics["scores"] = {"total": total, "expected": self._expected}
        spent = self._spent if metrics["usage"]["cost_usd"] is not None else None
        metrics["usage"]["spent_usd"] = spent if paid else 0.0
        return metrics


def answer_metrics(records: Sequence[PredictionRecord], *, paid: bool) -> dict[str, Any]:
    """Return the part of metrics.json that counts answers, tokens and costs.

    Args:
        records: all predictions of a run.
        paid: whether the answers may cost money.

    Returns:
        "answers", "outcomes", "coverage" and "usage" without "spent_usd".
    """
    answered = [record for record in records if record.status not in UNANSWERED]
    usable = sum(record.image_score is not None for record in records)
    statuses = Counter(record.status for record in records)
    counts = {status: statuses[status] for status in get_args(Status)}
    cost = _total(record.cost_usd for record in answered) if paid else 0.0
    return {
        "answers": {"total": len(records), **counts, "usable": usable},
        "outcomes": dict(sorted(Counter(record.outcome for record in answered).items())) if paid else {},
        "coverage": usable / len(records),
        "usage": {
            "input_tokens": _total(record.input_tokens for record in answered),
            "output_tokens": _total(record.output_tokens for record in answered),
            # Where nothing was answered, what failed may have been billed all the same.
            "cost_usd": cost if answered or not paid else None,
            "seconds": sum(record.seconds for record in records),
        },
    }


def _total(values: Iterable[float | None]) -> Any:
    """Add up; None if one value is unknown."""
    total: float = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _with_score(record: PredictionRecord, score: float) -> PredictionRecord:
    """Return the record with its final image score; through the regions it is written and read like any other."""
    text = ""
    if record.text:
        text = write(score, record.regions)
        score = parse(text, record.n_regions).image or 0.0
    return record.model_copy(update={"image_score": score, "text": text[:TEXT_KEPT]})
