"""Cuts one image and counts its mask: the same, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import ImageError
from lvlm_ad.metrics import count_cells
from lvlm_ad.regions import StoredDivision, divide

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample

__all__ = ["Cutting"]


@dataclass(frozen=True)
class Cutting:
    """How the images of a data set are cut.

    Attributes:
        method: the division's name.
        options: its options, defaults filled in.
        side: of the square that images are stretched to, in pixels.
        in_one_process: whether one process should cut many images, because it holds a model.
        hashes: sample id -> SHA-256 (hex) of its image file and of its mask file ("" without one).
    """

    method: str
    options: Mapping[str, Any]
    side: int
    in_one_process: bool
    hashes: Mapping[str, tuple[str, str]]

    def cut(self, sample: Sample) -> StoredDivision | str:
        """Return an image's division; a text says what is wrong with its files."""
        return cut(sample, self.method, self.options, self.side)


def cut(sample: Sample, method: str, options: Mapping[str, Any], side: int) -> StoredDivision | str:
    """Cut one image and count its mask; a text says what is wrong with its files.

    Args:
        sample: the image.
        method: the division's name.
        options: its options.
        side: of the square that images are stretched to, in pixels.
    """
    size = (side, side)
    try:
        regions = divide(resize_image(sample.image, size), method, **options)
        mask = sample.mask
    except ImageError as error:
        return str(error)
    counts = None
    if mask is not None:
        counts = count_cells(regions.cells, resize_mask(mask, size), regions.n_cells).to_arrays()
    return StoredDivision.pack(regions, counts)
