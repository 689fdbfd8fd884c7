"""How many independent images a share of images is worth, where several images show the same object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["effective_images"]


def effective_images(hits: ArrayLike, objects: ArrayLike) -> float:
    """Return the effective number of images of a share (Korn and Graubard, Survey Methodology 24:193-201, 1998).

    Pictures of a part under several lights, or its views, resemble one another. The share varies between objects; the
    effective number is that of independent images with the same variance, reduced for few objects.

    Args:
        hits: bool ``(n,)``, which images count.
        objects: int ``(n,)``, the number of each image's object.

    Returns:
        At least 1 and at most n; the number of objects if all images count or none; 0 without images.

    Example:
        >>> effective_images([True, True, False, False] * 5, np.repeat(np.arange(10), 2)) < 10
        True
        >>> effective_images([True, True, True], [0, 0, 1])
        2.0
    """
    found = np.asarray(hits, dtype=np.bool_)
    if not found.size:
        return 0.0
    _, members = np.unique(objects, return_inverse=True)
    images, share = np.bincount(members), float(found.mean())
    n_objects = images.size
    if share in {0.0, 1.0} or n_objects == 1:
        return float(n_objects)
    residuals = np.bincount(members, found) - share * images
    variance = float(residuals @ residuals) * n_objects / (n_objects - 1) / found.size**2
    if variance <= 0:
        return float(found.size)
    few = (stdtrit(found.size - 1, 0.975) / stdtrit(n_objects - 1, 0.975)) ** 2
    return float(np.clip(share * (1 - share) / variance * few, 1.0, found.size))
