"""A category's images, collected one by one, and their metrics, intervals and ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.evaluate.held_maps import HeldMaps
from lvlm_ad.metrics import CellCounts, PixelMetrics, image_metrics, pixel_metrics
from lvlm_ad.metrics.counts import pixel_metrics_from_histograms
from lvlm_ad.metrics.histograms import (
    GrowingHistograms,
    ScoreHistogram,
    ScoreHistograms,
    grid_of,
    histogram_of_cells,
    histogram_of_map,
)
from lvlm_ad.metrics.intervals import CategoryImages, draws_of, measured
from lvlm_ad.metrics.ranking import Growing
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.metrics.bootstrap import BootstrapSamples

__all__ = ["CategoryResult", "Images", "Scored", "measure_category"]

OnFailure = Literal["zero", "exclude"]


@dataclass(frozen=True, eq=False)
class Scored:
    """What the metrics need of one image.

    Attributes:
        label: True if anomalous.
        image_score: None where the answer holds none; each image of a dense row has one.
        values: float ``(C,)``, the score of each cell; or for a dense row the whole map ``(S, S)``.
        truth: for a row through the regions the counts of the ground truth, for a dense row the mask bool ``(S, S)``;
            of a finished run, whose map is gone, the histogram that was kept, and ``values`` is not looked at; None where
            there is no ground truth.
    """

    label: bool
    image_score: float | None
    values: NDArray[np.floating[Any]]
    truth: CellCounts | NDArray[np.bool_] | ScoreHistogram | None


class Images:
    """A category's images, held small: the label, the score and the histogram of each. Of a dense row the maps stay.

    Args:
        images: what to hold; more can be added.
        folder: where maps go that are too many for memory; see ``HeldMaps``.

    Attributes:
        held: the maps of a dense row.
    """

    def __init__(self, images: Iterable[Scored] = (), folder: Path | None = None) -> None:
        self._labels, self._scores, self._histograms = Growing(np.bool_), Growing(np.float64), GrowingHistograms()
        self.held = HeldMaps(folder)
        self._dense: set[int] = set()
        for image in images:
            self.add(image)

    def add(self, image: Scored) -> None:
        """Add an image.

        Raises:
            RunError: its map cannot be kept.
        """
        if isinstance(image.truth, np.ndarray):
            self.held.add(image.values, image.truth)
            self._dense.add(len(self))
            self._histograms.add(None)
        elif isinstance(image.truth, CellCounts):
            self._histograms.add(histogram_of_cells(image.truth, image.values))
        else:
            self._histograms.add(image.truth)
        self._labels.add(np.array([image.label]))
        self._scores.add(np.array([np.nan if image.image_score is None else image.image_score]))

    def settle(self, scores: Sequence[float]) -> None:
        """Give each image another score."""
        self._scores.values[:] = scores

    def __len__(self) -> int:
        return int(self._labels.values.size)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Bool ``(n,)``, True if anomalous."""
        return self._labels.values

    @property
    def scores(self) -> NDArray[np.float64]:
        """Float64 ``(n,)``, the image scores; NaN where there is none."""
        return self._scores.values

    def histograms(self) -> ScoreHistograms:
        """Tally each image's pixels: exactly where maps are constant on cells, else on a grid that fits the maps."""
        histograms = self._histograms.histograms()
        if not self._dense:
            return histograms
        maps, masks = self.held.maps, self.held.masks
        grid = grid_of(maps, masks)
        of_maps = (histogram_of_map(values, mask, grid) for values, mask in zip(maps, masks, strict=True))
        return ScoreHistograms.of(
            next(of_maps) if at in self._dense else histogram for at, histogram in enumerate(histograms)
        )


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
