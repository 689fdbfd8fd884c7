"""From the predictions of a run to its metrics: per category, then the mean over categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lvlm_ad.metrics import CellCounts, PixelMetrics, image_metrics, pixel_metrics, pixel_metrics_from_counts
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Scored", "category_metrics", "summary"]

OnFailure = Literal["zero", "exclude"]


@dataclass(frozen=True, eq=False)
class Scored:
    """What the metrics need of one image.

    Attributes:
        label: True if anomalous.
        image_score: None where the answer holds none.
        values: float ``(C,)``, the score of each cell; or for a dense row the whole map ``(S, S)``.
        truth: for a row through the regions the counts of the ground truth, for a dense row the mask bool ``(S, S)``;
            None where there is no ground truth.
    """

    label: bool
    image_score: float | None
    values: NDArray[np.floating[Any]]
    truth: CellCounts | NDArray[np.bool_] | None


def category_metrics(images: Sequence[Scored], on_failure: OnFailure) -> dict[str, Any]:
    """Compute the seven metrics of one category.

    Args:
        images: its images.
        on_failure: "zero": an image without a score counts as "no anomaly reported", image score 0 and an empty map;
            "exclude": it is left out.

    Returns:
        The metrics by name (None if undefined), "n_images", "n_measured", "undefined" (name -> reason) and, where
        scores are missing, "range": metric -> [worst, best] over all that the missing answers could have been.
    """
    measured = [image for image in images if image.image_score is not None or on_failure == "zero"]
    labels = [image.label for image in measured]
    result: dict[str, Any] = dict.fromkeys(METRIC_NAMES)
    undefined: dict[str, str] = {}
    if measured:
        by_image = image_metrics(labels, [image.image_score or 0.0 for image in measured])
        for name in ("auroc", "ap", "f1_max"):
            result[f"image_{name}"] = getattr(by_image, name)
            if name in by_image.undefined:
                undefined[f"image_{name}"] = by_image.undefined[name]
        by_pixel, reason = _pixel(measured)
        for name in ("auroc", "ap", "f1_max", "aupro"):
            result[f"pixel_{name}"] = getattr(by_pixel, name) if by_pixel else None
            if by_pixel is None or name in by_pixel.undefined:
                undefined[f"pixel_{name}"] = by_pixel.undefined[name] if by_pixel else reason
        if by_pixel is not None:
            result["pixel_aupro_rescaled"] = by_pixel.aupro_rescaled
            result["pixels_at_lowest_score"] = by_pixel.lowest_fraction
    else:
        undefined = dict.fromkeys(METRIC_NAMES, "no image has a usable answer")
    if any(image.image_score is None for image in images) and result["image_auroc"] is not None:
        result["range"] = {"image_auroc": _image_auroc_range(images)}
    return {**result, "n_images": len(images), "n_measured": len(measured), "undefined": undefined}


def _pixel(images: Sequence[Scored]) -> tuple[PixelMetrics | None, str]:
    without = sum(image.truth is None for image in images)
    if without:
        return None, f"{without} of {len(images)} images have no ground-truth mask"
    counts = [image.truth for image in images if isinstance(image.truth, CellCounts)]
    if counts:
        return pixel_metrics_from_counts(counts, [image.values for image in images]), ""
    masks = [image.truth for image in images if isinstance(image.truth, np.ndarray)]
    return pixel_metrics(masks, [image.values for image in images]), ""


def _image_auroc_range(images: Sequence[Scored]) -> list[float | None]:
    """Bound the image AUROC: every missing answer entirely wrong, and every missing answer entirely right."""
    labels = [image.label for image in images]
    ends = []
    for right in (False, True):
        filled = [float(image.label == right) if image.image_score is None else image.image_score for image in images]
        ends.append(image_metrics(labels, filled).auroc)
    return ends


def summary(categories: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Average over the categories in which a metric is defined.

    Returns:
        The metrics by name, "n_images", "n_measured", "undefined" (name -> which categories are left out, or why there
        is no mean) and perhaps "range".
    """
    mean: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name in (*METRIC_NAMES, "pixel_aupro_rescaled"):
        defined = {category: found[name] for category, found in categories.items() if found.get(name) is not None}
        mean[name] = float(np.mean(list(defined.values()))) if defined else None
        absent = [category for category in categories if category not in defined]
        if absent and name in METRIC_NAMES:
            reason = categories[absent[0]]["undefined"][name]
            some = ", ".join([*absent[:5], *(["..."] if len(absent) > 5 else [])])  # noqa: PLR2004 - enough to see
            place = f"undefined in {len(absent)} of {len(categories)} categories ({some}): {reason}"
            undefined[name] = f"mean of the other {len(defined)}; {place}" if defined else place
    ranges = [found["range"]["image_auroc"] for found in categories.values() if "range" in found]
    if ranges and mean["image_auroc"] is not None:
        ends = [
            found["range"]["image_auroc"] if "range" in found else [found["image_auroc"]] * 2
            for found in categories.values()
            if found["image_auroc"] is not None
        ]
        mean["range"] = {"image_auroc": [float(np.mean([end[i] for end in ends])) for i in (0, 1)]}
    totals = {name: sum(found[name] for found in categories.values()) for name in ("n_images", "n_measured")}
    return {**mean, **totals, "undefined": undefined}


def answer_counts(statuses: Sequence[Status], usable: int) -> dict[str, int]:
    """Count the outcomes of a run."""
    found = Counter(statuses)
    return {"total": len(statuses), **{status: found[status] for status in get_args(Status)}, "usable": usable}
