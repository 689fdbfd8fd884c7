"""A category's images while they wait for their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.evaluate.held_maps import HeldMaps
from lvlm_ad.metrics import CellCounts
from lvlm_ad.metrics.histograms import (
    GrowingHistograms,
    ScoreHistogram,
    ScoreHistograms,
    grid_of,
    histogram_of_cells,
    histogram_of_map,
)
from lvlm_ad.metrics.ranking import Growing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Images", "Scored"]


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
