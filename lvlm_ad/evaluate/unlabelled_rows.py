"""A row whose images have no labels: predictions, and no metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from lvlm_ad.evaluate.answer_metrics import answer_metrics
from lvlm_ad.evaluate.detectors import with_score
from lvlm_ad.evaluate.manifests import make_manifest, run_folder
from lvlm_ad.log import event
from lvlm_ad.runs import METRIC_NAMES, PredictionRecord, Run, write_run

if TYPE_CHECKING:
    from datetime import datetime

    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Finalize
    from lvlm_ad.evaluate.rows import RowImage

__all__ = ["NO_LABELS", "UnlabelledResult"]

NO_LABELS = "the images have no labels"
"""Why a run has no metrics."""


class UnlabelledResult:
    """A row in progress whose images have no labels; to be used as ``RowResult``.

    Args:
        plan: what is predicted.
        finalize: gives the final image scores of a category whose images have parts.
    """

    def __init__(self, plan: Plan, finalize: Finalize | None = None) -> None:
        self._plan, self._finalize = plan, finalize
        self._spent: float = 0.0
        self._images: dict[str, RowImage] = {}

    def add(self, image: RowImage) -> None:
        """Add one image; nothing as large as an array is kept of it."""
        self._spent += image.spent or 0.0
        self._images[image.record.id] = replace(image, histogram=None, own_map=None)

    @property
    def predictions(self) -> list[PredictionRecord]:
        """The records in the data set's order, once all images are there."""
        by_category: dict[str, list[RowImage]] = {}
        for sample in self._plan.dataset:
            by_category.setdefault(sample.category, []).append(self._images[sample.id])
        return list(chain.from_iterable(self._final(name, images) for name, images in by_category.items()))

    @property
    def threshold_records(self) -> list[PredictionRecord]:
        """The records of the validation images, once all images are there."""
        tested = {sample.id for sample in self._plan.dataset}
        return [self._images[sample.id].record for sample in self._plan.asked if sample.id not in tested]

    def _final(self, category: str, images: Sequence[RowImage]) -> list[PredictionRecord]:
        records = [image.record for image in images]
        if self._finalize is None or not any(image.parts for image in images):
            return records
        scores = self._finalize(category, [image.parts for image in images])
        return [with_score(record, score) for record, score in zip(records, scores, strict=True)]

    def metrics(self, *, paid: bool) -> dict[str, Any]:
        """Return the content of metrics.json, in which every metric is undefined."""
        records = self.predictions

        def entry(count: int) -> dict[str, Any]:
            undefined = dict.fromkeys(METRIC_NAMES, NO_LABELS)
            return {**dict.fromkeys(METRIC_NAMES), "n_images": count, "n_measured": 0, "undefined": undefined}

        by_category = dict.fromkeys(self._plan.dataset.categories, 0)
        for record in records:
            by_category[record.category] += 1
        metrics = {
            "mean": entry(len(records)),
            "categories": {name: entry(count) for name, count in by_category.items()},
            **answer_metrics(records, paid=paid, by_regions=self._plan.method_name == "regions"),
        }
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
        upload: Mapping[str, Any] | None = None,
    ) -> Run:
        """Write the run; the arguments are those of ``RowResult.write``, and what ``UploadWriter.finish`` returned."""
        manifest = make_manifest(self._plan, facts, started, environment)
        metrics = {**self.metrics(paid=paid), **({} if upload is None else {"upload": dict(upload)})}
        folder = run_folder(self._plan.config.out, manifest)
        run = Run(folder, manifest, metrics, self.predictions, None, self.threshold_records)
        write_run(run)
        event("run", dir=str(folder), config_hash=manifest.config_hash, answers=metrics["answers"])
        return run
