"""The anomaly maps of a study, as scores of cells with areas: what differences of maps are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.evaluate.divide import Divisions
from lvlm_ad.evaluate.painting import paint_places, shapes_of
from lvlm_ad.metrics.stability import mean_map_disagreement
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_cache
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lvlm_ad.regions import Regions
    from lvlm_ad.studies.readings import Readings
    from lvlm_ad.text2seg import ScoreMap

__all__ = ["MapDifferences", "StudyMaps", "common_cells"]


class StudyMaps:
    """Paints the map of any image under any condition from what the records keep.

    Args:
        readings: the records.
        divisions: of each condition.

    Attributes:
        images: how many images there are.
        places: the kind of place that each condition's method answers with; "" where it gives no map.
        sides: width and height of each condition's maps in pixels.
    """

    def __init__(self, readings: Readings, divisions: Sequence[Divisions]) -> None:
        self._readings, self._divisions = readings, divisions
        self.images = len(readings.ids)
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
        """Return the division of an image under a condition.

        Args:
            image: the image's row.
            column: the condition; its method needs regions.
        """
        return self._divisions[column].regions(self._readings.results[column].plan.dataset[image])

    def alike(self, column: int) -> list[int]:
        """Return the conditions whose maps have the size of a condition's maps; an empty list if it gives no map.

        Args:
            column: the condition.
        """
        if not self.places[column]:
            return []
        size = self.sides[column]
        return [at for at, side in enumerate(self.sides) if side == size and self.places[at]]

    def painted(self, image: int, columns: Sequence[int]) -> list[ScoreMap | None]:
        """Return an image's maps under some conditions.

        Args:
            image: the image's row.
            columns: the conditions; their methods give maps.

        Returns:
            Scores in 0..1 of each map's cells, in the order of the columns; None where the image has no answer.
        """
        known: dict[str, Regions] = {}
        maps: list[ScoreMap | None] = []
        for column in columns:
            record, plan = self._readings.records[column][image], self._readings.results[column].plan
            if record.image_score is None:
                maps.append(None)
                continue
            regions = None
            if record.division:
                # An image's division is most often the same under all conditions.
                if record.division not in known:
                    known[record.division] = self.regions(image, column)
                regions = known[record.division]
            binary = plan.protocol.binary
            maps.append(paint_places(shapes_of(record), regions, self.sides[column], binary=binary))
        return maps

    def cells(self, image: int, columns: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an image's maps under some conditions, on common cells.

        Args:
            image: the image's row.
            columns: conditions with maps of one size.

        Returns:
            Scores, float64 ``(len(columns), cells)`` in 0..1, NaN where the image has no answer; and the cells' areas
            in pixels, float64 ``(cells,)``.
        """
        return common_cells(self.painted(image, columns))


class MapDifferences:
    """How far the maps under some conditions differ; each map is painted once.

    Args:
        maps: the maps.
        base: the column of the condition that others are compared with.
    """

    def __init__(self, maps: StudyMaps, base: int = 0) -> None:
        self._has_maps, self._columns = bool(maps.places[base]), maps.alike(base)
        images = range(maps.images) if len(self._columns) > 1 else ()
        self._cells = [maps.cells(image, self._columns) for image in images]

    def between(self, columns: Sequence[int]) -> Number:
        """Compute the mean |difference| of a pixel's score over all pairs of some conditions, and over images.

        Images with an answer under fewer than two of the conditions are left out.

        Args:
            columns: the conditions, two or more.

        Returns:
            Without a value where there is no map, or where the maps do not have the pixels of the base's.
        """
        if not self._has_maps:
            return Number(value=None, reason="the method gives no map")
        if not set(columns) <= set(self._columns):
            return Number(value=None, reason="the maps have another size, so regions and pixels are not the same")
        rows = [self._columns.index(one) for one in columns]
        # An image without any answer has no cells.
        chosen = [(scores[rows], areas) for scores, areas in self._cells if areas.size]
        chosen = [(scores, areas) for scores, areas in chosen if np.count_nonzero(~np.isnan(scores[:, 0])) > 1]
        return Number.of(mean_map_disagreement([one for one, _ in chosen], [one for _, one in chosen]))


def common_cells(maps: Sequence[ScoreMap | None]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring maps of one size to common cells: the pieces into which the cells of all of them cut the image.

    Args:
        maps: the maps; None where one is missing.

    Returns:
        Scores, float64 ``(len(maps), cells)``, NaN for a missing map; and the cells' areas in pixels, float64
        ``(cells,)``.

    Example:
        >>> from lvlm_ad.regions import Regions
        >>> from lvlm_ad.text2seg import ScoreMap
        >>> left = ScoreMap(np.array([0.2, 0.7]), Regions.from_labels(np.array([[1, 2, 2, 2]])))
        >>> right = ScoreMap(np.array([0.0, 0.5]), Regions.from_labels(np.array([[1, 1, 2, 2]])))
        >>> [array.tolist() for array in common_cells([left, right])]
        [[[0.2, 0.7, 0.7], [0.0, 0.0, 0.5]], [1.0, 1.0, 2.0]]
    """
    known = [one.regions for one in maps if one is not None]
    if not known:
        return np.zeros((len(maps), 0)), np.zeros(0)
    cells = known[0].cells.ravel().astype(np.int64)
    for regions in known[1:]:
        if regions is not known[0]:
            joint = cells * regions.n_cells + regions.cells.ravel()
            cells = np.unique(joint, return_inverse=True)[1].ravel()
    _, first, areas = np.unique(cells, return_index=True, return_counts=True)
    missing = np.full(first.size, np.nan)
    scores = [missing if one is None else one.values[one.regions.cells.ravel()[first]] for one in maps]
    return np.array(scores), areas.astype(np.float64)
