"""Measures a category: metrics, intervals and ranges, as in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.evaluate.measure_shapes import category_shapes, metrics_of_places
from lvlm_ad.metrics import ImageMetrics, PixelMetrics, image_metrics
from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.estimates import Estimate, estimate_category
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms, pixel_metrics_of_steps
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.own_maps import PooledMaps
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.shapes import ShapeEstimate

__all__ = ["CategoryResult", "Images", "OwnMap", "interval_fields", "measure_category", "metrics_of"]

OwnMap = tuple["NDArray[np.floating[Any]]", "NDArray[np.bool_]"]
"""A baseline's anomaly map ``(H, W)``, and its mask, True where anomalous."""

OnFailure = Literal["zero", "exclude"]

_NO_MAP = "the method gives no map"


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """A measured category.

    Attributes:
        metrics: its entry in metrics.json.
        estimates: metric -> how sure it is; metrics without a value are missing.
        histograms: of each image's pixels, in order; None without ground truth, or if the image was left out.
        shapes: metric of shapes -> how sure it is.
    """

    metrics: dict[str, Any]
    estimates: Mapping[str, Estimate]
    histograms: ScoreHistograms
    shapes: Mapping[str, ShapeEstimate] = field(default_factory=dict)


class Images:
    """A category's images, added one by one: their labels, scores and pixels.

    Args:
        folder: where a temporary file is made if own maps are too many for memory; None: the system's folder for such.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
        needs_all_masks: whether pixel metrics need the ground truth of every image, as in version 0.1.0; otherwise they
            cover the images whose ground truth is known.
        places: the kind of place that the method answers with; empty: it gives no map.

    Attributes:
        labels: True for anomalous images.
        scores: the image scores; NaN where there is none.
        histograms: the pixels of each image by score; None without ground truth, and for own maps.
        measures: what ``shape_measures`` returned for each image; empty without ground truth.
        has_score: whether something was asked about each image that gives an image score; else it is left out.
    """

    def __init__(
        self,
        folder: Path | None = None,
        fpr_limit: float = DEFAULT_FPR_LIMIT,
        *,
        needs_all_masks: bool = False,
        places: Places = "regions",
    ) -> None:
        self.fpr_limit = fpr_limit
        self.needs_all_masks = needs_all_masks
        self.places = places
        self.labels: list[bool] = []
        self.scores: list[float] = []
        self.histograms: list[ScoreHistogram | None] = []
        self.measures: list[Mapping[str, float]] = []
        self.has_score: list[bool] = []
        self._own_maps = PooledMaps(folder)
        self._own_indices: list[int] = []

    def add(
        self,
        label: bool,  # noqa: FBT001 - label and score, as everywhere
        image_score: float | None,
        histogram: ScoreHistogram | None = None,
        own_map: OwnMap | None = None,
        measures: Mapping[str, float] | None = None,
        *,
        has_score: bool = True,
    ) -> None:
        """Add an image with its histogram or its own map; with neither if it has no ground truth."""
        if own_map is not None:
            self._own_maps.add(*own_map)
            self._own_indices.append(len(self.labels))
        self.histograms.append(histogram)
        self.measures.append(measures or {})
        self.has_score.append(has_score)
        self.labels.append(label)
        self.scores.append(np.nan if image_score is None else image_score)

    def pixels(self) -> tuple[ScoreHistograms, PixelMetrics | None]:
        """Return each image's histogram and, of own maps, the exact pixel metrics.

        Own maps are counted at few thresholds, which is enough for resamples.
        """
        if not len(self._own_maps):
            return ScoreHistograms.of(self.histograms), None
        steps, thresholds = self._own_maps.merge(self.fpr_limit)
        histograms = list(self.histograms)
        for index, histogram in zip(self._own_indices, self._own_maps.histograms(thresholds), strict=True):
            histograms[index] = histogram
        return ScoreHistograms.of(histograms), pixel_metrics_of_steps(steps, self.fpr_limit)


def measure_category(
    images: Images,
    on_failure: OnFailure,
    category: str = "",
    resamples: int = 0,
    exact: Mapping[str, float | None] | None = None,
) -> CategoryResult:
    """Compute the seven metrics of one category, their intervals and ranges.

    Args:
        images: its images.
        on_failure: "zero": an image without a score counts as "no anomaly reported", image score 0 and an empty map;
            "exclude": it is left out.
        category: its name; resamples of the same category and labels are the same for every method.
        resamples: how many resamples of the images are drawn; 0: only image AUROC has an interval.
        exact: pixel metrics that are known more exactly than the histograms give them.

    Returns:
        Its metrics: by name (None if undefined), "n_images", "n_measured", "undefined" (name -> reason); if some ground
        truth is unknown "n_with_truth", the number of images that the pixel metrics cover; "fpr_limit" if it is not
        0.3; what ``interval_fields`` returns; where scores are missing "range" (name -> [worst, best] over all that the
        missing answers could have been); and for a method that names shapes "shapes", see ``category_shapes``.
    """
    labels, scores = np.array(images.labels, dtype=np.bool_), np.array(images.scores, dtype=np.float64)
    asked = np.array(images.has_score, dtype=np.bool_)
    missing = np.isnan(scores) & asked
    left_out = ~asked | missing if on_failure == "exclude" else ~asked
    kept = np.flatnonzero(~left_out)
    counts: dict[str, Any] = {"n_images": labels.size, "n_measured": kept.size}
    if images.fpr_limit != DEFAULT_FPR_LIMIT:
        counts["fpr_limit"] = images.fpr_limit
    shapes: Mapping[str, ShapeEstimate] = {}
    if metrics_of_places(images.places):
        leave_out = on_failure == "exclude"
        counts["shapes"], shapes = category_shapes(
            images.measures, missing.tolist(), images.places, leave_out=leave_out
        )
    if not kept.size:
        why = "no image has a usable answer" if asked.any() else "no question asks whether there is a defect"
        undefined = dict.fromkeys(METRIC_NAMES, why)
        metrics = {**dict.fromkeys(METRIC_NAMES), **counts, "undefined": undefined}
        return CategoryResult(metrics, {}, ScoreHistograms.of([None] * labels.size))
    histograms, own_map_metrics = images.pixels()
    measured = histograms if kept.size == labels.size else histograms.take(kept)
    all_known = measured.n_known == kept.size
    usable = bool(images.places) and (all_known if images.needs_all_masks else measured.measurable)
    tested = CategoryImages(labels[kept], np.nan_to_num(scores)[kept], measured if usable else None, images.fpr_limit)
    found = metrics_of(tested, measured, own_map_metrics, places=images.places)
    result = {**dict.fromkeys(METRIC_NAMES), **found, **(exact or {})}
    if usable and not all_known:
        counts["n_with_truth"] = measured.n_known
    estimates = estimate_category(tested, result, resamples, category)
    result |= interval_fields(estimates)
    if missing.any():
        every = histograms if asked.all() else histograms.take(np.flatnonzero(asked))
        result["range"] = _range(replace(tested, labels=labels[asked], scores=scores[asked]), every)
    if left_out.any():
        histograms = ScoreHistograms.of(
            None if out else histogram for out, histogram in zip(left_out, histograms, strict=True)
        )
    return CategoryResult({**result, **counts}, estimates, histograms, shapes)


def metrics_of(
    tested: CategoryImages,
    histograms: ScoreHistograms,
    own_map_metrics: PixelMetrics | None = None,
    *,
    places: Places = "regions",
) -> dict[str, Any]:
    """Compute the metrics of images, and "undefined": metric -> why it is None.

    Args:
        tested: the images; its histograms are None where pixel metrics would mean nothing.
        histograms: the same images' histograms.
        own_map_metrics: the pixel metrics of own maps, more exact than their histograms; None: take the histograms.
        places: the kind of place that the method answers with; empty: it gives no map.
    """
    names = ("auroc", "ap", "f1_max", "aupro")
    result, undefined = _named("image", names[:3], image_metrics(tested.labels, tested.scores))
    if tested.histograms is None:
        without = int((histograms.arrays["lengths"] < 0).sum())
        reason = f"{without} of {len(histograms)} images have no ground-truth mask" if places else _NO_MAP
        return {**result, "undefined": {**undefined, **{f"pixel_{name}": reason for name in names}}}
    pixels = own_map_metrics or pixel_metrics_from_histograms(tested.histograms, tested.fpr_limit)
    by_pixel, why = _named("pixel", names, pixels)
    more = {"pixel_aupro_rescaled": pixels.aupro_rescaled, "pixels_at_lowest_score": pixels.lowest_fraction}
    return {**result, **by_pixel, **more, "undefined": {**undefined, **why}}


def _named(
    kind: str, names: Sequence[str], metrics: ImageMetrics | PixelMetrics
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the metrics under their names in metrics.json, and why some are undefined."""
    values = {f"{kind}_{name}": getattr(metrics, name) for name in names}
    return values, {f"{kind}_{name}": metrics.undefined[name] for name in names if name in metrics.undefined}


def interval_fields(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Say in the fields of metrics.json how sure metrics are.

    Returns:
        "interval" (metric -> [low, high], 95 %), and unless empty "no_interval" (metric -> why it has none),
        "few_images" (metrics with so few images that even a perfect value does not exclude chance) and
        "bound_at_extreme" (of image AUROC 0 or 1, see ``Estimate``).
    """
    bounds = {name: one.bound_at_extreme for name, one in estimates.items()}
    fields = {
        "no_interval": {name: one.reason for name, one in estimates.items() if one.interval is None},
        "few_images": [name for name, one in estimates.items() if one.few_images],
        "bound_at_extreme": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    intervals = {name: list(one.interval) for name, one in estimates.items() if one.interval is not None}
    return {"interval": intervals, **{name: value for name, value in fields.items() if value}}


def _range(images: CategoryImages, histograms: ScoreHistograms) -> dict[str, list[float]]:
    """Bound the metrics: every missing answer entirely wrong, and every missing answer entirely right."""
    missing, ends = np.isnan(images.scores), []
    for right in (False, True):
        filled = ScoreHistograms.of(
            _certain(histogram, right=right) if absent and histogram is not None else histogram
            for absent, histogram in zip(missing, histograms, strict=True)
        )
        certain = np.where(missing, images.labels == right, images.scores)
        pixels = None if images.histograms is None else filled
        ends.append(metrics_from_counts(replace(images, scores=certain, histograms=pixels)))
    worst, best = ends
    return {name: [low, high] for name, low in worst.items() if low is not None and (high := best[name]) is not None}


def _certain(histogram: ScoreHistogram, *, right: bool) -> ScoreHistogram:
    """Count a map that is the ground truth, or its opposite."""
    order = 1 if right else -1
    columns = ([int(histogram.normal.sum()), 0], [0, int(histogram.anomalous.sum())], [0, histogram.n_regions])
    normal, anomalous, overlap = (np.array(column[::order]) for column in columns)
    return ScoreHistogram(np.array([0.0, 1.0]), normal, anomalous, overlap.astype(np.float64), histogram.n_regions)
