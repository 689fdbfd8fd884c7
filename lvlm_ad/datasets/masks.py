"""Read ground-truth masks: which pixels of a mask file are defective."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["file_threshold", "read_mask", "resize_mask"]

_HIGHEST_ID = 32
"""A mask whose largest value is at most this holds defect ids (VisA: 1, 2, ...), not grey levels."""


def read_mask(path: Path, threshold: int | None = None) -> NDArray[np.bool_]:
    """Read a ground-truth mask.

    Args:
        path: the mask's file.
        threshold: a pixel is defective above this value; None: above 0 if no value exceeds 32 (defect ids, as in
            VisA), else above 127 (grey levels, JPEG noise).

    Returns:
        bool ``(H, W)``, True where defective.

    Raises:
        ImageError: the file is missing, damaged or too large.
    """
    values = _read_values(path)
    return np.asarray(values > (_choose_threshold(values) if threshold is None else threshold))


def file_threshold(path: Path) -> int:
    """Return the value above which a mask file's pixels count as defective if no threshold is given.

    Raises:
        ImageError: the file is missing, damaged or too large.
    """
    return _choose_threshold(_read_values(path))


def _choose_threshold(values: NDArray[Any]) -> int:
    return 0 if values.dtype == np.bool_ or int(values.max(initial=0)) <= _HIGHEST_ID else 127


def _read_values(path: Path) -> NDArray[Any]:
    """Read one value for each pixel of a mask file, ``(H, W)``."""
    image = decode(path)
    if image.mode == "P":
        return _palette_values(image)
    if len(image.getbands()) > 1:
        # A colour mask is defective where any channel is.
        return np.asarray(np.asarray(image.convert("RGB")).max(axis=2))
    return np.asarray(image)


def _palette_values(image: Image.Image) -> NDArray[np.uint8]:
    """Read a palette mask: its indices are defect ids, unless a tool has packed a grey picture into a palette.

    In a packed picture black may have any index; as a defect id black has index 0.
    """
    colours = np.asarray(image.convert("RGB"))
    is_grey = bool((colours == colours[:, :, :1]).all())
    first_colour = (image.getpalette("RGB") or [0, 0, 0])[:3]
    return colours[:, :, 0] if is_grey and any(first_colour) else np.asarray(image)


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Stretch a mask; each new pixel takes the value of one old pixel, as OpenCV's nearest-neighbour resizing does.

    Args:
        mask: bool ``(H, W)``.
        size: the new (height, width).

    Returns:
        bool ``size``; the mask itself if it already has that size.

    Example:
        >>> resize_mask(np.array([[True, False]]), (2, 4)).tolist()
        [[True, True, False, False], [True, True, False, False]]
    """
    height, width = mask.shape
    if (height, width) == size:
        return mask
    rows = (np.arange(size[0]) * height) // size[0]
    columns = (np.arange(size[1]) * width) // size[1]
    return mask[np.ix_(rows, columns)]
