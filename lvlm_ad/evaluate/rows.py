"""Rows of the leaderboard: from one method's predictions to a run, with its records, metrics and manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.answer_metrics import answer_metrics
from lvlm_ad.evaluate.choices import choice_metrics
from lvlm_ad.evaluate.counting import channel_histogram, channels_of, count_answer
from lvlm_ad.evaluate.decide import DecisionSettings, alarms_of, decide
from lvlm_ad.evaluate.detectors import make_record, with_score
from lvlm_ad.evaluate.groups import group_metrics
from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.manifests import make_manifest, run_folder
from lvlm_ad.evaluate.map_files import resize_map
from lvlm_ad.evaluate.measure import CategoryResult, measure_category
from lvlm_ad.evaluate.reported import threshold_entry
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.log import event
from lvlm_ad.methods import Finding
from lvlm_ad.metrics.binary import MapThreshold, NormalScores
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.own_maps import THRESHOLDS
from lvlm_ad.metrics.ranks import RESAMPLES
from lvlm_ad.runs import INTERVAL_RULE, PredictionRecord, Run, is_metric, write_resamples, write_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan, RunConfig
    from lvlm_ad.evaluate.detectors import Finalize, Prediction
    from lvlm_ad.evaluate.images import OwnChannels, OwnMap
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.methods.contract import Places

__all__ = ["RowImage", "RowResult", "images_of_rows", "own_channels_of"]

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
        channels: pixels by score and channel, where the data set has channels; None for an own map.
        own_channels: a map and its channels, where the data set has them; None for scores of regions.
    """

    record: PredictionRecord
    histogram: ScoreHistogram | None = None
    own_map: OwnMap | None = None
    stored: bool = False
    spent: float | None = 0.0
    expected: int = 0
    parts: tuple[float, ...] = ()
    channels: ScoreHistogram | None = None
    own_channels: OwnChannels | None = None


def images_of_rows(
    session: Session, rows: Sequence[Row], sample: Sample, prediction: Prediction, places: Places = "regions"
) -> dict[Row, RowImage]:
    """Take from a prediction what each row needs, and no pixel array that it does not need.

    ``places``: the kind of place that the method of the row "regions" answers with.
    """
    dense, divisions = prediction.dense, session.divisions
    by_channel = sample.id in session.plan.with_channels
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
            record,
            histogram,
            None,
            prediction.stored,
            prediction.spent,
            prediction.expected,
            parts,
            channel_histogram(sample, score_map) if by_channel and places else None,
        )
    if "dense" in rows and dense is not None:
        side = session.plan.protocol.image_size
        mask = sample.mask
        own_map = None if mask is None else (np.asarray(dense.map), resize_mask(mask, (side, side)))
        own_channels = own_channels_of(sample, np.asarray(dense.map)) if by_channel else None
        record = make_record(sample, Finding(dense.image))
        images["dense"] = RowImage(record, own_map=own_map, parts=parts, own_channels=own_channels)
    return images


def own_channels_of(sample: Sample, values: NDArray[Any]) -> OwnChannels | None:
    """Bring an own map to the size of the original picture, whose pixels saturation areas count."""
    channels = channels_of(sample)
    return None if channels is None else (resize_map(values, channels.masks.shape[1:]), channels)


class _Category:
    """A category whose images arrive in any order and are kept in the order of ``ids``."""

    def __init__(
        self, ids: Sequence[str], normal: Sequence[str], config: RunConfig, places: Places, reported: Sequence[str]
    ) -> None:
        self._ids = ids
        self._normal: dict[str, NormalScores | None] = dict.fromkeys(normal)
        self._early: dict[str, RowImage] = {}
        self.records: list[PredictionRecord] = []
        self.parts: list[tuple[float, ...]] = []
        self.images = Images(config.out, config.fpr_limit, places=places, reported=reported)

    @property
    def complete(self) -> bool:
        """Whether the last image has arrived."""
        return self._all_tested and None not in self._normal.values()

    @property
    def _all_tested(self) -> bool:
        return len(self.records) == len(self._ids)

    def add_normal(self, image: RowImage) -> bool:
        """Add an image if it is one of those whose maps say where maps are cut."""
        if image.record.id not in self._normal:
            return False
        self._normal[image.record.id] = scores = NormalScores()
        # An image without an answer has no map.
        if image.record.image_score is None:
            return True
        if image.histogram is not None:
            scores.add(image.histogram.scores, image.histogram.normal)
        elif image.own_map is not None:
            scores.add(image.own_map[0])
        return True

    def map_threshold(self) -> tuple[MapThreshold, int] | None:
        """Return where maps are cut, and of how many images' maps that is; None without a map of a normal image."""
        found = [scores for scores in self._normal.values() if scores is not None and scores.n]
        # In the order of the images, since sums depend on it in their last digit.
        everything = NormalScores()
        for scores in found:
            everything.merge(scores)
        return (everything.threshold(), len(found)) if found else None

    def add(self, image: RowImage) -> None:
        """Add an image, and those that waited for it."""
        self._early[image.record.id] = image
        while not self._all_tested and (one := self._early.pop(self._ids[len(self.records)], None)) is not None:
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
                kind=record.defect,
                part=record.part,
                channels=one.channels,
                own_channels=one.own_channels,
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
        self._normal: dict[str, list[str]] = {}
        for sample in plan.validation_images:
            self._normal.setdefault(sample.category, []).append(sample.id)
        self._map_thresholds: dict[str, dict[str, Any]] = {}
        self._reported = tuple(filter(is_metric, plan.dataset.metrics))
        self._for_threshold: dict[str, RowImage | None] = {sample.id: None for sample in plan.threshold_images}

    def add(self, image: RowImage) -> None:
        """Add one image; with the last of a category, compute its metrics and release its arrays."""
        name, config = image.record.category, self._plan.config
        self._spent += image.spent or 0.0
        if image.record.id in self._for_threshold:
            record = image.record.model_copy(update={"measures": {}})
            self._for_threshold[record.id] = replace(image, record=record, histogram=None, own_map=None)
            return
        if name not in self._open:
            normal = self._normal.get(name, ())
            self._open[name] = _Category(self._ids[name], normal, config, self._places, self._reported)
        category = self._open[name]
        if not category.add_normal(image):
            self._expected += image.expected
            category.add(image)
        if not category.complete:
            return
        if self._finalize is not None and any(category.parts):
            category.finalize(self._finalize(name, category.parts))
            self._parts[name] = category.parts
        threshold = category.map_threshold()
        if threshold is not None:
            category.images.map_threshold = threshold[0]
            self._map_thresholds[name] = threshold_entry(*threshold)
        self._results[name] = result = measure_category(category.images, config.on_failure, name, config.resamples)
        self._records[name] = category.records
        if result.cuts is not None:
            self._records[name] = [
                record.model_copy(update={"cut": tuple(cut)})
                for record, cut in zip(category.records, result.cuts.tolist(), strict=True)
            ]
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

    @property
    def channels(self) -> ScoreHistograms | None:
        """Like ``histograms``, of each image's channels; None where the data set has none."""
        results = [self._results[name].channels for name in self._plan.dataset.categories]
        known = [one for one in results if one is not None]
        return ScoreHistograms.of(chain.from_iterable(known)) if len(known) == len(results) else None

    def metrics(self, *, paid: bool) -> dict[str, Any]:
        """Return the content of metrics.json; ``paid``: whether the answers may cost money."""
        results = {name: self._results[name] for name in self._plan.dataset.categories}
        records, resamples = self.predictions, self._plan.config.resamples
        intervals = {"level": 0.95, "resamples": resamples, "pixels": _COUNTED[self._row], "rule": INTERVAL_RULE}
        metrics = {
            "mean": summary(results),
            "categories": {name: one.metrics for name, one in results.items()},
            **({"reported": list(self._reported)} if self._reported else {}),
            "intervals": intervals,
            **choice_metrics(records),
            **answer_metrics(records, paid=paid, by_regions=self._plan.method_name == "regions"),
        }
        if self._map_thresholds:
            metrics["map_thresholds"] = {
                name: self._map_thresholds[name] for name in results if name in self._map_thresholds
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
        self,
        facts: Mapping[str, Any],
        started: datetime,
        environment: Mapping[str, str],
        *,
        paid: bool = False,
        further: Mapping[str, Any] | None = None,
    ) -> Run:
        """Write the run.

        Args:
            facts: the manifest's fields that depend on the method: "model", "protocol" (the fields that influence the
                row) and, if the method has them, "division", "prompt", "on_failure" and "seed".
            started: when the run began.
            environment: versions that the plugin reports.
            paid: whether the answers may cost money.
            further: other parts of metrics.json.
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
        channels = self.channels
        metrics |= group_metrics(
            records, histograms, *counted, alarms, self._places, reported=self._reported, channels=channels
        )
        metrics |= further or {}
        run = Run(folder, manifest, metrics, records, histograms, others, channels)
        write_run(run)
        if self._row == "regions" and config.resamples == RESAMPLES:
            write_resamples(folder, {name: self._results[name].estimates for name in self._plan.dataset.categories})
        answers, usage = run.metrics["answers"], run.metrics["usage"]
        event("run", dir=str(folder), config_hash=manifest.config_hash, answers=answers, usage=usage)
        return run
