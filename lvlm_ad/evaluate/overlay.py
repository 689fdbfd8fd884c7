"""A picture with its suspicious regions: tinted by score, and outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import resize_image, resize_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["overlay"]

_LARGEST_SIDE = 768
_TINT, _OUTLINE = np.array([255.0, 60.0, 0.0]), (255, 0, 200)
_OPACITY = 0.45
"""Of the tint where the score is 1; it falls with the score."""
_LINE = 1 / 256
"""Width of the outline as a share of the longer side."""


def overlay(image: NDArray[np.uint8], values: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw an anomaly map on its picture.

    Orange is the stronger the higher the score. A magenta line surrounds what scores at least half as high as the
    map's highest place.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.
        values: real ``(h, w)`` in [0, 1], the map; it is stretched to the picture.

    Returns:
        uint8 ``(H', W', 3)`` in the picture's shape, at most 768 pixels wide or high.

    Example:
        >>> picture = overlay(np.zeros((90, 60, 3), np.uint8), np.array([[0.0, 1.0]]))
        >>> picture.shape, picture[45, 10].tolist(), picture[45, 50].tolist()
        ((90, 60, 3), [0, 0, 0], [115, 27, 0])
    """
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    scale = min(1.0, _LARGEST_SIDE / max(image.shape[:2]))
    size = (max(1, round(scale * image.shape[0])), max(1, round(scale * image.shape[1])))
    picture, scores = resize_image(image, size), resize_mask(values, size)
    opacity = _OPACITY * np.clip(scores, 0.0, 1.0)[:, :, None]
    drawn: NDArray[np.uint8] = np.rint((1 - opacity) * picture + opacity * _TINT).astype(np.uint8)
    highest = float(scores.max())
    if highest > 0:
        suspicious = scores >= highest / 2
        width = max(1, round(max(size) * _LINE))
        line = binary_dilation(suspicious, np.ones((3, 3), dtype=bool), iterations=width) & ~suspicious
        drawn[line] = _OUTLINE
    return drawn
