"""From the predictions of a run to its metrics: per category, then the mean over categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lvlm_ad.evaluate.scored import Images, Scored
from lvlm_ad.metrics import PixelMetrics, image_metrics, pixel_metrics
from lvlm_ad.metrics.counts import pixel_metrics_from_histograms
from lvlm_ad.metrics.histograms import GrowingHistograms, ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.intervals import CategoryImages, draws_of, mean_intervals, measured
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.bootstrap import BootstrapSamples

__all__ = ["CategoryResult", "answer_counts", "measure_category", "summary"]

OnFailure = Literal["zero", "exclude"]


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """One category, measured.

    Attributes:
        metrics: its entry in metrics.json.
        draws: metric -> its values over resamples of the images.
        histograms: of each image's pixels, in order; None without ground truth, or if the image was left out.
    """

    metrics: dict[str, Any]
    draws: Mapping[str, BootstrapSamples]
    histograms: ScoreHistograms


def measure_category(
    images: Images | Iterable[Scored],
    on_failure: OnFailure,
    category: str = "",
    resamples: int = 0,
    exact: Mapping[str, float | None] | None = None,
) -> CategoryResult:
    """Compute the seven metrics of one category and how sure they are.

    Args:
        images: its images.
        on_failure: "zero": an image without a score counts as "no anomaly reported", image score 0 and an empty map;
            "exclude": it is left out.
        category: its name; resamples of the same category and labels are the same for every method.
        resamples: how many times the images are drawn anew; 0: no intervals.
        exact: pixel metrics that are known better than histograms tell; they are taken.

    Returns:
        Its metrics: by name (None if undefined), "n_images", "n_measured", "undefined" (name -> reason), perhaps
        "interval" (name -> [low, high], 95 %) and, where scores are missing, "range" (name -> [worst, best] over all
        that the missing answers could have been).
    """
    images = images if isinstance(images, Images) else Images(images)
    missing = np.isnan(images.scores)
    left_out = missing if on_failure == "exclude" else np.zeros_like(missing)
    kept = np.flatnonzero(~left_out)
    result: dict[str, Any] = dict.fromkeys(METRIC_NAMES)
    counts = {"n_images": len(images), "n_measured": kept.size}
    if not kept.size:
        undefined = dict.fromkeys(METRIC_NAMES, "no image has a usable answer")
        return CategoryResult(
            {**result, **counts, "undefined": undefined}, {}, ScoreHistograms.of([None] * len(images))
        )
    histograms = images.histograms()
    tested = _tested(images, np.nan_to_num(images.scores), histograms, kept)
    result |= _exact(tested, images, histograms, kept) | dict(exact or {})
    draws = draws_of(tested, result, resamples, category) if resamples else {}
    if resamples:
        result["interval"] = {name: list(ends) for name, one in draws.items() if (ends := one.interval()) is not None}
    if missing.any():
        result["range"] = _range(images, histograms, missing)
    if left_out.any():
        histograms = ScoreHistograms.of(
            None if out else histogram for out, histogram in zip(left_out, histograms, strict=True)
        )
    return CategoryResult({**result, **counts}, draws, histograms)


def _tested(
    images: Images, scores: NDArray[np.float64], histograms: ScoreHistograms, places: NDArray[np.intp]
) -> CategoryImages:
    pixels = histograms if places.size == len(images) else histograms.take(places)
    return CategoryImages(images.labels[places], scores[places], pixels if pixels.complete else None)


def _exact(
    tested: CategoryImages, images: Images, histograms: ScoreHistograms, kept: NDArray[np.intp]
) -> dict[str, Any]:
    """Compute the metrics themselves."""
    result: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    by_image = image_metrics(tested.labels, tested.scores)
    for name in ("auroc", "ap", "f1_max"):
        result[f"image_{name}"] = getattr(by_image, name)
        if name in by_image.undefined:
            undefined[f"image_{name}"] = by_image.undefined[name]
    by_pixel, reason = _pixel(tested, images, histograms, kept)
    for name in ("auroc", "ap", "f1_max", "aupro"):
        result[f"pixel_{name}"] = getattr(by_pixel, name) if by_pixel else None
        if by_pixel is None or name in by_pixel.undefined:
            undefined[f"pixel_{name}"] = by_pixel.undefined[name] if by_pixel else reason
    if by_pixel is not None:
        result["pixel_aupro_rescaled"] = by_pixel.aupro_rescaled
        result["pixels_at_lowest_score"] = by_pixel.lowest_fraction
    return {**result, "undefined": undefined}


def _pixel(
    tested: CategoryImages, images: Images, histograms: ScoreHistograms, kept: NDArray[np.intp]
) -> tuple[PixelMetrics | None, str]:
    if tested.histograms is None:
        without = int((histograms.arrays["lengths"][kept] < 0).sum())
        return None, f"{without} of {kept.size} images have no ground-truth mask"
    # Of maps that are constant on cells the histograms tell all; of others no more than their grid.
    if len(images.held):
        return pixel_metrics(images.held.masks, images.held.maps), ""
    return pixel_metrics_from_histograms(tested.histograms), ""


def _range(images: Images, histograms: ScoreHistograms, missing: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Bound the metrics: every missing answer entirely wrong, and every missing answer entirely right."""
    ends = []
    for right in (False, True):
        scores = np.where(missing, images.labels == right, images.scores)
        filled = GrowingHistograms()
        for absent, histogram in zip(missing, histograms, strict=True):
            filled.add(_certain(histogram, right=right) if absent and histogram is not None else histogram)
        ends.append(measured(_tested(images, scores, filled.histograms(), np.arange(len(images)))))
    worst, best = ends
    return {name: [low, high] for name, low in worst.items() if low is not None and (high := best[name]) is not None}


def _certain(histogram: ScoreHistogram, *, right: bool) -> ScoreHistogram:
    """Tally a map that is the ground truth, or its opposite."""
    order = 1 if right else -1
    columns = ([int(histogram.normal.sum()), 0], [0, int(histogram.anomalous.sum())], [0, histogram.n_regions])
    normal, anomalous, overlap = (np.array(column[::order]) for column in columns)
    return ScoreHistogram(np.array([0.0, 1.0]), normal, anomalous, overlap.astype(np.float64), histogram.n_regions)


def summary(categories: Mapping[str, CategoryResult]) -> dict[str, Any]:
    """Average over the categories in which a metric is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean), where images were resampled "interval" (name -> [low, high], the categories being fixed) and
        "interval_over_categories" (the same where categories are drawn too; none for a single one), and perhaps
        "range".
    """
    found = {category: one.metrics for category, one in categories.items()}
    mean: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name in (*METRIC_NAMES, "pixel_aupro_rescaled"):
        defined = {category: one[name] for category, one in found.items() if one.get(name) is not None}
        mean[name] = float(np.mean(list(defined.values()))) if defined else None
        absent = [category for category in found if category not in defined]
        if absent and name in METRIC_NAMES:
            reason = found[absent[0]]["undefined"][name]
            some = ", ".join([*absent[:5], *(["..."] if len(absent) > 5 else [])])  # noqa: PLR2004 - enough to see
            place = f"undefined in {len(absent)} of {len(found)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(defined)}; {place}" if defined else place
    if any("interval" in one for one in found.values()):
        mean |= mean_intervals({category: one.draws for category, one in categories.items()})
    if any("range" in one for one in found.values()):
        mean["range"] = _mean_ranges(found)
    totals = {name: sum(one[name] for one in found.values()) for name in ("n_images", "n_measured")}
    return {**mean, **totals, "undefined": undefined}


def _mean_ranges(found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """Average the bounds of each metric; where no answer is missing, both are the value itself."""
    ranges = {}
    for name in METRIC_NAMES:
        ends = [
            one["range"].get(name) if "range" in one else [one[name]] * 2
            for one in found.values()
            if one.get(name) is not None
        ]
        if ends and None not in ends:
            ranges[name] = [float(np.mean([end[at] for end in ends])) for at in (0, 1)]
    return ranges


def answer_counts(statuses: Mapping[Status, int], usable: int) -> dict[str, int]:
    """Return the counts of a run's outcomes, those that did not occur too.

    Args:
        statuses: how many images have each.
        usable: how many have a score.
    """
    counts = {status: statuses.get(status, 0) for status in get_args(Status)}
    return {"total": sum(counts.values()), **counts, "usable": usable}
