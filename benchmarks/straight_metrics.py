"""The seven metrics once more, from their definitions, threshold by threshold: slow, and without the package's code."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["drawn_maps", "image_values", "pixel_values"]


def image_values(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return AUROC, average precision and F1-max, each in 0..1; equal scores have one threshold.

    Args:
        labels: ``(N,)``, whether each image is anomalous; both kinds are there.
        scores: float64 ``(N,)``.
    """
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    precision, best, before = 0.0, 0.0, 0
    for at in np.unique(scores)[::-1]:
        true, false = int((positive >= at).sum()), int((negative >= at).sum())
        precision += (true - before) / len(positive) * true / (true + false)
        best = max(best, 2 * true / (len(positive) + true + false))
        before = true
    return float(wins), precision, best


def pixel_values(
    masks: NDArray[np.bool_], maps: NDArray[np.float64], limit: float = 0.3
) -> tuple[float, float, float, float]:
    """Return AUROC, average precision, F1-max, and AUPRO up to a false-positive rate.

    AUPRO is the area under the mean overlap with the 8-connected regions of the masks (Bergmann et al., IJCV 2021),
    divided by the limit.

    Args:
        masks: ``(N, H, W)``, whether each pixel is defective; both kinds are there.
        maps: float64 ``(N, H, W)``; pixels with equal scores have one threshold.
        limit: the highest false-positive rate, in 0..1.
    """
    regions = []
    for mask, scores in zip(masks, maps, strict=True):
        numbers = label(mask, connectivity=2)
        regions += [scores[numbers == number] for number in range(1, int(numbers.max()) + 1)]
    normal = maps[~masks]
    points = [(0.0, 0.0)]
    for at in np.unique(maps)[::-1]:
        overlap = float(np.mean([(region >= at).mean() for region in regions]))
        points.append((float((normal >= at).mean()), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        right = min(x1, limit)
        if right > x0:
            area += (right - x0) * (2 * y0 + (y1 - y0) * (right - x0) / (x1 - x0)) / 2
    return (*image_values(masks.ravel(), maps.ravel()), area / limit)


def drawn_maps() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draw masks of six images, two of them without a defect, and maps with many equal scores; ``(6, 24, 24)`` each."""
    draw = np.random.default_rng(0)
    masks = np.zeros((6, 24, 24), dtype=np.bool_)
    for number in range(2, 6):
        masks[number, 3 : 6 + number, 4:10] = True
        masks[number, 16:19, 12 : 14 + number] = True
    return masks, np.round(draw.random(masks.shape) * 0.7 + 0.3 * masks, 2)
