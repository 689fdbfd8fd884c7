"""Measures a category: metrics, intervals and ranges, as in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.evaluate.measure_shapes import category_shapes, metrics_of_places
from lvlm_ad.evaluate.reported import NO_MAP, ReportedImages, ReportedMetrics, limits_of, measure_reported
from lvlm_ad.metrics import ImageMetrics, PixelMetrics, image_metrics
from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.estimates import Estimate, estimate_category
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.named import at_limit
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES, is_reported

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.evaluate.images import Images
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.shapes import ShapeEstimate

__all__ = ["CategoryResult", "interval_fields", "measure_category", "metrics_of"]

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
    cuts: NDArray[np.int64] | None = None
    if any(map(is_reported, images.reported)):
        reported, channels, cuts = _measure_reported(images, tested, kept, resamples, category, exact or {})
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
    return CategoryResult({**result, **counts}, estimates, histograms, shapes, channels, cuts)


def _measure_reported(
    images: Images,
    tested: CategoryImages,
    kept: NDArray[np.intp],
    resamples: int,
    category: str,
    exact: Mapping[str, float | None],
) -> tuple[ReportedMetrics, ScoreHistograms, NDArray[np.int64] | None]:
    """Compute the metrics that authors report, of the images ``tested``, which stand at ``kept`` among all images.

    Also returns the channels of all images, and TP, FP and FN of their maps.
    """
    channels, known = images.channel_pixels()
    cuts, why = images.binary_counts()
    of = ReportedImages(
        tested,
        [images.kinds[at] for at in kept.tolist()],
        channels.take(kept) if images.places else None,
        None if cuts is None else cuts[kept],
        images.map_threshold,
        why,
    )
    found = measure_reported(images.reported, of, resamples, category, {**known, **exact})
    return found, channels, cuts


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
