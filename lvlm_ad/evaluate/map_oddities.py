"""Oddities of the maps in a folder: all have the same maximum, or their shapes are not those of the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import image_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Sample

__all__ = ["MapOddities"]

_MIN_MAPS = 4
"""With fewer maps, all may have the same maximum by chance."""
_MIN_SHARE = 0.9
"""Share of the good maps, and of the others, that have the same maximum if each map was normalised by itself."""
_ALIKE = 1e-3
"""How far maxima may differ and count as the same, as a share of the range of all maps."""
_SAME_SHAPE = 1.2
"""Largest factor between two ratios of height to width that count as the same: small maps are rounded."""


class MapOddities:
    """Collects the highest scores and the shapes of maps."""

    def __init__(self) -> None:
        self._peaks: tuple[list[float], list[float]] = ([], [])
        self._lowest = np.inf
        self._stretched: list[str] = []

    def add(self, sample: Sample, values: NDArray[Any]) -> None:
        """Look at one map ``(H, W)``."""
        self._peaks[sample.label].append(float(values.max()))
        self._lowest = min(self._lowest, float(values.min()))
        height, width = image_size(sample.image_path)
        rows, columns = values.shape
        stretch = rows / columns * width / height
        # A model with square input gives a square map of any picture.
        if rows != columns and not 1 / _SAME_SHAPE < stretch < _SAME_SHAPE:
            self._stretched.append(f"{sample.id} (map {columns} x {rows}, picture {width} x {height})")

    def notes(self, *, peaks_count: bool) -> Iterator[str]:
        """Yield what a reader must know; ``peaks_count``: whether the image scores are the maxima of the maps."""
        all_peaks = [*self._peaks[0], *self._peaks[1]]
        if peaks_count and len(all_peaks) >= _MIN_MAPS:
            common = float(np.median(all_peaks))
            near = _ALIKE * (max(all_peaks) - self._lowest)
            if max(all_peaks) == self._lowest:
                yield f"all maps have the score {common:g} everywhere"
            elif all(_share(peaks, common, near) >= _MIN_SHARE for peaks in self._peaks if peaks):
                yield (
                    f"nearly all maps have the same highest score ({common:g}), as if each image had been normalised "
                    "by itself, so image scores taken from it mean nothing; give --image-scores, or maps on one scale"
                )
        if self._stretched:
            more = f" and {len(self._stretched) - 1} more" if len(self._stretched) > 1 else ""
            yield f"maps stretched from another shape than their picture's: {self._stretched[0]}{more}"


def _share(peaks: Sequence[float], common: float, near: float) -> float:
    return float(np.mean(np.abs(np.asarray(peaks) - common) <= near))
