"""How much each place stands out in its own image: no weights, no training, no reference images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.linalg import solve_triangular
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from lvlm_ad.baseline import Baseline, DenseScores, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Contrast", "contrast_map"]

_SIDE = 256
"""Images are averaged down to this square: of 768 pixels three become one, which removes noise but keeps a scratch."""

_GRID = 64
"""Places along a side; one every 4 working pixels. All pairs of places are compared: 4096 x 4096 distances."""

_SCALES = (1.0, 2.0)
"""Standard deviations, in working pixels, of what counts as the centre; its surround is twice as wide. Larger scales
see the shape of the object and its illumination rather than a defect."""

_NOISE = 1.0
"""Differences of about one Lab unit, the least that the eye can tell, are noise. Added to each feature's spread, so
that sensor noise on a plain ground is not stretched into an anomaly, and a constant image scores 0."""

_ALIKE = 1 / 40
"""A place is ordinary if this fraction of the image is like it. So is one of many screws, or a line of print."""

_OWN = 6
"""Places nearer than this, in grid cells, do not vouch for one another: the filters make neighbours alike, and a defect
of up to about 9 % of the image's side would vouch for itself."""

_HALF = 2.0
"""The distance, in standard deviations of the image's own features, that scores 0.5. Fixed, never taken from the
image, so that scores of different images can be ranked together."""

_TOP = 0.01
"""The image score is the mean of the map over this fraction: a defect is small, and one pixel is not a defect."""


def contrast_map(image: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
    """Score each place by how few others in the same image look like it.

    Places are described by colour, by centre-surround differences of colour (dark and bright spots) and by the strength
    of texture; the score is the distance to the nearest places elsewhere in the image. Nothing is normalised by the
    image's own extremes.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, of any size.

    Returns:
        The image score in [0, 1], and the map, float32 ``(H, W)`` in [0, 1]; higher is more anomalous.
    """
    height, width = image.shape[:2]
    distance = _distance_to_alike(_whiten(_features(image)))
    # The square weights a few strong pixels above many weak ones: a defect fills only a part of its region. Rounded,
    # for the filters leave traces of about 1e-7 even on a constant image.
    scores = np.round(distance**2 / (distance**2 + _HALF**2), 6).astype(np.float32)
    top = max(1, round(scores.size * _TOP))
    image_score = float(np.sort(scores, axis=None)[-top:].mean())
    dense = Image.fromarray(scores).resize((width, height), Image.Resampling.BILINEAR)
    return image_score, np.clip(np.asarray(dense), 0.0, 1.0)


def _features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe each place of the grid.

    Returns:
        float32 ``(_GRID * _GRID, 11)``, in Lab units: colour (3) and, per scale, centre-surround differences (3) and
        the strength of texture (1).
    """
    small = np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    # In Lab, equal distances look about equally different, whatever the colour.
    lab = rgb2lab(small.astype(np.float32) / np.float32(255)).astype(np.float32)
    parts = [_blur(lab, 2.0)]
    for scale in _SCALES:
        spots = _blur(lab, scale) - _blur(lab, 2 * scale)
        # The local strength, whatever the sign, is what a texture has in common where its phase differs.
        strength = np.sqrt(_blur(spots[:, :, :1] ** 2, 2 * scale))
        parts += [spots, strength]
    step = _SIDE // _GRID
    features = np.dstack(parts)[step // 2 :: step, step // 2 :: step]
    return features.reshape(_GRID * _GRID, -1)


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth each channel of float32 ``(H, W, C)`` alone; sigma in pixels."""
    return np.asarray(gaussian_filter(values, (sigma, sigma, 0)), dtype=np.float32)


def _whiten(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale float32 ``(N, C)`` so that distances count in standard deviations of the image itself (Mahalanobis).

    What varies all over the image (its texture, its shading) counts little, what is otherwise constant counts much.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    channels = features.shape[1]
    covariance = centred.T @ centred / len(centred) + _NOISE**2 * np.eye(channels)
    white = solve_triangular(np.linalg.cholesky(covariance), centred.T, lower=True).T
    # Divided by the root of C, a typical distance is about 1 however many features there are.
    return np.asarray(white / np.sqrt(channels), dtype=np.float32)


def _distance_to_alike(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each place's root mean squared distance to the places most like it, float32 ``(_GRID, _GRID)``."""
    norms = (features**2).sum(axis=1)
    squared = norms[:, None] + norms[None, :] - 2 * features @ features.T
    steps = np.arange(_GRID)
    near = np.abs(steps[:, None] - steps[None, :]) < _OWN
    by_place = squared.reshape(_GRID, _GRID, _GRID, _GRID)
    by_place[near[:, None, :, None] & near[None, :, None, :]] = np.inf
    alike = round(len(features) * _ALIKE)
    squared.partition(alike, axis=1)
    mean = np.maximum(squared[:, :alike].mean(axis=1), 0)
    return np.asarray(np.sqrt(mean), dtype=np.float32).reshape(_GRID, _GRID)


class Contrast(Baseline):
    """How much each place's colour and texture stand out in its own image.

    A model that does not beat this row is not worth its price.
    """

    reference_row = True

    def score(self, view: View) -> DenseScores:
        """Score one image from its own pixels alone."""
        image_score, pixels = contrast_map(view.image)
        return DenseScores(image=image_score, map=pixels)
