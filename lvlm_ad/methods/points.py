"""Points: the model points at each defect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field
from scipy import ndimage

from lvlm_ad.methods.in_convention import InConvention, ScoredOptions, convention_of, sent_size
from lvlm_ad.methods.one_question import defects
from lvlm_ad.methods.wording import point_words
from lvlm_ad.regions.shapes import Point
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.places import read_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.methods.contract import MethodOptions, Places, View

__all__ = ["Points", "PointsOptions"]


class PointsOptions(ScoredOptions):
    """Options of ``Points``."""

    point_radius: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Radius of the disc that stands for a point in the map, as a fraction of the picture's shorter side."""


class Points(InConvention):
    """Asks for a point on each defect.

    A point is painted as a disc with its score, or with 1 if scores are not asked for.
    """

    Options: ClassVar[type[MethodOptions]] = PointsOptions
    prompt: ClassVar[str] = "points"
    placeholders: ClassVar[tuple[str, ...]] = ("point", "numbers")
    places: ClassVar[Places] = "points"

    def why_not_in(self, convention: Convention) -> str:
        """Say that a model's points are not documented, or have no scores though scores are asked for."""
        if convention.points is None:
            return "its points are not documented"
        if self.options.scored and not {"json", "tag"} & set(convention.forms):
            return "it writes points without scores"
        return ""

    def words(self, convention: Convention, size: tuple[int, int]) -> dict[str, str]:
        """Say how to write a point."""
        return point_words(convention, size)

    def read(self, answer: Answer, view: View) -> Finding:
        """Return the points."""
        size = sent_size(view)
        return read_points(answer, convention_of(view), size, scored=self.options.scored, radius=self._radius(view))

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:
        """Return the innermost pixel of each defect.

        If scores are asked for, the score of a point is the fraction of the pixels of its disc that are defective.
        """
        points = []
        for (rows, columns), own in defects(mask):
            depth = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
            x, y = columns.start + int(column) + 0.5, rows.start + int(row) + 0.5
            point = Point(x, y, 1.0, self._radius(view))
            if self.options.scored:
                point = Point(x, y, float(mask[point.mask(*mask.shape)].mean()), point.radius)
            points.append(point)
        return Finding(float(bool(points)), tuple(points))

    def _radius(self, view: View) -> float:
        return float(self.options.point_radius) * min(sent_size(view))
