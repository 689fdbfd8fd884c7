"""Measures a category: metrics, intervals and ranges, as in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.evaluate.measure_shapes import category_shapes, metrics_of_places
from lvlm_ad.evaluate.reported import NO_MAP, NO_THRESHOLD, ReportedImages, group_names, limits_of, measure_reported
from lvlm_ad.metrics import ImageMetrics, PixelMetrics, image_metrics
from lvlm_ad.metrics.binary import MapThreshold, count_binary_histogram
from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.estimates import Estimate, estimate_category
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms, pixel_metrics_of_steps
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.named import at_limit, overlap_at_limits
from lvlm_ad.metrics.own_maps import PooledMaps
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES, is_reported

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.shapes import ShapeEstimate
    from lvlm_ad.metrics.spro import Channels

__all__ = ["CategoryResult", "Images", "OwnChannels", "OwnMap", "interval_fields", "measure_category", "metrics_of"]

OwnMap = tuple["NDArray[np.floating[Any]]", "NDArray[np.bool_]"]
"""A baseline's anomaly map ``(H, W)``, and its mask, True where anomalous."""

OwnChannels = tuple["NDArray[np.floating[Any]]", "Channels"]
"""A baseline's anomaly map, at the size of the original picture, and the defects of that picture."""

OnFailure = Literal["zero", "exclude"]


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """A measured category.

    Attributes:
        metrics: its entry in metrics.json.
        estimates: metric -> how sure it is; metrics without a value are missing.
        histograms: of each image's pixels, in order; None without ground truth, or if the image was left out.
        shapes: metric of shapes -> how sure it is.
        channels: like ``histograms``, of each image's channels; None unless the data set has them.
        cuts: int64 ``(n, 3)``, TP, FP and FN of each image's map; None without a threshold of maps.
    """

    metrics: dict[str, Any]
    estimates: Mapping[str, Estimate]
    histograms: ScoreHistograms
    shapes: Mapping[str, ShapeEstimate] = field(default_factory=dict)
    channels: ScoreHistograms | None = None
    cuts: NDArray[np.int64] | None = None


class Images:
    """A category's images, added one by one: their labels, scores and pixels.

    Args:
        folder: where a temporary file is made if own maps are too many for memory; None: the system's folder for such.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
        needs_all_masks: whether pixel metrics need the ground truth of every image, as in version 0.1.0; otherwise they
            cover the images whose ground truth is known.
        places: the kind of place that the method answers with; empty: it gives no map.
        reported: the metrics that the data set's authors report.
        map_threshold: where maps are cut for SegF1 and ClassF1; None: nothing says where.

    Attributes:
        labels: True for anomalous images.
        scores: the image scores; NaN where there is none.
        histograms: the pixels of each image by score; None without ground truth, and for own maps.
        measures: what ``shape_measures`` returned for each image; empty without ground truth.
        has_score: whether something was asked about each image that gives an image score; else it is left out.
        kinds: the kind of defect of each image.
        parts: the object that each image shows; "" where no other image does.
        channels: the pixels of each image by score and channel; None where saturation areas are unknown.
        cuts: TP, FP and FN of each image's map, where they are known already.
    """

    def __init__(
        self,
        folder: Path | None = None,
        fpr_limit: float = DEFAULT_FPR_LIMIT,
        *,
        needs_all_masks: bool = False,
        places: Places = "regions",
        reported: Sequence[str] = (),
        map_threshold: MapThreshold | None = None,
    ) -> None:
        self.fpr_limit = fpr_limit
        self.needs_all_masks = needs_all_masks
        self.places = places
        self.labels: list[bool] = []
        self.scores: list[float] = []
        self.histograms: list[ScoreHistogram | None] = []
        self.measures: list[Mapping[str, float]] = []
        self.has_score: list[bool] = []
        self.reported, self.map_threshold = tuple(reported), map_threshold
        self.kinds: list[str] = []
        self.parts: list[str] = []
        self.channels: list[ScoreHistogram | None] = []
        self.cuts: list[Sequence[int] | None] = []
        self._own_maps = PooledMaps(folder)
        self._own_indices: list[int] = []
        self._own_channels = PooledMaps(folder)
        self._own_channel_indices: list[int] = []

    def add(
        self,
        label: bool,  # noqa: FBT001 - label and score, as everywhere
        image_score: float | None,
        histogram: ScoreHistogram | None = None,
        own_map: OwnMap | None = None,
        measures: Mapping[str, float] | None = None,
        *,
        has_score: bool = True,
        kind: str = "",
        part: str = "",
        channels: ScoreHistogram | None = None,
        own_channels: OwnChannels | None = None,
        cut: Sequence[int] | None = None,
    ) -> None:
        """Add an image with its histogram or its own map; with neither if it has no ground truth."""
        if own_channels is not None:
            scores, truth = own_channels
            self._own_channels.add_channels(scores, truth.masks, truth.saturations)
            self._own_channel_indices.append(len(self.labels))
        self.channels.append(channels)
        self.cuts.append(cut)
        self.kinds.append(kind)
        self.parts.append(part)
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
        return ScoreHistograms.of(histograms), pixel_metrics_of_steps(steps, self.fpr_limit, limits_of(self.reported))

    @property
    def needs_channels(self) -> bool:
        """Whether a metric needs the defects of an image one by one."""
        return bool(limits_of(self.reported, "au_spro"))

    def channel_pixels(self) -> tuple[ScoreHistograms, dict[str, float | None]]:
        """Return each image's histogram of channels and, of own maps, the exact AU-sPRO of each group."""
        if not len(self._own_channels):
            return ScoreHistograms.of(self.channels), {}
        everything, thresholds = self._own_channels.merge()
        counted = list(self.channels)
        for index, one in zip(self._own_channel_indices, self._own_channels.histograms(thresholds), strict=True):
            counted[index] = one
        limits, names = limits_of(self.reported, "au_spro"), group_names(self.reported)
        if not names:
            return ScoreHistograms.of(counted), dict(overlap_at_limits("au_spro", everything, limits).values)
        exact: dict[str, float | None] = {}
        for name in names:
            kinds = {name, f"{name}_anomalies"}
            members = [
                at
                for at, index in enumerate(self._own_channel_indices)
                if not self.labels[index] or self.kinds[index] in kinds
            ]
            if members:
                steps = self._own_channels.take(members).merge()[0]
                exact |= overlap_at_limits(f"au_spro_{name}", steps, limits).values
        for limit in limits:
            parts = [exact.get(at_limit(f"au_spro_{name}", limit)) for name in names]
            known = [one for one in parts if one is not None]
            exact[at_limit("au_spro", limit)] = sum(known) / len(known) if len(known) == len(names) else None
        return ScoreHistograms.of(counted), exact

    def binary_counts(self) -> tuple[NDArray[np.int64] | None, str]:
        """Return TP, FP and FN of each image's map, cut at the threshold; or None, and the reason."""
        if not self.places:
            return None, NO_MAP
        if self.map_threshold is None:
            return None, NO_THRESHOLD
        rows = [None if one is None else np.array(one, dtype=np.int64) for one in self.cuts]
        own = dict(zip(self._own_indices, self._own_maps.count_above(self.map_threshold.value), strict=True))
        for index, histogram in enumerate(self.histograms):
            if rows[index] is None and index in own:
                rows[index] = own[index]
            elif rows[index] is None and histogram is not None:
                rows[index] = count_binary_histogram(histogram, self.map_threshold)
        known = [row for row in rows if row is not None]
        if len(known) < len(rows):
            return None, f"{len(rows) - len(known)} of {len(rows)} images have no ground-truth mask"
        return np.stack(known), ""


def measure_category(
    images: Images,
    on_failure: OnFailure,
    category: str = "",
    resamples: int = 0,
    exact: Mapping[str, float | None] | None = None,
) -> CategoryResult:
    """Compute the metrics of one category, the seven and those that authors report, their intervals and ranges.

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
    names = [*METRIC_NAMES, *filter(is_reported, images.reported)]
    if not kept.size:
        why = "no image has a usable answer" if asked.any() else "no question asks whether there is a defect"
        undefined = dict.fromkeys(names, why)
        metrics = {**dict.fromkeys(names), **counts, "undefined": undefined}
        nothing = ScoreHistograms.of([None] * labels.size)
        return CategoryResult(metrics, {}, nothing, channels=nothing if images.needs_channels else None)
    histograms, own_map_metrics = images.pixels()
    measured = histograms if kept.size == labels.size else histograms.take(kept)
    all_known = measured.n_known == kept.size
    usable = bool(images.places) and (all_known if images.needs_all_masks else measured.measurable)
    tested = CategoryImages(
        labels[kept],
        np.nan_to_num(scores)[kept],
        measured if usable else None,
        images.fpr_limit,
        limits_of(images.reported),
        numbers_of_parts([images.parts[at] for at in kept.tolist()]),
    )
    found = metrics_of(tested, measured, own_map_metrics, places=images.places)
    result = {**dict.fromkeys(METRIC_NAMES), **found, **(exact or {})}
    if usable and not all_known:
        counts["n_with_truth"] = measured.n_known
    estimates = estimate_category(tested, result, resamples, category)
    channels: ScoreHistograms | None = None
    binary: NDArray[np.int64] | None = None
    if any(map(is_reported, images.reported)):
        channels, known = images.channel_pixels()
        binary, why = images.binary_counts()
        reported = measure_reported(
            images.reported,
            ReportedImages(
                tested,
                [images.kinds[at] for at in kept.tolist()],
                channels.take(kept) if images.places else None,
                None if binary is None else binary[kept],
                images.map_threshold,
                why,
            ),
            resamples,
            category,
            {**known, **(exact or {})},
        )
        result |= reported.values
        result["undefined"] = {**result["undefined"], **reported.undefined}
        estimates |= reported.estimates
    result |= interval_fields(estimates)
    if missing.any():
        every = histograms if asked.all() else histograms.take(np.flatnonzero(asked))
        result["range"] = _range(replace(tested, labels=labels[asked], scores=scores[asked]), every)
    if left_out.any():
        histograms = _without(histograms, left_out)
        channels = channels and _without(channels, left_out)
    channels = channels if images.needs_channels else None
    return CategoryResult({**result, **counts}, estimates, histograms, shapes, channels, binary)


def _without(histograms: ScoreHistograms, left_out: NDArray[np.bool_]) -> ScoreHistograms:
    return ScoreHistograms.of(None if out else one for out, one in zip(left_out, histograms, strict=True))


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
        reason = f"{without} of {len(histograms)} images have no ground-truth mask" if places else NO_MAP
        further = [at_limit("aupro", limit) for limit in tested.limits]
        nothing = {f"pixel_{name}": None for name in further}
        return {
            **result,
            **nothing,
            "undefined": {**undefined, **{f"pixel_{name}": reason for name in (*names, *further)}},
        }
    pixels = own_map_metrics or pixel_metrics_from_histograms(tested.histograms, tested.fpr_limit, tested.limits)
    by_pixel, why = _named("pixel", names, pixels)
    by_pixel |= {f"pixel_{name}": value for name, value in pixels.aupro_at.items()}
    why |= {f"pixel_{name}": pixels.undefined[name] for name in pixels.aupro_at if name in pixels.undefined}
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
