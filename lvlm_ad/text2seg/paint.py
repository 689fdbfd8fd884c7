"""Paint scores into the regions: an anomaly map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.regions import Regions


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """An anomaly map that is constant on cells.

    Attributes:
        values: float64 ``(C,)`` in [0, 1], the score of each cell; higher is more anomalous.
        regions: the division whose cells these are.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.array([[1, 1, 2]]))
        >>> ScoreMap(values=np.array([0.2, 0.7]), regions=regions).dense()
        array([[0.2, 0.2, 0.7]])
    """

    values: NDArray[np.float64]
    regions: Regions

    def dense(self) -> NDArray[np.float64]:
        """Return the map as float64 ``(H, W)``."""
        return self.values[self.regions.cells]


def paint(scores: Mapping[int, float], regions: Regions, *, binary: bool = False) -> ScoreMap:
    """Give each cell the highest score among the regions that cover it; 0 where none does.

    Args:
        scores: region number (from 1) -> score in [0, 1]; other regions score 0.
        regions: the division.
        binary: paint 1 for every region with a score above 0, as the published code does.

    Returns:
        The map.

    Raises:
        IndexError: the division has no region of that number; ``parse`` never returns such a number.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.array([[1, 1, 2, 0]]))
        >>> paint({2: 0.7}, regions).dense()
        array([[0. , 0. , 0.7, 0. ]])
    """
    values = np.zeros(regions.n_cells)
    for number, score in scores.items():
        if not 1 <= number <= regions.count:
            raise IndexError(f"There is no region {number}; the division has {regions.count}.")
        value = float(score > 0) if binary else score
        np.maximum(values, np.where(regions.membership[number - 1], value, 0.0), out=values)
    return ScoreMap(values=values, regions=regions)
