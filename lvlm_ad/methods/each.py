"""One region, one question: a crop of each region, scored by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field
from scipy.ndimage import binary_dilation

from lvlm_ad.backend import Request
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.methods.combining import with_notes
from lvlm_ad.methods.contract import Conversation, Method, MethodOptions, View
from lvlm_ad.methods.crops import Window
from lvlm_ad.methods.regions import regions_of
from lvlm_ad.prompts.drawing import DRAWING_VERSION, Drawing
from lvlm_ad.regions.shapes import Region
from lvlm_ad.text2seg import read
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.prompts.drawing import Images
    from lvlm_ad.regions import Regions

__all__ = ["EachOptions", "EachRegion"]


class EachOptions(MethodOptions):
    """Options of each."""

    each_size: Annotated[int, Field(ge=28, le=8192)] = 448
    """Side of the crops in pixels."""
    each_margin: Annotated[float, Field(ge=0, le=4)] = 0.5
    """How much of its surroundings a crop shows, as a fraction of the region's longer side, on each side."""


class EachRegion(Method):
    """Asks about each region by itself, so that the model need not read numbers.

    Each region is cut out of the image's own pixels, with a margin, and a white line encloses it. Its score is the
    answer's image score; the image score is the highest of all. All questions of an image may be asked at once. An
    image without regions is asked about as a whole.
    """

    Options = EachOptions
    prompt = "each"

    def inspect(self, view: View) -> Conversation:
        """Ask about each region."""
        regions = regions_of(view)
        answers = yield [self._question(view, number) for number in (range(1, regions.count + 1) or (None,))]
        findings = [Finding.of(read(answer, 0, view.protocol.scoring)) for answer in answers]
        scores = {number: each.image for number, each in enumerate(findings, start=1) if each.image is not None}
        shapes = [Region(number, score) for number, score in scores.items()] if regions.count else []
        found = Finding(max(scores.values(), default=None), tuple(shapes))
        return with_notes(found, {f"Region {number}": each for number, each in enumerate(findings, start=1)})

    def most_questions(self, view: View) -> int:
        """Return how many questions an image takes."""
        return max(regions_of(view).count, 1)

    def is_usable(self, answer: Answer, view: View) -> bool:  # noqa: ARG002
        """Return whether an answer gives a score."""
        scores = read(answer, 0)
        return scores.usable and scores.status != "truncated"

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:
        """Return the share of defective pixels of each region."""
        regions = regions_of(view)
        shares = regions.pool(mask).tolist() if regions.count else []
        named = tuple(Region(number, share) for number, share in enumerate(shares, start=1) if share)
        return Finding(max(shares, default=float(mask.any())), named)

    def _question(self, view: View, number: int | None) -> Request:
        size, margin, border = self.options.each_size, self.options.each_margin, view.protocol.border_width
        picture = view.picture(Enclosed(regions_of(view), number, size, margin, max(border, 1)))
        # The published format, without regions.
        return Request((*view.references, picture), view.text(), {"format": view.format, "n_regions": 0})


@dataclass(frozen=True, eq=False)
class Enclosed(Drawing):
    """A region, cut out of the image's own pixels and enclosed by a white line.

    Attributes:
        regions: the image's division.
        number: the region; None: the whole image.
        side: side of the picture.
        margin: room on each side of the region, as a fraction of the region's longer side.
        width: width of the line in pixels.
    """

    regions: Regions
    number: int | None
    side: int
    margin: float
    width: int
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the region with its surroundings."""
        cells, membership = self.regions.cells, self.regions.membership
        inside = np.ones(cells.shape, np.bool_) if self.number is None else membership[self.number - 1][cells]
        window = Window.around(inside, self.margin)
        picture = window.picture(images.original, self.side).copy()
        shown = resize_mask(window.cut(inside), (self.side, self.side))
        # Around the region, so that it hides none of it.
        picture[binary_dilation(shown, iterations=self.width) & ~shown] = 255
        return picture
