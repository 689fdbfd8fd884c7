"""The anomaly maps of a study, as scores of cells with areas: what differences of maps are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.evaluate.divide import Divisions
from lvlm_ad.evaluate.painting import paint_places, shapes_of
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lvlm_ad.regions import Regions
    from lvlm_ad.studies.readings import Readings
    from lvlm_ad.text2seg import ScoreMap

__all__ = ["StudyMaps", "common_cells"]


class StudyMaps:
    """Paints the map of any image under any condition from what the records keep.

    Args:
        readings: the records.
        divisions: of each condition.

    Attributes:
        places: the kind of place that each condition's method answers with; "" where it gives no map.
        sides: width and height of each condition's maps in pixels.
    """

    def __init__(self, readings: Readings, divisions: Sequence[Divisions]) -> None:
        self._readings, self._divisions = readings, divisions
        plans = [one.plan for one in readings.results]
        self.places = tuple(plan.method.places for plan in plans)
        self.sides = tuple(plan.protocol.image_size for plan in plans)

    @classmethod
    @contextmanager
    def opened(cls, readings: Readings) -> Iterator[StudyMaps]:
        """Open the stored divisions of a study; every image was divided when its conditions ran."""
        folder = readings.results[0].plan.config.stores_folder
        with closing(open_cache(folder / "cache.sqlite")) as cache:
            store, divisions = DivisionStore(cache), []
            for result in readings.results:
                plan = replace(result.plan, dataset=replace(result.plan.dataset, cache=cache))
                divisions.append(Divisions(plan.divided, store))
            yield cls(readings, divisions)

    def regions(self, image: int, column: int) -> Regions:
        """Return the division of an image under a condition."""
        return self._divisions[column].regions(self._readings.results[column].plan.dataset[image])

    def comparable(self, columns: Sequence[int]) -> bool:
        """Whether the maps under some conditions have the same pixels: there are maps, all of one size."""
        return all(self.places[one] for one in columns) and len({self.sides[one] for one in columns}) == 1

    def cells(self, image: int, columns: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an image's maps under some conditions, on common cells.

        Args:
            image: the image's row.
            columns: conditions with maps of one size.

        Returns:
            Scores, float64 ``(R, cells)`` in 0..1, of the R conditions under which the image is answered; and the
            cells' areas in pixels, float64 ``(cells,)``.
        """
        known: dict[str, Regions] = {}
        maps: list[ScoreMap] = []
        for column in columns:
            record, plan = self._readings.records[column][image], self._readings.results[column].plan
            if record.image_score is None:
                continue
            regions = None
            if record.division:
                # An image's division is most often the same under all conditions.
                if record.division not in known:
                    known[record.division] = self.regions(image, column)
                regions = known[record.division]
            maps.append(paint_places(shapes_of(record), regions, self.sides[column], binary=plan.protocol.binary))
        return common_cells(maps)


def common_cells(maps: Sequence[ScoreMap]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring maps of one size to the coarsest cells on which all of them are constant.

    Returns:
        Scores, float64 ``(len(maps), cells)``, and the cells' areas in pixels, float64 ``(cells,)``.

    Example:
        >>> from lvlm_ad.regions import Regions
        >>> from lvlm_ad.text2seg import ScoreMap
        >>> left = ScoreMap(np.array([0.2, 0.7]), Regions.from_labels(np.array([[1, 2, 2, 2]])))
        >>> right = ScoreMap(np.array([0.0, 0.5]), Regions.from_labels(np.array([[1, 1, 2, 2]])))
        >>> [array.tolist() for array in common_cells([left, right])]
        [[[0.2, 0.7, 0.7], [0.0, 0.0, 0.5]], [1.0, 1.0, 2.0]]
    """
    if not maps:
        return np.zeros((0, 0)), np.zeros(0)
    cells = maps[0].regions.cells.ravel().astype(np.int64)
    for one in maps[1:]:
        if one.regions is not maps[0].regions:
            joint = cells * one.regions.n_cells + one.regions.cells.ravel()
            cells = np.unique(joint, return_inverse=True)[1].ravel()
    _, first, areas = np.unique(cells, return_index=True, return_counts=True)
    scores = np.array([one.values[one.regions.cells.ravel()[first]] for one in maps])
    return scores, areas.astype(np.float64)
