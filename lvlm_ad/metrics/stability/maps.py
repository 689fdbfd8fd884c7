"""The same image mapped several times: how far its anomaly maps differ."""

from __future__ import annotations

from itertools import combinations, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.stability.measured import Measured, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["map_disagreement", "mean_map_disagreement"]


def map_disagreement(maps: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """Compute how far one image's maps differ: the mean |difference| of a pixel, over all pairs of maps.

    Args:
        maps: ``(R, n_cells)`` or ``(R, H, W)``, the map of each repeat. A map that is NaN is missing and left out.
        weights: ``(n_cells,)`` or ``(H, W)``, the area of each cell: the result then equals that of the painted maps.
            None: all alike.

    Returns:
        In the unit of the scores, exactly 0.0 for equal maps; None with fewer than two maps.

    Raises:
        MetricError: the shape of ``weights`` is not that of a map, or no weight is above 0.

    Example:
        >>> map_disagreement([[0.0, 1.0], [0.0, 0.5]]), map_disagreement([[0.0, 1.0], [0.0, 0.5]], weights=[3, 1])
        (0.25, 0.125)
    """
    stack = np.asarray(maps, dtype=np.float64)
    areas = np.ones(stack.shape[1:]) if weights is None else np.asarray(weights, dtype=np.float64)
    if areas.shape != stack.shape[1:] or not areas.sum() > 0:
        raise MetricError(
            f"Weights of shape {areas.shape} that sum to {areas.sum():g} do not belong to maps of shape "
            f"{stack.shape[1:]}; give the area of each cell."
        )
    complete = [one for one in stack if not np.isnan(one).any()]
    pairs = [float((np.abs(one - other) * areas).sum() / areas.sum()) for one, other in combinations(complete, 2)]
    return float(np.mean(pairs)) if pairs else None


def mean_map_disagreement(images: Sequence[ArrayLike], weights: Sequence[ArrayLike] = ()) -> Measured:
    """Compute the mean of ``map_disagreement`` over images, with Student's interval.

    Args:
        images: of each image its maps, see ``map_disagreement``; one with fewer than two maps is left out.
        weights: of each image its areas; empty: all cells alike.

    Returns:
        The interval starts at 0 at the lowest.

    Raises:
        MetricError: there are other numbers of weights than of images, or they do not belong to the maps.

    Example:
        >>> found = mean_map_disagreement([[[0.0, 1.0], [0.0, 0.5]], [[0.5, 0.5], [0.5, 0.5]]])
        >>> found.value, found.interval[0]
        (0.125, 0.0)
    """
    if weights and len(weights) != len(images):
        raise MetricError(f"There are {len(images)} images but areas of {len(weights)}; each image needs its own.")
    each = [map_disagreement(*one) for one in zip_longest(images, weights)]
    found = student(np.array([one for one in each if one is not None]))
    if found.interval is None:
        return found
    return Measured(found.value, (max(found.interval[0], 0.0), found.interval[1]))
