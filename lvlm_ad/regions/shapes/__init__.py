"""Places in an image to which a model gives a score: regions by number, boxes, points, cells, polygons, masks.

Coordinates are pixels of the image that the model was shown, from its upper left corner: ``x`` to the right, ``y``
down. A pixel belongs to a shape if the shape holds its centre.
"""

from lvlm_ad.regions.shapes.as_json import shape_from_json, shape_to_json, shapes_from_json
from lvlm_ad.regions.shapes.places import Box, Cell, Mask, Place, Point, Polygon, Region, Shape

__all__ = [
    "Box",
    "Cell",
    "Mask",
    "Place",
    "Point",
    "Polygon",
    "Region",
    "Shape",
    "shape_from_json",
    "shape_to_json",
    "shapes_from_json",
]
