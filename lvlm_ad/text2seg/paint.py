"""Paint scores into regions, or shapes into an image: an anomaly map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.regions.regions import Regions
from lvlm_ad.regions.shapes import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.regions.shapes import Shape


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
    count = regions.count
    for number in scores:
        if not 1 <= number <= count:
            raise IndexError(f"There is no region {number}; the division has {count}.")
    painted = np.array([float(score > 0) if binary else score for score in scores.values()], np.float64)
    region, cell = np.nonzero(regions.membership[np.array(list(scores), np.intp) - 1])
    values = np.zeros(regions.n_cells)
    np.maximum.at(values, cell, painted[region])
    return ScoreMap(values=values, regions=regions)


def paint_shapes(shapes: Iterable[Shape], size: tuple[int, int], *, binary: bool = False) -> ScoreMap:
    """Give each pixel the highest score among the shapes that cover it; 0 where none does.

    Args:
        shapes: boxes, points, cells, polygons and masks; what lies outside the image is left out.
        size: (height, width) of the image.
        binary: paint 1 for every shape with a score above 0.

    Returns:
        The map. Its cells are the pixels of each score, so there are as few as possible.

    Raises:
        TypeError: a shape is a region, which has no pixels without its division; use ``paint``.

    Example:
        >>> from lvlm_ad.regions.shapes import Box
        >>> paint_shapes([Box(0, 0, 2, 1, 0.3), Box(1, 0, 3, 1, 0.7)], (1, 4)).dense()
        array([[0.3, 0.7, 0.7, 0. ]])
    """
    windows = []
    for shape in shapes:
        if isinstance(shape, Region):
            raise TypeError(f"Region {shape.number} has no pixels without its division; paint() takes one.")
        score = float(shape.score > 0) if binary else float(shape.score)
        if score > 0:
            windows.append((score, shape.window(*size)))
    levels = np.zeros(size, dtype=np.min_scalar_type(len(windows)))
    scores = sorted({score for score, _ in windows})
    numbers = {score: number for number, score in enumerate(scores, start=1)}
    # Higher scores are painted later, over lower ones.
    for score, window in sorted(windows, key=lambda one: one[0]):
        window.fill(levels, numbers[score])
    shown = np.flatnonzero(np.bincount(levels.ravel(), minlength=len(scores) + 1)[1:])
    # Scores that others hide everywhere have no pixel, so no cell.
    renumbered = np.zeros(len(scores) + 1, dtype=np.int32)
    renumbered[shown + 1] = np.arange(1, shown.size + 1)
    regions = Regions.from_labels(renumbered[levels])
    values = np.zeros(regions.n_cells)
    values[: shown.size] = np.array(scores)[shown]
    return ScoreMap(values=values, regions=regions)
