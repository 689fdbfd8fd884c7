"""Read the places in an answer: boxes, points, masks, cells.

A model writes places in the convention of its preset, which is never guessed from what it writes. An answer that cannot
be of it is flagged, and its places are not used.
"""

from lvlm_ad.text2seg.places.cells import read_cells
from lvlm_ad.text2seg.places.flags import FLAGS, HARMLESS
from lvlm_ad.text2seg.places.read import read_boxes, read_masks, read_points

__all__ = ["FLAGS", "HARMLESS", "read_boxes", "read_cells", "read_masks", "read_points"]
