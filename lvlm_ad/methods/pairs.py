"""A flawless product and the product under inspection, side by side in one picture."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.combining import mean_of
from lvlm_ad.methods.contract import Conversation, MethodOptions, View
from lvlm_ad.methods.regions import NumberedRegions, read_regions, region_drawings, region_request, regions_of
from lvlm_ad.methods.wording import hash_of
from lvlm_ad.prompts import ReferencePool
from lvlm_ad.prompts.drawing import DRAWING_VERSION, Drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvlm_ad.backend import Picture
    from lvlm_ad.prompts.drawing import ImageFile, Images

__all__ = ["Pairs", "PairsOptions", "descriptor"]

_SIDES = (
    "The left half of {which} shows another product of the same kind, which is flawless, for comparison; the right "
    "half shows the product under inspection. Judge the right half only."
)
_PICTURES = {
    "image+marked": "There are two pictures. "
    + _SIDES.format(which="the first")
    + " The second shows the product under inspection again, with white borders and numbers.",
    "image+marks": "There are two pictures. "
    + _SIDES.format(which="the first")
    + " The second shows, on black, the white borders and numbers that belong on the product under inspection.",
    "marked": _SIDES.format(which="the picture"),
}
_UNMARKED = f"{_PICTURES['marked']} The borders and numbers of its regions are not drawn on it."
"""For ``visual=image``; apart from the others, whose hash older runs recorded."""

_GAP = 32
"""The bar between both halves is this fraction of their side."""
_CELLS = 16
"""Rows and columns of a descriptor's grid."""


class PairsOptions(MethodOptions):
    """Options of pairs."""

    pair_shots: Annotated[int, Field(ge=1, le=8)] = 1
    """How many reference images each image is compared with; each takes a question."""


class Pairs(NumberedRegions):
    """Shows a normal training image and the image with its marked regions side by side.

    The reference images are those that look most like the image, see ``descriptor``. With several, each is compared in
    a question of its own, all at once, and image score and scores of regions are means, as in ``votes``. A reference
    image is always a normal training image, never one of the test split, and never the image itself: each of the good
    images that set a threshold is compared with the others.

    Raises:
        ConfigError: a category has fewer normal training images than ``pair_shots``.
    """

    Options = PairsOptions
    needs_pool = True

    def __init__(self, options: MethodOptions | None = None) -> None:
        super().__init__(options)
        self._described: dict[str, tuple[Sequence[NDArray[np.uint8]], NDArray[np.float64]]] = {}
        self._describing = threading.Lock()

    def identity(self) -> dict[str, Any]:
        """Return the options, and the hash of the sentences that this method adds to the prompt."""
        return {**super().identity(), "sentences": hash_of(_PICTURES)}

    def inspect(self, view: View) -> Conversation:
        """Compare the image with each reference image."""
        regions = regions_of(view)
        pictures = _PICTURES.get(view.protocol.visual, _UNMARKED)
        request = region_request(view, text=view.text(n_regions=str(regions.count), pictures=pictures))
        before, first = len(view.references), region_drawings(view)[0]
        pairs = [view.picture(Beside(_reference(view, index), first)) for index in self._nearest(view)]
        answers = yield [
            replace(request, images=(*request.images[:before], pair, *request.images[before + 1 :])) for pair in pairs
        ]
        return mean_of([read_regions(answer, regions, view) for answer in answers])

    def most_questions(self, view: View) -> int:  # noqa: ARG002
        """Return how many questions an image takes."""
        return int(self.options.pair_shots)

    def _nearest(self, view: View) -> list[int]:
        """Return the indices in the pool of the images that look most like this one, the nearest first."""
        shots, order, distances = self.options.pair_shots, [], np.zeros(0)
        if len(view.pool):
            distances = ((self._descriptors(view) - _described(view.picture(Thumbnail()))) ** 2).sum(axis=1)
            order = [int(index) for index in np.argsort(distances, kind="stable")]
        # Only what looks alike is read.
        others = [index for index in order if distances[index] > 0 or not np.array_equal(view.pool[index], view.image)]
        if (known := len(others)) < shots:
            remedy = "Set a smaller pair_shots, or add images" if known else "Add images, or use another method"
            raise ConfigError(
                f"The method pairs compares each image with other normal training images (pair_shots={shots}), but "
                f"{view.category} has {known or 'none'}. {remedy}."
            )
        return others[:shots]

    def _descriptors(self, view: View) -> NDArray[np.float64]:
        """Describe a pool once: it is read as a whole."""
        with self._describing:
            pool, described = self._described.get(view.category, (None, np.empty(0)))
            if pool is not view.pool:
                described = _described_pool(view.pool)
                self._described[view.category] = view.pool, described
            return described


@dataclass(frozen=True, eq=False)
class Thumbnail(Drawing):
    """The image in 16 x 16 pixels, each the mean of its part of the image."""

    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the small image."""
        small = Image.fromarray(images.image).resize((_CELLS, _CELLS), Image.Resampling.BOX)
        return np.asarray(small)


@dataclass(frozen=True, eq=False)
class Beside(Drawing):
    """A reference image, and a picture of the image to the right of it.

    Attributes:
        reference: the reference image, or its pixels, uint8 ``(H, W, 3)``.
        picture: the other picture, of the same size.
    """

    reference: ImageFile | NDArray[np.uint8]
    picture: Drawing
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return both."""
        left = self.reference if isinstance(self.reference, np.ndarray) else self.reference.image
        return side_by_side(left, self.picture.draw(images))


def _reference(view: View, index: int) -> ImageFile | NDArray[np.uint8]:
    """Return an image of the pool; one of a bench is not read before it must be drawn."""
    return view.pool.pictures(index).image if isinstance(view.pool, ReferencePool) else view.pool[index]


def _described(picture: Picture) -> NDArray[np.float64]:
    """Return the descriptor of an image by its thumbnail, which is kept like any picture: no image need be read."""
    return np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"), dtype=np.float64).ravel()


def _described_pool(pool: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the descriptor of each image, float64 ``(n, 768)``."""
    if not isinstance(pool, ReferencePool):
        return np.stack([descriptor(image) for image in pool])
    return np.stack([_described(pool.pictures(index).picture(Thumbnail())) for index in range(len(pool))])


def descriptor(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe how an image looks: its mean colours in the cells of a 16 x 16 grid.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.

    Returns:
        float64 ``(768,)`` in [0, 255]; the smaller the Euclidean distance, the more alike are two images.

    Example:
        >>> float(descriptor(np.full((32, 32, 3), 7, np.uint8)).mean())
        7.0
    """
    small = Image.fromarray(image).resize((_CELLS, _CELLS), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def side_by_side(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join two images of the same size, with a black bar between them.

    Example:
        >>> side_by_side(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)).shape
        (64, 130, 3)
    """
    height, width = left.shape[:2]
    return np.hstack([left, np.zeros((height, max(width // _GAP, 1), 3), np.uint8), right])
