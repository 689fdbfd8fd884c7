"""Local contrast: how much each place differs from the rest of its image; no weights, training or references."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from skimage.color import rgb2lab

from lvlm_ad.baseline import Baseline, DenseScores, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Contrast", "contrast_map"]

_SIDE = 256
"""Images are averaged down to this side: a third of 768, which removes noise but keeps a scratch."""

_GRID = 64
"""Places along a side, one every 4 working pixels. All pairs of places are compared: 4096 x 4096 distances."""

_PLACES = slice(_SIDE // _GRID // 2, None, _SIDE // _GRID)
"""The working pixels, along a side, where the places of the grid are."""

_PART = 64
"""Places in one matrix product with few columns."""

_AT_ONCE = 4
"""Places whose distances to all others are one matrix product. So small a product runs on one thread: the helpers of a
larger one would take processor time from the threads that score other images, even while they wait."""

_SCALES = (1.0, 2.0)
"""Standard deviations of the centre, in working pixels. The surround is twice as wide, which is also the next scale's
centre. Larger scales respond to the object's shape and illumination rather than to a defect."""

_NOISE = 1.0
"""Lab units that count as noise, about the least visible difference. Added to each feature's variance, so that sensor
noise on a plain surface is not amplified to an anomaly, and a constant image scores 0."""

_ALIKE = 1 / 40
"""A place is normal if this fraction of the image is similar, such as one of many screws, or a line of print."""

_OWN = 6
"""Places closer than this, in grid cells, are not compared: the filters make neighbours similar, and a defect of up to
about 9 % of the image's side would look normal beside itself."""

_GROUP = 8
"""Distances in one group; see ``_smallest``."""

_HALF = 2.0
"""Distance with a score of 0.5, in standard deviations of the image's features. The same for all images, so that their
scores can be ranked together."""

_TOP = 0.01
"""The image score is the mean over this fraction of the highest scores: a defect is small, but not a single pixel."""


def contrast_map(image: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
    """Score each place by its distance to the most similar places elsewhere in the image.

    Features are colour, centre-surround differences of colour (dark and bright spots) and strength of texture. Scores
    are not normalised by the image's minimum and maximum.

    Args:
        image: uint8 ``(H, W, 3)``, RGB, of any size.

    Returns:
        The image score in [0, 1], and the map, float32 ``(H, W)`` in [0, 1]; higher is more anomalous.
    """
    height, width = image.shape[:2]
    distance = _distance_to_alike(_whiten(_features(image)))
    # Squared, as a few strong pixels matter more than many weak ones: a defect fills only a part of its region.
    # Rounded, as the filters leave about 1e-7 even on a constant image.
    scores = np.round(distance**2 / (distance**2 + _HALF**2), 6).astype(np.float32)
    top = max(1, round(scores.size * _TOP))
    image_score = float(np.sort(scores, axis=None)[-top:].mean())
    dense = Image.fromarray(scores).resize((width, height), Image.Resampling.BILINEAR)
    return image_score, np.clip(np.asarray(dense), 0.0, 1.0)


def _features(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features of each place of the grid.

    Returns:
        float32 ``(_GRID * _GRID, 11)``, in Lab units: colour (3) and, per scale, centre-surround differences (3) and
        the strength of texture (1).
    """
    small = np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    # In Lab, equal distances look about equally different, whatever the colour.
    lab = rgb2lab(small.astype(np.float32) / np.float32(255)).astype(np.float32)
    lightness, *colours = np.ascontiguousarray(lab.transpose(2, 0, 1))
    sigmas = (*_SCALES, 2 * _SCALES[-1])
    # The strength of texture needs lightness at every pixel, everything else at the places of the grid alone.
    smooth = [_blur(lightness, sigma) for sigma in sigmas]
    smooth_at_places = [[plane[_PLACES, _PLACES] for plane in smooth]]
    smooth_at_places += [[_blur_at_places(colour, sigma) for sigma in sigmas] for colour in colours]
    parts = [channel[1] for channel in smooth_at_places]
    for at, scale in enumerate(_SCALES):
        parts += [channel[at] - channel[at + 1] for channel in smooth_at_places]
        # A texture has the same local strength everywhere, whatever its phase.
        parts.append(np.sqrt(_blur_at_places((smooth[at] - smooth[at + 1]) ** 2, 2 * scale)))
    return np.stack(parts, axis=-1).reshape(_GRID * _GRID, -1)


def _blur(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth float32 ``(H, W)``; sigma in pixels."""
    return np.asarray(gaussian_filter1d(gaussian_filter1d(plane, sigma, axis=0), sigma, axis=1))


def _blur_at_places(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return what ``_blur`` gives at the places of the grid, float32 ``(_GRID, _GRID)``."""
    rows = gaussian_filter1d(plane, sigma, axis=0)[_PLACES]
    return np.asarray(gaussian_filter1d(rows, sigma, axis=1)[:, _PLACES])


def _whiten(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale float32 ``(N, C)`` to standard deviations of the image (Mahalanobis distance).

    Features that vary all over the image, such as its texture, then count little; constant ones count much.
    """
    count, channels = features.shape
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    parts = centred.reshape(-1, _PART, channels)
    covariance = (parts.transpose(0, 2, 1) @ parts).sum(axis=0) / count + _NOISE**2 * np.eye(channels)
    # Divided by the root of C, so that a typical distance is about 1 for any number of features.
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)) / np.sqrt(channels)
    return np.asarray(parts @ whitening.T, dtype=np.float32).reshape(count, channels)


def _distance_to_alike(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each place's root mean squared distance to the most similar places, float32 ``(_GRID, _GRID)``."""
    count = len(features)
    # |a - b|^2 = |a|^2 - 2ab + |b|^2 is one product: of (|a|^2, 1, -2a) and (1, |b|^2, b).
    norms, ones = (features**2).sum(axis=1, keepdims=True), np.ones((count, 1), np.float32)
    owns = np.hstack([norms, ones, -2 * features]).reshape(_GRID, _GRID // _AT_ONCE, _AT_ONCE, -1)
    others = np.ascontiguousarray(np.hstack([ones, norms, features]).T)
    steps = np.arange(_GRID)
    near = np.abs(steps[:, None] - steps) < _OWN
    alike = round(count * _ALIKE)
    mean = np.empty((_GRID, _GRID), np.float32)
    squared = np.empty((_GRID, count), np.float32)
    # One row of places at a time: its distances stay in the processor's cache.
    for row, own in enumerate(owns):
        np.matmul(own, others, out=squared.reshape(_GRID // _AT_ONCE, _AT_ONCE, count))
        rows_near = slice(max(0, row - _OWN + 1), row + _OWN)
        np.copyto(squared.reshape(_GRID, _GRID, _GRID)[:, rows_near], np.inf, where=near[:, None])
        # Integers are sorted faster, and floats that are not negative have the order of their bits as integers.
        # A negative one, which comes from rounding, is smaller than these as an integer, too.
        bits = squared.view(np.int32)
        mean[row] = _smallest(bits, alike).view(np.float32).mean(axis=1)
    return np.sqrt(np.maximum(mean, 0))


def _smallest(rows: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the ``count`` smallest numbers of each row, ascending.

    Sorting whole rows would take most of a picture's time. So each row is split into groups. At least ``count``
    numbers, and seldom many more, are not above the ``count``-th smallest of the groups' minima: only these are sorted.
    A partition of them would take ten times as long where most are equal, as on a plain ground.
    """
    minima = np.sort(rows.reshape(len(rows), _GROUP, -1).min(axis=1), axis=1)
    is_small = rows <= minima[:, count - 1 : count]
    found = np.count_nonzero(is_small, axis=1)
    small = np.full((len(rows), found.max()), np.iinfo(np.int32).max, np.int32)
    small[np.arange(small.shape[1]) < found[:, None]] = rows[is_small]
    small.sort(axis=1)
    return small[:, :count]


class Contrast(Baseline):
    """Scores places by how much their colour and texture differ from the rest of their image.

    A model that does not beat this row is not worth its price.
    """

    reference_row = True

    def score(self, view: View) -> DenseScores:
        """Score one image from its pixels."""
        image_score, pixels = contrast_map(view.image)
        return DenseScores(image=image_score, map=pixels)
