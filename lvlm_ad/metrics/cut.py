"""The task of dividing one image and counting its ground truth, as worker processes do it.

Here, because a worker imports what its task's module imports: ``evaluate`` would take a second of each worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.metrics.histograms import components, count_cells
from lvlm_ad.regions import StoredDivision, divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Sample
    from lvlm_ad.regions import Regions

__all__ = ["Cut", "count_lost", "count_truth"]


@dataclass(frozen=True)
class Cut:
    """Divide one image and count its ground truth; a task for an engine."""

    method: str
    options: Mapping[str, Any]
    side: int

    def load(self, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Read a sample's image and mask."""
        return sample.image, sample.mask

    def run(self, loaded: tuple[NDArray[np.uint8], NDArray[np.bool_] | None]) -> StoredDivision:
        """Divide the image and count its ground truth."""
        image, mask = loaded
        size = (self.side, self.side)
        regions = divide(resize_image(image, size), self.method, **self.options)
        return StoredDivision.pack(regions, None if mask is None else count_truth(regions, mask, size))


def count_truth(regions: Regions, mask: NDArray[np.bool_], size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Count the pixels of a mask in each region at a size, and its defect regions that are lost at that size."""
    counts = count_cells(regions.cells, resize_mask(mask, size), regions.n_cells).to_arrays()
    return {**counts, "lost": np.array(count_lost(mask, size))}


def count_lost(mask: NDArray[np.bool_], size: tuple[int, int]) -> tuple[int, int]:
    """Count a mask's 8-connected regions, and those that have no pixel left at another size.

    Example:
        >>> count_lost(np.array([[True, False, False, True]]), (1, 2))
        (2, 1)
    """
    regions, count = components(mask)
    pixels = np.bincount(resize_mask(regions, size).ravel(), minlength=count + 1)
    return count, int(np.count_nonzero(pixels[1:] == 0))
