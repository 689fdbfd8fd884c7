"""The images of one category, collected one after another, until the category is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.evaluate.reported import NO_MAP, NO_THRESHOLD, group_names, limits_of
from lvlm_ad.metrics.binary import MapThreshold, count_binary_histogram
from lvlm_ad.metrics.exact import pixel_metrics_of_steps
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.named import at_limit, overlap_at_limits
from lvlm_ad.metrics.own_maps import PooledMaps
from lvlm_ad.runs import DEFAULT_FPR_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics import PixelMetrics
    from lvlm_ad.metrics.spro import Channels

__all__ = ["Images", "OwnChannels", "OwnMap"]

OwnMap = tuple["NDArray[np.floating[Any]]", "NDArray[np.bool_]"]
"""A baseline's anomaly map ``(H, W)``, and its mask, True where anomalous."""

OwnChannels = tuple["NDArray[np.floating[Any]]", "Channels"]
"""A baseline's anomaly map, at the size of the original picture, and the defects of that picture."""


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
        has_score: whether each image was asked about in a way that gives an image score; if not, it is left out.
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
        """Add an image with its histogram or its own map; with neither if it has no ground truth.

        The arguments are the elements of the attributes; ``own_channels`` stands for ``channels`` of an own map.
        """
        if own_map is not None:
            self._own_maps.add(*own_map)
            self._own_indices.append(len(self.labels))
        if own_channels is not None:
            scores, truth = own_channels
            self._own_channels.add_channels(scores, truth.masks, truth.saturations)
            self._own_channel_indices.append(len(self.labels))
        self.histograms.append(histogram)
        self.measures.append(measures or {})
        self.has_score.append(has_score)
        self.labels.append(label)
        self.scores.append(np.nan if image_score is None else image_score)
        self.kinds.append(kind)
        self.parts.append(part)
        self.channels.append(channels)
        self.cuts.append(cut)

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
