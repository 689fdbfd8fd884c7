"""Numbered regions: the image with borders and numbers drawn on it, and a score for each number. The default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.backend import Request
from lvlm_ad.methods.contract import Method
from lvlm_ad.methods.numbering import numbering_of, with_usual_numbers
from lvlm_ad.prompts import MarkStyle, answer_schema
from lvlm_ad.prompts.drawing import WHOLE, Marked, Pixels
from lvlm_ad.text2seg import parse, read, write
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.methods.contract import Conversation, View
    from lvlm_ad.presets import Protocol
    from lvlm_ad.prompts.drawing import Drawing
    from lvlm_ad.regions import Regions

__all__ = [
    "NumberedRegions",
    "numbering_of",
    "read_regions",
    "region_drawings",
    "region_request",
    "regions_of",
    "with_usual_numbers",
]


class NumberedRegions(Method):
    """One question about the picture with its regions marked; the answer names regions by number.

    Prompt, pictures and marks are the protocol's.
    """

    prompt = ""
    placeholders = ("n_regions", "pictures")

    def inspect(self, view: View) -> Conversation:
        """Ask once."""
        regions = regions_of(view)
        numbers = numbering_of(regions, view.protocol.numbering)
        answer = yield region_request(view, numbers=numbers)
        return with_usual_numbers(read_regions(answer, regions, view), numbers)

    def most_pictures(self, protocol: Protocol) -> int:
        """Return how many pictures the question shows."""
        return protocol.shots + (1 if protocol.visual in {"marked", "image"} else 2)

    def is_usable(self, answer: Answer, view: View) -> bool:
        """Return whether an answer gives scores and was not cut off."""
        scores = read(answer, regions_of(view).count)
        return scores.usable and scores.status != "truncated"

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:
        """Return the fraction of each region that is defective, written and read as an answer.

        Among all maps that are constant on regions, it has the highest pixel AUROC (Neyman-Pearson lemma).
        """
        regions = regions_of(view)
        pooled = regions.pool(mask.astype(np.float64)).tolist()
        text = write(float(mask.any()), {number: score for number, score in enumerate(pooled, start=1) if score > 0})
        return Finding.of(parse(text, regions.count))


def region_drawings(
    view: View, image: Drawing | None = None, regions: Regions | None = None, numbers: tuple[int, ...] = ()
) -> list[Drawing]:
    """Return the pictures that ``visual`` names, the marked one, if there is one, last.

    Args:
        view: the image.
        image: the picture to mark; None: the image at the protocol's size.
        regions: the regions to mark; None: the view's.
        numbers: the regions in the order in which the picture numbers them; empty: their own.
    """
    visual, whole = view.protocol.visual, WHOLE if image is None else image
    if visual == "image":
        return [whole]
    regions = regions_of(view) if regions is None else regions
    marked = Marked(regions, MarkStyle.of(view.protocol), whole, visual == "image+marks", numbers)
    return [marked] if visual == "marked" else [whole, marked]


def region_request(
    view: View,
    *,
    image: Drawing | NDArray[np.uint8] | None = None,
    regions: Regions | None = None,
    numbers: tuple[int, ...] = (),
    text: str | None = None,
    format: Literal["text", "json"] | None = None,  # noqa: A002 - as in the question's options
) -> Request:
    """Write a question about numbered regions: reference images, then the pictures that ``visual`` names.

    Args:
        view: the image.
        image: the picture to mark, or its pixels, uint8 ``(h, w, 3)``; None: the view's image.
        regions: the regions to mark; None: the view's.
        numbers: the regions in the order in which the picture numbers them; empty: their own.
        text: the question; None: the view's prompt, filled.
        format: the format of the answer; None: the view's.
    """
    regions, format = regions_of(view) if regions is None else regions, format or view.format  # noqa: A001
    asked: dict[str, Any] = {"format": format, "n_regions": regions.count}
    if format == "json" and view.model.capabilities.schema:
        asked["schema"] = answer_schema(regions.count)
    drawn = Pixels(image) if isinstance(image, np.ndarray) else image
    return Request(
        images=(*view.references, *map(view.picture, region_drawings(view, drawn, regions, numbers))),
        text=view.text(n_regions=str(regions.count)) if text is None else text,
        options=asked,
    )


def read_regions(answer: Answer, regions: Regions, view: View) -> Finding:
    """Read the scores of numbered regions from an answer.

    Args:
        answer: the answer.
        regions: the regions that the question marked.
        view: the image; its protocol says whether scores are expected values.
    """
    return Finding.of(read(answer, regions.count, view.protocol.scoring))


def regions_of(view: View) -> Regions:
    """Return the regions of an image that is divided."""
    if view.regions is None:
        raise ValueError("numbered regions need an image that is divided; needs_regions must be True")
    return view.regions
