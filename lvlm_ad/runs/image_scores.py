"""The image scores of a run, read quickly: what ranks need of predictions.jsonl, without answers and regions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.limits import PREDICTION_BYTES, PREDICTIONS_BYTES
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.runs.records import INTERVAL_RULE
from lvlm_ad.runs.run import Run, reading

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ImageScores", "current_intervals", "image_scores", "is_current"]

_FIELDS = {"category", "id", "label", "image_score", "cost_usd", "part"}

TestImage = tuple[str, str, bool, str]
"""Category, id, whether it is anomalous, and the object that it shows; "" where no other image shows the same."""


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The scores of n images.

    Attributes:
        images: ``(n,)``, sorted by category and id.
        scores: float64 ``(n,)``; NaN where an image has none.
        costs: float64 ``(n,)``, USD for each image's answers; NaN where unknown.
    """

    images: tuple[TestImage, ...]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]

    def objects(self, places: NDArray[np.intp]) -> NDArray[np.intp] | None:
        """Number the objects that the images at some places show; see ``CategoryImages``."""
        return numbers_of_parts([self.images[at][3] for at in places.tolist()])

    def by_category(self) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.intp]]]:
        """Return the labels and the places of the images with a score, for each category with both classes."""
        places: dict[str, list[int]] = {}
        for place in np.flatnonzero(~np.isnan(self.scores)).tolist():
            places.setdefault(self.images[place][0], []).append(place)
        labels = np.array([label for _, _, label, _ in self.images], dtype=np.bool_)
        found = {name: (labels[at], np.array(at)) for name, at in places.items()}
        return {name: one for name, one in found.items() if one[0].any() and not one[0].all()}


def image_scores(run: Run) -> ImageScores:
    """Return the image scores of a run; they are read from its folder if it was read without predictions.

    An image without a score has the score 0 if the run counts it as "no anomaly reported".

    Raises:
        RunError: the predictions cannot be read, or are not as many as the manifest says.
    """
    with reading(run.dir, "predictions.jsonl") as path:
        records = [record.model_dump(include=_FIELDS) for record in run.predictions] or _records(path)
        if len(records) != run.manifest.dataset.n_images:
            raise ValueError(f"it has {len(records)} of {run.manifest.dataset.n_images} predictions")
        found = sorted(
            (one["category"], one["id"], one["label"], one.get("part", ""), one["image_score"], one["cost_usd"])
            for one in records
        )
        numbers = np.array([one[4:] for one in found], dtype=np.float64)
        if np.isinf(numbers).any() or any(list(map(type, one[:4])) != [str, str, bool, str] for one in found):
            raise ValueError("a score is infinite, or a label is not true or false")
    scores, costs = numbers.T
    if run.manifest.on_failure == "zero":
        scores = np.nan_to_num(scores)
    if run.manifest.model.kind != "backend":
        costs = np.zeros_like(costs)
    return ImageScores(tuple(one[:4] for one in found), scores, costs)


def _records(path: Path) -> list[dict[str, Any]]:
    """Read each line's beginning and end: between them are regions and answers, which are long."""
    if path.stat().st_size > PREDICTIONS_BYTES:
        raise ValueError(f"it is larger than {PREDICTIONS_BYTES:,} bytes")
    parts = []
    with path.open("rb") as file:
        # A line that is too long is cut, and then no JSON.
        for line in iter(partial(file.readline, PREDICTION_BYTES + 1), b""):
            # In JSON a quotation mark within a text follows a backslash, so these are names of fields.
            start, regions, _ = line.partition(b',"regions":')
            _, cost, end = line.rpartition(b',"cost_usd":')
            parts.append(start + cost + end if regions and cost else line)
    records: list[dict[str, Any]] = json.loads(b"[%s]" % b",".join(parts))
    return [{"cost_usd": None, **record} for record in records]


def usd_per_image(metrics: Mapping[str, Any]) -> float | None:
    """Return the cost of one image that was asked about, answered or not; None if it is unknown.

    ``metrics`` is the content of a metrics.json.
    """
    answers, cost = metrics["answers"], metrics["usage"]["cost_usd"]
    asked = answers["total"] - answers.get("unasked", 0)
    return None if cost is None or not asked else float(cost / asked)


def is_current(metrics: Mapping[str, Any]) -> bool:
    """Whether the intervals of metrics.json follow today's rule."""
    return bool(metrics.get("intervals", {}).get("rule", 1) >= INTERVAL_RULE)


def current_intervals(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of metrics.json without the intervals of older versions, whose rule made them too narrow."""
    if is_current(metrics):
        return dict(metrics)
    none: dict[str, Any] = {"interval": {}, "interval_over_categories": {}}
    categories = {name: {**measures, **none} for name, measures in metrics["categories"].items()}
    return {**metrics, "mean": {**metrics["mean"], **none}, "categories": categories}
