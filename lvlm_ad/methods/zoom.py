"""Coarse to fine: ask about the image's regions first, then about crops of the most suspicious ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from lvlm_ad.methods.combining import with_notes
from lvlm_ad.methods.contract import Conversation, MethodOptions, View
from lvlm_ad.methods.crops import Enlarged, Window, split
from lvlm_ad.methods.regions import NumberedRegions, read_regions, region_request, regions_of
from lvlm_ad.methods.wording import hash_of
from lvlm_ad.regions import Regions
from lvlm_ad.regions.shapes import Mask, Region, Shape
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvlm_ad.backend import Request

__all__ = ["Zoom", "ZoomOptions"]

_SURROUNDINGS = " What lies around the numbered regions is shown for comparison only."
_PICTURES = {
    "image+marked": (
        "There are two pictures of the same part of the product, enlarged: the first as it is, the second with white "
        f"borders and numbers.{_SURROUNDINGS}"
    ),
    "image+marks": (
        "There are two pictures: the first shows a part of the product under inspection, enlarged, the second shows, "
        f"on black, the white borders and numbers that belong on the first.{_SURROUNDINGS}"
    ),
    "marked": f"The picture shows a part of the product under inspection, enlarged.{_SURROUNDINGS}",
}
_UNMARKED = (
    "The picture shows a part of the product under inspection, enlarged. The borders and numbers of its regions are "
    f"not drawn on it.{_SURROUNDINGS}"
)
"""For ``visual=image``; apart from the others, whose hash older runs recorded."""


def _score_range(value: object) -> str:
    """Read "0.2-0.8", or "0.2" for "0.2-1"."""
    low, dash, high = str(value).partition("-")
    try:
        ends = float(low), float(high) if dash else 1.0
    except ValueError:
        ends = (1.0, 0.0)
    if not 0 <= ends[0] <= ends[1] <= 1:
        raise ValueError("give a range of scores from 0 to 1, such as 0.2-0.8, or the least score, such as 0.2")
    return f"{ends[0]:g}-{ends[1]:g}"


class ZoomOptions(MethodOptions):
    """Options of zoom."""

    zoom_budget: Annotated[int, Field(ge=1)] = 4
    """At most this many closer looks per image; each is a question about one region."""
    zoom_when: Annotated[str, BeforeValidator(_score_range)] = "0-1"
    """Look closer only where the first image score lies in this range, such as 0.2-0.8; 0.2 alone stands for 0.2-1."""
    zoom_pieces: Annotated[int, Field(ge=2, le=64)] = 16
    """A closer look divides its region into this many pieces of about the same area."""
    zoom_margin: Annotated[float, Field(ge=0, le=4)] = 0.25
    """How much of its surroundings a closer look shows, as a fraction of the region's longer side, on each side."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A closer look at a region.

    Attributes:
        window: what it shows of the image.
        pieces: the pieces of the region, within the window.
    """

    window: Window
    pieces: Regions

    def shapes(self, scores: Sequence[Region]) -> list[Shape]:
        """Return the pieces of the image that these numbers stand for, with their scores."""
        shapes: list[Shape] = []
        for piece in scores:
            inside = self.pieces.membership[piece.number - 1][self.pieces.cells]
            rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
            pixels = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            shapes.append(Mask(self.window.left + int(columns[0]), self.window.top + int(rows[0]), pixels, piece.score))
        return shapes


class Zoom(NumberedRegions):
    """Asks about numbered regions, then looks closer at the most suspicious ones.

    1. The first look is the question of the method ``regions``, so its stored answers are used.
    2. The closer looks, all at once: the ``zoom_budget`` regions with the highest score; among equal scores those with
       the highest variance of colour, then the lowest number. Each is cut out of the image's own pixels, with a
       margin, stretched to the size of the first picture, and divided into ``zoom_pieces`` numbered pieces.
    3. A usable closer look replaces the first look's score of its region by the scores of the pieces. The image score
       is the highest of the image scores of the closer looks and of the scores of regions not looked at. Without a
       usable closer look, the first look stands.
    """

    Options = ZoomOptions

    def identity(self) -> dict[str, Any]:
        """Return the options, and the hash of the sentences that this method adds to the prompt."""
        return {**super().identity(), "sentences": hash_of(_PICTURES)}

    def inspect(self, view: View) -> Conversation:
        """Ask about the regions, then about the most suspicious ones."""
        first = yield from super().inspect(view)
        numbers = self._suspicious(view, first)
        if not numbers:
            return first
        looks = {number: self._look(view, number) for number in numbers}
        answers = yield [self._question(view, look) for look in looks.values()]
        closer = {
            number: read_regions(answer, look.pieces, view)
            for (number, look), answer in zip(looks.items(), answers, strict=True)
        }
        usable = {number: finding for number, finding in closer.items() if finding.usable}
        found = _combined(first, {number: (looks[number], finding) for number, finding in usable.items()})
        names = {f"Closer look at region {number}": finding for number, finding in closer.items()}
        return with_notes(found, {"First look": first, **names})

    def most_questions(self, view: View) -> int:
        """Return how many questions an image takes at most; without closer looks, see ``zoom_when``, it is one."""
        return 1 + min(int(self.options.zoom_budget), regions_of(view).count)

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:
        """Return the share of defective pixels: of the pieces of each region looked at, and of the other regions."""
        first = super().best_finding(view, mask)
        closer = {}
        for number in self._suspicious(view, first):
            look = self._look(view, number)
            shares = enumerate(look.pieces.pool(look.window.cut(mask)).tolist(), start=1)
            defective = tuple(Region(piece, share) for piece, share in shares if share)
            closer[number] = look, Finding(first.image, defective)
        return _combined(first, closer)

    def _suspicious(self, view: View, first: Finding) -> list[int]:
        """Return the numbers of the regions that deserve a closer look, the most suspicious first."""
        low, high = map(float, self.options.zoom_when.split("-"))
        if first.image is None or not low <= first.image <= high:
            return []
        regions = regions_of(view)
        scores = {shape.number: shape.score for shape in first.shapes if isinstance(shape, Region)}
        channels = view.image.astype(np.float64).transpose(2, 0, 1)
        # Rounded, so that what is equal stays equal on every machine.
        contrast = np.round(sum(regions.pool(one**2) - regions.pool(one) ** 2 for one in channels), 3).tolist()
        order = sorted(
            range(1, regions.count + 1), key=lambda number: (-scores.get(number, 0.0), -contrast[number - 1], number)
        )
        return order[: self.options.zoom_budget]

    def _look(self, view: View, number: int) -> _Look:
        regions = regions_of(view)
        inside = regions.membership[number - 1][regions.cells]
        window = Window.around(inside, self.options.zoom_margin)
        return _Look(window, Regions.from_labels(split(window.cut(inside), self.options.zoom_pieces)))

    def _question(self, view: View, look: _Look) -> Request:
        text = view.text(n_regions=str(look.pieces.count), pictures=_PICTURES.get(view.protocol.visual, _UNMARKED))
        enlarged = Enlarged(look.window, view.size[0])
        return region_request(view, image=enlarged, regions=look.pieces, text=text)


def _combined(first: Finding, closer: dict[int, tuple[_Look, Finding]]) -> Finding:
    """Replace the scores of regions that were looked at closer."""
    if not closer:
        return Finding(first.image, first.shapes)
    kept = [shape for shape in first.shapes if not (isinstance(shape, Region) and shape.number in closer)]
    finer = [
        shape
        for look, finding in closer.values()
        for shape in look.shapes([piece for piece in finding.shapes if isinstance(piece, Region)])
    ]
    images = [finding.image for _, finding in closer.values() if finding.image is not None]
    return Finding(max([*images, *(shape.score for shape in kept)]), (*kept, *finer))
