"""Which defects are hit under each condition of a study, by their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.groups import SIZES
from lvlm_ad.metrics.hits import DefectHits, defect_hits, hit_rate
from lvlm_ad.studies.grounding_record import HitFigures
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.studies.maps import StudyMaps
    from lvlm_ad.studies.readings import Readings

__all__ = ["StudyHits"]


class StudyHits:
    """The hits of all conditions whose method names places.

    Defects are counted in the images' own pixels, so that all methods and sizes have the same ones: a defect that is
    lost when the image shrinks is missed.

    Args:
        readings: the answers.
        maps: the maps; where they are above 0 is named.
    """

    def __init__(self, readings: Readings, maps: StudyMaps) -> None:
        self._found: dict[int, list[DefectHits | None]] = {
            column: [] for column, places in enumerate(maps.places) if places
        }
        for image in range(len(readings.ids)):
            masks: dict[tuple[Path, ...], NDArray[np.bool_] | None] = {}
            painted = maps.painted(image, list(self._found))
            for column, score_map in zip(self._found, painted, strict=True):
                sample = readings.results[column].plan.dataset[image]
                if sample.mask_files not in masks:
                    masks[sample.mask_files] = sample.mask
                mask = masks[sample.mask_files]
                if score_map is None or mask is None:
                    self._found[column].append(None)
                    continue
                named = resize_mask(score_map.dense() > 0, (mask.shape[0], mask.shape[1]))
                self._found[column].append(defect_hits(named, mask))

    def rates(self, column: int) -> list[HitFigures]:
        """Return the hit rate of each size of defect that occurs, then of all; empty where no places are named."""
        found = [one for one in self._found.get(column, ()) if one is not None and one.hit.size]
        figures, low = [], 0.0
        for name, high in SIZES.items():
            figures.append(_rate(found, name, low, high))
            low = high
        return [*(one for one in figures if one.defects), *([_rate(found, "all", 0.0, np.inf)] if found else [])]

    def false_share(self, column: int) -> float | None:
        """Return the mean fraction of an image's normal pixels that named places cover; None without places."""
        shares = [one.false_share for one in self._found.get(column, ()) if one is not None]
        known = [one for one in shares if one is not None]
        return float(np.mean(known)) if known else None


def _rate(found: list[DefectHits], name: str, low: float, high: float) -> HitFigures:
    inside = [(one.shares >= low) & (one.shares < high) for one in found]
    defects = np.array([np.count_nonzero(chosen) for chosen in inside], dtype=np.float64)
    hits = np.array([np.count_nonzero(one.hit & chosen) for one, chosen in zip(found, inside, strict=True)])
    return HitFigures(
        size=name,
        defects=int(defects.sum()),
        images=int(np.count_nonzero(defects)),
        rate=Number.of(hit_rate(hits, defects)),
    )
