"""From the predictions of a run to its metrics: per category, then the mean over categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lvlm_ad.metrics import (
    CellCounts,
    PixelMetrics,
    image_metrics,
    pixel_metrics,
    pixel_metrics_from_counts,
)
from lvlm_ad.metrics.counts import pixel_metrics_from_tallies
from lvlm_ad.metrics.pixel import components
from lvlm_ad.metrics.tallies import PixelTally, Tallies, grid_of, tally_cells, tally_map
from lvlm_ad.metrics.uncertainty import CategoryImages, draws_of, mean_intervals, measured
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.draws import Draws

__all__ = ["CategoryResult", "Scored", "answer_counts", "measure_category", "summary"]

OnFailure = Literal["zero", "exclude"]


@dataclass(frozen=True, eq=False)
class Scored:
    """What the metrics need of one image.

    Attributes:
        label: True if anomalous.
        image_score: None where the answer holds none.
        values: float ``(C,)``, the score of each cell; or for a dense row the whole map ``(S, S)``.
        truth: for a row through the regions the counts of the ground truth, for a dense row the mask bool ``(S, S)``;
            of a finished run, whose map is gone, the tally that was kept, and ``values`` is not looked at; None where
            there is no ground truth.
    """

    label: bool
    image_score: float | None
    values: NDArray[np.floating[Any]]
    truth: CellCounts | NDArray[np.bool_] | PixelTally | None


@dataclass(frozen=True, eq=False)
class CategoryResult:
    """One category, measured.

    Attributes:
        metrics: its entry in metrics.json.
        draws: metric -> its values over resamples of the images.
        tallies: of each image's pixels, in order; None without ground truth, or if the image was left out.
    """

    metrics: dict[str, Any]
    draws: Mapping[str, Draws]
    tallies: Tallies


def measure_category(
    images: Sequence[Scored],
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
        exact: pixel metrics that are known better than tallies tell; they are taken.

    Returns:
        Its metrics: by name (None if undefined), "n_images", "n_measured", "undefined" (name -> reason), perhaps
        "interval" (name -> [low, high], 95 %) and, where scores are missing, "range" (name -> [worst, best] over all
        that the missing answers could have been).
    """
    kept = [at for at, image in enumerate(images) if image.image_score is not None or on_failure == "zero"]
    result: dict[str, Any] = dict.fromkeys(METRIC_NAMES)
    counts = {"n_images": len(images), "n_measured": len(kept)}
    tallies: list[PixelTally | None] = [None] * len(images)
    if not kept:
        undefined = dict.fromkeys(METRIC_NAMES, "no image has a usable answer")
        return CategoryResult({**result, **counts, "undefined": undefined}, {}, Tallies.of(tallies))
    chosen = [images[at] for at in kept]
    result |= _exact(chosen) | dict(exact or {})
    for at, tally in zip(kept, _tallies(chosen), strict=True):
        tallies[at] = tally
    tested = _tested(chosen, [tallies[at] for at in kept])
    draws = draws_of(tested, result, resamples, category) if resamples else {}
    if resamples:
        result["interval"] = {name: list(ends) for name, one in draws.items() if (ends := one.interval()) is not None}
    if any(image.image_score is None for image in images):
        result["range"] = _range(images, tallies)
    return CategoryResult({**result, **counts}, draws, Tallies.of(tallies))


def _exact(images: Sequence[Scored]) -> dict[str, Any]:
    """Compute the metrics themselves."""
    result: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    by_image = image_metrics([image.label for image in images], [image.image_score or 0.0 for image in images])
    for name in ("auroc", "ap", "f1_max"):
        result[f"image_{name}"] = getattr(by_image, name)
        if name in by_image.undefined:
            undefined[f"image_{name}"] = by_image.undefined[name]
    by_pixel, reason = _pixel(images)
    for name in ("auroc", "ap", "f1_max", "aupro"):
        result[f"pixel_{name}"] = getattr(by_pixel, name) if by_pixel else None
        if by_pixel is None or name in by_pixel.undefined:
            undefined[f"pixel_{name}"] = by_pixel.undefined[name] if by_pixel else reason
    if by_pixel is not None:
        result["pixel_aupro_rescaled"] = by_pixel.aupro_rescaled
        result["pixels_at_lowest_score"] = by_pixel.lowest_fraction
    return {**result, "undefined": undefined}


def _pixel(images: Sequence[Scored]) -> tuple[PixelMetrics | None, str]:
    without = sum(image.truth is None for image in images)
    if without:
        return None, f"{without} of {len(images)} images have no ground-truth mask"
    tallies = [image.truth for image in images if isinstance(image.truth, PixelTally)]
    if tallies:
        return pixel_metrics_from_tallies(tallies), ""
    counts = [image.truth for image in images if isinstance(image.truth, CellCounts)]
    if counts:
        return pixel_metrics_from_counts(counts, [image.values for image in images]), ""
    masks = [image.truth for image in images if isinstance(image.truth, np.ndarray)]
    return pixel_metrics(masks, [image.values for image in images]), ""


def _tallies(images: Sequence[Scored]) -> list[PixelTally | None]:
    """Tally each image's pixels: exactly where maps are constant on cells, else on a grid that fits the category."""
    dense = [(image.values, image.truth) for image in images if isinstance(image.truth, np.ndarray)]
    grid = grid_of([values for values, _ in dense], [mask for _, mask in dense]) if dense else np.empty(0)
    found: list[PixelTally | None] = []
    for image in images:
        if image.truth is None or isinstance(image.truth, PixelTally):
            found.append(image.truth)
        elif isinstance(image.truth, CellCounts):
            found.append(tally_cells(image.truth, image.values))
        else:
            found.append(tally_map(image.values, image.truth, grid))
    return found


def _tested(images: Sequence[Scored], tallies: Sequence[PixelTally | None]) -> CategoryImages:
    some = [tally for tally in tallies if tally is not None]
    return CategoryImages(
        np.array([image.label for image in images]),
        np.array([image.image_score or 0.0 for image in images]),
        some if len(some) == len(images) else None,
    )


def _range(images: Sequence[Scored], tallies: Sequence[PixelTally | None]) -> dict[str, list[float]]:
    """Bound the metrics: every missing answer entirely wrong, and every missing answer entirely right."""
    ends = []
    for right in (False, True):
        filled, pixels = [], []
        for image, tally in zip(images, tallies, strict=True):
            missing = image.image_score is None
            filled.append(replace(image, image_score=float(image.label == right)) if missing else image)
            pixels.append(_certain(image, right=right) if missing else tally)
        ends.append(measured(_tested(filled, pixels)))
    worst, best = ends
    return {name: [low, high] for name, low in worst.items() if low is not None and (high := best[name]) is not None}


def _certain(image: Scored, *, right: bool) -> PixelTally | None:
    """Tally a map that is the ground truth, or its opposite."""
    if image.truth is None:
        return None
    if isinstance(image.truth, CellCounts):
        normal, sizes = int(image.truth.normal.sum()), image.truth.component_sizes
        anomalous, regions = int(sizes.sum()), image.truth.n_components
    elif isinstance(image.truth, PixelTally):
        normal, anomalous = int(image.truth.normal.sum()), int(image.truth.anomalous.sum())
        regions = image.truth.n_regions
    else:
        anomalous, (_, regions) = int(image.truth.sum()), components(image.truth)
        normal = image.truth.size - anomalous
    order = 1 if right else -1
    columns = ([normal, 0], [0, anomalous], [0, regions])
    whole, defects, overlap = (np.array(column[::order]) for column in columns)
    return PixelTally(np.array([0.0, 1.0]), whole, defects, overlap.astype(np.float64), regions)


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
