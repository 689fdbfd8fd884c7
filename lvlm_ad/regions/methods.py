"""The methods that divide an image into regions, with the published settings as defaults.

Published (Zhang et al., arXiv 2311.02612, and its code): images of 768 x 768 pixels; a grid of 16 x 16 cells, SLIC with
about 60 segments and compactness 20, or the masks of Segment Anything (ViT-H); regions of more than 600 and less than
120,000 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from lvlm_ad.datasets.images import as_rgb
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.presets import validated
from lvlm_ad.regions.regions import DivisionOptions, Regions
from lvlm_ad.regions.sam import SamOptions, divide_by_sam

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class GridOptions(DivisionOptions):
    """Options of the grid."""

    grid_rows: Annotated[int, Field(ge=1, le=255)] = 16
    """Rows of cells."""
    grid_columns: Annotated[int, Field(ge=1, le=255)] = 16
    """Columns of cells."""


class SuperpixelOptions(DivisionOptions):
    """Options of SLIC superpixels."""

    n_segments: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Approximate number of segments."""
    compactness: Annotated[float, Field(gt=0)] = 20.0
    """Weight of distance in space against distance in colour (Lab)."""


def _grid(image: NDArray[np.uint8], options: GridOptions) -> Regions:
    """Cut into rows x columns cells; if a side does not divide evenly, cells differ by one pixel and none is lost."""
    height, width = image.shape[:2]
    # A side of fewer pixels than cells has one cell for each pixel.
    rows, columns = min(options.grid_rows, height), min(options.grid_columns, width)
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return _kept(np.asarray(row[:, None] * columns + column[None, :] + 1, dtype=np.int64), options)


def _superpixel(image: NDArray[np.uint8], options: SuperpixelOptions) -> Regions:
    """Cut into SLIC superpixels, numbered in SLIC's label order."""
    from skimage.segmentation import slic  # noqa: PLC0415 - a stored division does not need this slow import

    if image.shape[0] * image.shape[1] <= options.n_segments:
        return _kept(np.arange(1, image.shape[0] * image.shape[1] + 1).reshape(image.shape[:2]), options)
    labels = slic(image, n_segments=options.n_segments, compactness=options.compactness, start_label=1)
    return _kept(np.asarray(labels, dtype=np.int64), options)


def _kept(labels: NDArray[np.int64], options: DivisionOptions) -> Regions:
    """Keep the regions of a partition whose area fits, renumbered from 1; label 0 is no region."""
    areas = np.bincount(labels.ravel())
    kept = options.fits(areas, labels.size)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    return Regions.from_labels(numbers[labels])


METHODS: dict[str, tuple[type[DivisionOptions], Callable[[NDArray[np.uint8], Any], Regions]]] = {
    "grid": (GridOptions, _grid),
    "sam": (SamOptions, divide_by_sam),
    "superpixel": (SuperpixelOptions, _superpixel),
}


def division_options(method: str, options: dict[str, Any]) -> DivisionOptions:
    """Check a method's name and options.

    Raises:
        ConfigError: the method or an option does not exist, or a value is out of range.

    Example:
        >>> division_options("grid", {"grid_rows": 8}).grid_columns
        16
    """
    if method not in METHODS:
        raise ConfigError(f"There is no division {method!r}.{nearest(method, METHODS)}")
    return validated(METHODS[method][0], options, f"division {method}")


def divide(image: NDArray[Any], method: str = "superpixel", **options: Any) -> Regions:
    """Divide an image into numbered regions; the same image and options give the same regions.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, see ``lvlm_ad.datasets.images.as_rgb``. It is divided at its own size; the
            published settings are for 768 x 768, and the area limits scale with the area.
        method: "superpixel", "grid" or "sam".
        **options: ``min_area``, ``max_area``; for grid ``grid_rows``, ``grid_columns``; for superpixel ``n_segments``,
            ``compactness``; for sam see ``lvlm_ad.regions.sam.SamOptions``.

    Returns:
        The regions within the area limits, numbered from 1 in the method's order; perhaps none.

    Raises:
        ConfigError: the method or an option is wrong, or the model of the sam division cannot be used.
        ImageError: the array is not an image.

    Example:
        >>> import numpy as np
        >>> divide(np.zeros((96, 96, 3), np.uint8), "grid", grid_rows=4, grid_columns=4).count
        16
    """
    checked = division_options(method, options)
    return METHODS[method][1](as_rgb(image), checked)
