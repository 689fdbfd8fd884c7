"""Rows of the leaderboard: from one method's predictions to a run, with its records, metrics and manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.choices import choice_metrics
from lvlm_ad.evaluate.counting import count_answer
from lvlm_ad.evaluate.decide import DecisionSettings, alarms_of, decide
from lvlm_ad.evaluate.detectors import added, make_record, with_score
from lvlm_ad.evaluate.finding_counts import finding_counts
from lvlm_ad.evaluate.groups import group_metrics
from lvlm_ad.evaluate.manifests import make_manifest, run_folder
from lvlm_ad.evaluate.measure import CategoryResult, Images, measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.log import event
from lvlm_ad.methods import Finding
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.own_maps import THRESHOLDS
from lvlm_ad.metrics.ranks import RESAMPLES
from lvlm_ad.runs import INTERVAL_RULE, PredictionRecord, Run, write_resamples, write_run
from lvlm_ad.text2seg import UNANSWERED, Status

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan, RunConfig
    from lvlm_ad.evaluate.detectors import Finalize, Prediction
    from lvlm_ad.evaluate.measure import OwnMap
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.methods.contract import Places

__all__ = ["RowImage", "RowResult", "answer_metrics", "images_of_rows"]

_COUNTED: Mapping[Row, str] = {"regions": "exact", "dense": f"{THRESHOLDS} thresholds"}
"""How a row's pixels are counted for intervals."""


@dataclass(frozen=True, eq=False)
class RowImage:
    """One image's contribution to one row.

    Attributes:
        record: the line of predictions.jsonl.
        histogram: pixels by score; None without ground truth, and for an own map.
        own_map: a map and its mask; None without ground truth, and for scores of regions.
        stored: whether earlier runs asked all its questions.
        spent: USD that it costs now; None if unknown.
        expected: how many of its scores are expected values.
        parts: what ``Baseline.finalize_category`` needs of this image; empty where the image score is final.
    """

    record: PredictionRecord
    histogram: ScoreHistogram | None = None
    own_map: OwnMap | None = None
    stored: bool = False
    spent: float | None = 0.0
    expected: int = 0
    parts: tuple[float, ...] = ()


def images_of_rows(
    session: Session, rows: Sequence[Row], sample: Sample, prediction: Prediction, places: Places = "regions"
) -> dict[Row, RowImage]:
    """Take from a prediction what each row needs, and no pixel array that it does not need.

    ``places``: the kind of place that the method of the row "regions" answers with.
    """
    dense, divisions = prediction.dense, session.divisions
    parts = () if dense is None else dense.parts
    images: dict[Row, RowImage] = {}
    if "regions" in rows:
        record, score_map = prediction.record, prediction.score_map
        if prediction.divided:
            record = record.model_copy(update={"division": divisions.hash_of(sample)})
        if prediction.divided and not record.shapes and places == "regions":
            histogram = divisions.histogram(sample, score_map.values)
        else:
            histogram, measures = count_answer(sample, record, score_map, places)
            record = record.model_copy(update={"measures": measures})
        images["regions"] = RowImage(
            record, histogram, None, prediction.stored, prediction.spent, prediction.expected, parts
        )
    if "dense" in rows and dense is not None:
        side = session.plan.protocol.image_size
        mask = sample.mask
        own_map = None if mask is None else (np.asarray(dense.map), resize_mask(mask, (side, side)))
        images["dense"] = RowImage(make_record(sample, Finding(dense.image)), own_map=own_map, parts=parts)
    return images


class _Category:
    """A category whose images arrive in any order and are kept in the order of ``ids``."""

    def __init__(self, ids: Sequence[str], config: RunConfig, places: Places) -> None:
        self._ids = ids
        self._early: dict[str, RowImage] = {}
        self.records: list[PredictionRecord] = []
        self.parts: list[tuple[float, ...]] = []
        self.images = Images(config.out, config.fpr_limit, places=places)

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
            record = one.record
            self.images.add(
                record.label,
                record.image_score,
                one.histogram,
                one.own_map,
                record.measures,
                has_score=record.has_score,
            )

    def finalize(self, scores: Sequence[float]) -> None:
        """Replace the image scores by the final ones."""
        self.records = [with_score(record, score) for record, score in zip(self.records, scores, strict=True)]
        self.images.scores = [record.image_score or 0.0 for record in self.records]


class RowResult:
    """A row in progress.

    Args:
        plan: what is measured.
        row: which row of a method.
        finalize: gives the final image scores of a category whose images have parts.
        places: the kind of place that the method answers with.
    """

    def __init__(self, plan: Plan, row: Row, finalize: Finalize | None = None, places: Places = "regions") -> None:
        self._plan, self._row, self._finalize, self._places = plan, row, finalize, places
        self._spent, self._expected = 0.0, 0
        self._ids: dict[str, list[str]] = {}
        for sample in plan.dataset:
            self._ids.setdefault(sample.category, []).append(sample.id)
        self._open: dict[str, _Category] = {}
        self._records: dict[str, list[PredictionRecord]] = {}
        self._results: dict[str, CategoryResult] = {}
        self._parts: dict[str, list[tuple[float, ...]]] = {}
        self._for_threshold: dict[str, RowImage | None] = {sample.id: None for sample in plan.threshold_images}

    def add(self, image: RowImage) -> None:
        """Add one image; with the last of a category, compute its metrics and release its arrays."""
        name, config = image.record.category, self._plan.config
        self._spent += image.spent or 0.0
        if image.record.id in self._for_threshold:
            record = image.record.model_copy(update={"measures": {}})
            self._for_threshold[record.id] = replace(image, record=record, histogram=None, own_map=None)
            return
        self._expected += image.expected
        category = self._open.setdefault(name, _Category(self._ids[name], config, self._places))
        category.add(image)
        if not category.complete:
            return
        if self._finalize is not None and any(category.parts):
            category.finalize(self._finalize(name, category.parts))
            self._parts[name] = category.parts
        self._results[name] = measure_category(category.images, config.on_failure, name, config.resamples)
        self._records[name] = category.records
        del self._open[name]

    @property
    def predictions(self) -> list[PredictionRecord]:
        """The records in the data set's order, once all images are there."""
        return list(chain.from_iterable(self._records[name] for name in self._plan.dataset.categories))

    @property
    def threshold_records(self) -> list[PredictionRecord]:
        """The records of the images that the threshold is chosen from, once all images are there."""
        return [self._finalized(image) for image in self._for_threshold.values() if image is not None]

    def _finalized(self, image: RowImage) -> PredictionRecord:
        """Give an image the score that it has among the test images of its category."""
        category = image.record.category
        if self._finalize is None or category not in self._parts:
            return image.record
        return with_score(image.record, self._finalize(category, [*self._parts[category], image.parts])[-1])

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
        intervals = {"level": 0.95, "resamples": resamples, "pixels": _COUNTED[self._row], "rule": INTERVAL_RULE}
        metrics = {
            "mean": summary(results),
            "categories": {name: one.metrics for name, one in results.items()},
            "intervals": intervals,
            **choice_metrics(records),
            **answer_metrics(records, paid=paid, by_regions=self._plan.method_name == "regions"),
        }
        if paid and self._plan.protocol.scoring == "expected":
            total = sum(
                len(record.regions) + len(record.shapes) + (record.image_score is not None) for record in records
            )
            metrics["scores"] = {"total": total, "expected": self._expected}
        spent = self._spent if metrics["usage"]["cost_usd"] is not None else None
        metrics["usage"]["spent_usd"] = spent if paid else 0.0
        return metrics

    def write(
        self, facts: Mapping[str, Any], started: datetime, environment: Mapping[str, str], *, paid: bool = False
    ) -> Run:
        """Write the run.

        Args:
            facts: the manifest's fields that depend on the method: "model", "protocol" (the fields that influence the
                row) and, if the method has them, "division", "prompt", "on_failure" and "seed".
            started: when the run began.
            environment: versions that the plugin reports.
            paid: whether the answers may cost money.
        """
        manifest = make_manifest(self._plan, facts, started, environment)
        folder = run_folder(self._plan.config.out, manifest)
        config, histograms = self._plan.config, self.histograms
        metrics, records = self.metrics(paid=paid), self.predictions
        others: list[PredictionRecord] = []
        alarms: dict[str, bool] = {}
        # Scores of maps from files have no common range, and nothing says from where on they alarm.
        if manifest.model.kind != "maps":
            others = self.threshold_records
            settings = DecisionSettings.of(config, self._plan.choice, metrics)
            metrics["decisions"] = decide(settings, records, others)
            alarms = alarms_of(settings, records, others)
        counted = config.on_failure, config.fpr_limit, config.resamples
        metrics |= group_metrics(records, histograms, *counted, alarms, self._places)
        run = Run(folder, manifest, metrics, records, histograms, others)
        write_run(run)
        if self._row == "regions" and config.resamples == RESAMPLES:
            write_resamples(folder, {name: self._results[name].estimates for name in self._plan.dataset.categories})
        answers, usage = run.metrics["answers"], run.metrics["usage"]
        event("run", dir=str(folder), config_hash=manifest.config_hash, answers=answers, usage=usage)
        return run


def answer_metrics(records: Sequence[PredictionRecord], *, paid: bool, by_regions: bool = True) -> dict[str, Any]:
    """Return "answers", "outcomes", "coverage", "usage" and "findings" of metrics.json, without "spent_usd".

    Args:
        records: all predictions of a run.
        paid: whether the answers may cost money.
        by_regions: whether the method is regions, which asks one question about each image.
    """
    answered = [record for record in records if record.status not in UNANSWERED]
    # A conversation that failed was answered in part.
    billed = [record for record in records if record.status not in UNANSWERED or record.steps]
    usable = sum(record.usable for record in records)
    statuses = Counter(record.status for record in records)
    counts = {status: statuses[status] for status in get_args(Status)}
    cost = added(record.cost_usd for record in billed) if paid else 0.0
    questions = sum(len(record.steps) or record.status not in UNANSWERED for record in records)
    return {
        "answers": {"total": len(records), **counts, "usable": usable},
        "outcomes": dict(sorted(Counter(record.outcome for record in answered).items())) if paid else {},
        "coverage": usable / len(records),
        "usage": {
            "input_tokens": added(record.input_tokens for record in billed),
            "output_tokens": added(record.output_tokens for record in billed),
            # Where nothing was answered, what failed may have been billed all the same.
            "cost_usd": cost if billed or not paid else None,
            "seconds": sum(record.seconds for record in records),
            **({} if by_regions or not paid else {"questions": questions}),
        },
        **({} if by_regions or not paid else {"findings": finding_counts(records)}),
    }
