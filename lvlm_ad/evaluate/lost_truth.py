"""The ground truth that is not measured: masks without a defective pixel, and defects that vanish when resized.

Masks are resized as in the published code, so that numbers are comparable: each pixel takes the value of one old pixel,
and a defect between these pixels is lost. lvlm-ad does not restore it: the resized image may not show it either, and
numbers would differ from those of the published code. Notes say what is lost, and how to measure it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["LostTruth"]


@dataclass
class LostTruth:
    """Collects the lost ground truth, image by image.

    Attributes:
        size: height and width at which masks are measured, for messages; empty: each image's own.
        larger: a sentence that says how to measure at a larger size.
    """

    size: str
    larger: str
    _regions: int = 0
    _lost: int = 0
    _thinned: list[str] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)
    _empty: list[str] = field(default_factory=list)

    def add(self, image: str, regions: int, lost: int) -> None:
        """Add the image of a defect: its id, the number of regions in its mask, and how many of them are lost."""
        self._regions += regions
        self._lost += lost
        if not regions:
            self._empty.append(image)
        elif lost:
            (self._gone if lost == regions else self._thinned).append(image)

    def notes(self) -> Iterator[str]:
        """Yield what the user should know."""
        if self._empty:
            yield (
                f"The mask of a defect has no defective pixel in {_named(self._empty)}: all pixels count as normal. "
                "Correct such masks, or say what their values mean with --mask-threshold or --mask-values."
            )
        if self._lost:
            gone = f" Of {_named(self._gone)} no defective pixel is left: all count as normal." if self._gone else ""
            yield (
                f"{self._lost} of {self._regions} defect regions are lost when masks are resized to {self.size}, from "
                f"{_named([*self._gone, *self._thinned])}; pixel metrics do not count them.{gone} {self.larger}"
            )


def _named(images: list[str]) -> str:
    return f"{len(images)} images (the first is {images[0]})" if len(images) > 1 else f"1 image ({images[0]})"
