"""Measures categories and averages over them: metrics, intervals and ranges, as in metrics.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.metrics import ImageMetrics, PixelMetrics, image_metrics
from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.estimates import Estimate, estimate_category, estimate_mean, interval_over_categories
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms, pixel_metrics_of_steps
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.own_maps import PooledMaps
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CategoryResult", "Images", "OwnMap", "interval_fields", "measure_category", "metrics_of", "summary"]

OwnMap = tuple["NDArray[np.floating[Any]]", "NDArray[np.bool_]"]
"""A baseline's anomaly map ``(H, W)``, and its mask, True where anomalous."""

OnFailure = Literal["zero", "exclude"]

_NAMED = 5
"""Categories that a reason names."""


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """A measured category.

    Attributes:
        metrics: its entry in metrics.json.
        estimates: metric -> how sure it is; metrics without a value are missing.
        histograms: of each image's pixels, in order; None without ground truth, or if the image was left out.
    """

    metrics: dict[str, Any]
    estimates: Mapping[str, Estimate]
    histograms: ScoreHistograms


class Images:
    """A category's images, added one by one: their labels, scores and pixels.

    Args:
        folder: where a temporary file is made if own maps are too many for memory; None: the system's folder for such.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
        needs_all_masks: whether pixel metrics need the ground truth of every image, as in version 0.1.0; otherwise they
            cover the images whose ground truth is known.

    Attributes:
        labels: True for anomalous images.
        scores: the image scores; NaN where there is none.
        histograms: the pixels of each image by score; None without ground truth, and for own maps.
    """

    def __init__(
        self, folder: Path | None = None, fpr_limit: float = DEFAULT_FPR_LIMIT, *, needs_all_masks: bool = False
    ) -> None:
        self.fpr_limit = fpr_limit
        self.needs_all_masks = needs_all_masks
        self.labels: list[bool] = []
        self.scores: list[float] = []
        self.histograms: list[ScoreHistogram | None] = []
        self._own_maps = PooledMaps(folder)
        self._own_indices: list[int] = []

    def add(
        self,
        label: bool,  # noqa: FBT001 - label and score, as everywhere
        image_score: float | None,
        histogram: ScoreHistogram | None = None,
        own_map: OwnMap | None = None,
    ) -> None:
        """Add an image with its histogram or its own map; with neither if it has no ground truth."""
        if own_map is not None:
            self._own_maps.add(*own_map)
            self._own_indices.append(len(self.labels))
        self.histograms.append(histogram)
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
        missing answers could have been).
    """
    labels, scores = np.array(images.labels, dtype=np.bool_), np.array(images.scores, dtype=np.float64)
    missing = np.isnan(scores)
    left_out = missing if on_failure == "exclude" else np.zeros_like(missing)
    kept = np.flatnonzero(~left_out)
    counts: dict[str, Any] = {"n_images": labels.size, "n_measured": kept.size}
    if images.fpr_limit != DEFAULT_FPR_LIMIT:
        counts["fpr_limit"] = images.fpr_limit
    if not kept.size:
        undefined = dict.fromkeys(METRIC_NAMES, "no image has a usable answer")
        metrics = {**dict.fromkeys(METRIC_NAMES), **counts, "undefined": undefined}
        return CategoryResult(metrics, {}, ScoreHistograms.of([None] * labels.size))
    histograms, own_map_metrics = images.pixels()
    measured = histograms if kept.size == labels.size else histograms.take(kept)
    all_known = measured.n_known == kept.size
    usable = all_known if images.needs_all_masks else measured.measurable
    tested = CategoryImages(labels[kept], np.nan_to_num(scores)[kept], measured if usable else None, images.fpr_limit)
    result = {**dict.fromkeys(METRIC_NAMES), **metrics_of(tested, measured, own_map_metrics), **(exact or {})}
    if usable and not all_known:
        counts["n_with_truth"] = measured.n_known
    estimates = estimate_category(tested, result, resamples, category)
    result |= interval_fields(estimates)
    if missing.any():
        result["range"] = _range(replace(tested, labels=labels, scores=scores), histograms)
    if left_out.any():
        histograms = ScoreHistograms.of(
            None if out else histogram for out, histogram in zip(left_out, histograms, strict=True)
        )
    return CategoryResult({**result, **counts}, estimates, histograms)


def metrics_of(
    tested: CategoryImages, histograms: ScoreHistograms, own_map_metrics: PixelMetrics | None = None
) -> dict[str, Any]:
    """Compute the metrics of images, and "undefined": metric -> why it is None.

    Args:
        tested: the images; its histograms are None where pixel metrics would mean nothing.
        histograms: the same images' histograms.
        own_map_metrics: the pixel metrics of own maps, more exact than their histograms; None: take the histograms.
    """
    names = ("auroc", "ap", "f1_max", "aupro")
    result, undefined = _named("image", names[:3], image_metrics(tested.labels, tested.scores))
    if tested.histograms is None:
        without = int((histograms.arrays["lengths"] < 0).sum())
        reason = f"{without} of {len(histograms)} images have no ground-truth mask"
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


def summary(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average each metric over the categories in which it is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean), what ``interval_fields`` returns, "interval_over_categories" (metric -> [low, high]) if there are
        several categories, and "range" where a category has it.
    """
    entries = {category: one.metrics for category, one in categories.items()}
    mean: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name in (*METRIC_NAMES, "pixel_aupro_rescaled"):
        values = {category: one[name] for category, one in entries.items() if one.get(name) is not None}
        mean[name] = float(np.mean(list(values.values()))) if values else None
        absent = [category for category in entries if category not in values]
        if absent and name in METRIC_NAMES:
            some = ", ".join([*absent[:_NAMED], *(["..."] if len(absent) > _NAMED else [])])
            reason = entries[absent[0]]["undefined"][name]
            where = f"undefined in {len(absent)} of {len(entries)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(values)}; {where}" if values else where
    mean |= _mean_interval_fields({category: one.estimates for category, one in categories.items()})
    if any("range" in one for one in entries.values()):
        mean["range"] = _mean_ranges(entries.values())
    totals = {name: sum(one[name] for one in entries.values()) for name in ("n_images", "n_measured")}
    if any("n_with_truth" in one for one in entries.values()):
        totals["n_with_truth"] = sum(
            one.get("n_with_truth", one["n_measured"]) for one in entries.values() if one.get("pixel_auroc") is not None
        )
    limits = [one["fpr_limit"] for one in entries.values() if "fpr_limit" in one]
    if limits:
        totals["fpr_limit"] = limits[0]
    return {**mean, **totals, "undefined": undefined}


def _mean_interval_fields(categories: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Return the intervals of each metric's mean over exactly the categories that have a value."""
    means, wider = {}, {}
    for name in METRIC_NAMES:
        estimates = {category: one[name] for category, one in categories.items() if name in one}
        if estimates:
            means[name] = estimate_mean(name, estimates)
            ends = interval_over_categories(means[name], estimates)
            if ends is not None:
                wider[name] = list(ends)
    return {**interval_fields(means), **({"interval_over_categories": wider} if len(categories) > 1 else {})}


def _mean_ranges(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Average the bounds of each metric; where no answer is missing, both bounds are the value itself."""
    ranges = {}
    for name in METRIC_NAMES:
        bounds = [
            one["range"].get(name) if "range" in one else [one[name]] * 2
            for one in entries
            if one.get(name) is not None
        ]
        if bounds and None not in bounds:
            ranges[name] = [float(np.mean([bound[end] for bound in bounds])) for end in (0, 1)]
    return ranges
