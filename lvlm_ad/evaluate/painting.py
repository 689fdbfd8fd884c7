"""A finding's map, and what a record keeps of its places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Region, shape_to_json, shapes_from_json
from lvlm_ad.text2seg import paint, paint_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lvlm_ad.regions import Regions
    from lvlm_ad.regions.shapes import Shape
    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.text2seg import ScoreMap

__all__ = ["kept_places", "named_places", "paint_places", "scores_of_regions", "shapes_of"]


def paint_places(shapes: Sequence[Shape], regions: Regions | None, side: int, *, binary: bool = False) -> ScoreMap:
    """Paint a finding's places: the highest score of those that cover a pixel, 0 elsewhere.

    Args:
        shapes: the places.
        regions: the image's division; None: the image is not divided, and no place is a region.
        side: the image's side in pixels.
        binary: paint 1 for every place with a score above 0.

    Returns:
        The map. If the image is divided and all places are regions, its cells are those of the division.
    """
    numbered = [one for one in shapes if isinstance(one, Region)]
    if regions is not None and len(numbered) == len(shapes):
        return paint(scores_of_regions(shapes), regions, binary=binary)
    # Among other places a region is a mask like any other.
    masks = (
        [Mask(0, 0, regions.membership[one.number - 1][regions.cells], one.score) for one in numbered]
        if regions
        else []
    )
    return paint_shapes([*masks, *(one for one in shapes if not isinstance(one, Region))], (side, side), binary=binary)


def scores_of_regions(shapes: Iterable[Shape]) -> dict[int, float]:
    """Return region number -> score; the highest of a region that is named twice."""
    scores: dict[int, float] = {}
    for one in shapes:
        if isinstance(one, Region):
            scores[one.number] = max(one.score, scores.get(one.number, one.score))
    return scores


def kept_places(shapes: Iterable[Shape]) -> dict[str, Any]:
    """Return the fields of a record that keep the places."""
    shapes = list(shapes)
    others = [shape_to_json(one) for one in shapes if not isinstance(one, Region)]
    return {"regions": scores_of_regions(shapes), **({"shapes": others} if others else {})}


def named_places(record: PredictionRecord) -> list[tuple[str, float]]:
    """Return the places that a record keeps, the highest score first: what and where each is, and its score.

    Example:
        >>> from lvlm_ad.runs import PredictionRecord
        >>> shapes = [{"box": [10, 20, 30.5, 40], "score": 0.9}]
        >>> record = PredictionRecord(id="1", category="", label=False, defect="", image_score=0.9, shapes=shapes)
        >>> named_places(record)
        [('box(10,20,30.5,40)', 0.9)]
    """
    return sorted(((_name(one), one.score) for one in shapes_of(record)), key=lambda one: -one[1])


def _name(shape: Shape) -> str:
    if isinstance(shape, Region):
        return str(shape.number)
    if isinstance(shape, Cell):
        numbers: Sequence[float] = (shape.row, shape.column)
    elif isinstance(shape, Point):
        numbers = (shape.x, shape.y)
    elif isinstance(shape, Box):
        numbers = (shape.x1, shape.y1, shape.x2, shape.y2)
    elif isinstance(shape, Mask):
        height, width = shape.pixels.shape
        numbers = (shape.left, shape.top, shape.left + width, shape.top + height)
    else:
        columns, rows = zip(*shape.corners, strict=True)
        numbers = (min(columns), min(rows), max(columns), max(rows))
    return f"{type(shape).__name__.lower()}({','.join(f'{one:.5g}' for one in numbers)})"


def shapes_of(record: PredictionRecord) -> list[Shape]:
    """Return the places that a record keeps.

    Raises:
        ValueError: one is no shape; the record may be a stranger's.
    """
    regions: list[Shape] = [Region(number, score) for number, score in record.regions.items()]
    return [*regions, *shapes_from_json(record.shapes)]
