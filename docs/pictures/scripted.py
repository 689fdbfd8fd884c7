"""A scripted chat model for the pictures of the documentation. It is no real model.

It knows the images of a data set and their masks. It recognises the picture that it is shown, and answers from the mask
with errors of a known size. What is random depends on the picture and the question alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from PIL import Image

from lvlm_ad import load_dataset
from lvlm_ad.backend import Answer, BackendOptions, Capabilities, Request, Transport, Usage
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.regions import divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 64
_ENOUGH = 0.15
"""A region is named if more than this fraction of it is defective."""


class ScriptedOptions(BackendOptions):
    """What the model does besides knowing the truth."""

    model: str = "scripted, not a real model"
    """What tables and pages call it beside its name."""
    data: Annotated[Path, Transport] = Path("shop")
    """Folder of the demo data set whose images it knows."""
    sharpness: float = 0.3
    """How much higher it scores a large defect than none."""
    own: float = 0.12
    """Standard deviation of the error that an image has in every answer."""
    noise: float = 0.04
    """Standard deviation of the error that changes with each question."""
    missed: float = 0.2
    """Probability that it does not name a defective region."""
    invented: float = 0.2
    """Probability that it names a region without a defect."""
    refused: float = 0.0
    """Probability that it refuses."""
    pause: Annotated[float, Transport] = 0.0
    """Seconds before an answer."""


class Scripted:
    """Answers from the masks, with errors."""

    Options: ClassVar[type[BackendOptions]] = ScriptedOptions
    capabilities = Capabilities(concurrency=4)

    def __init__(self, options: ScriptedOptions | None = None) -> None:
        self.options = options or ScriptedOptions()

    def answer(self, request: Request) -> Answer:
        """Score the image, and name regions or boxes if the question asks for them."""
        options, text = self.options, request.text
        time.sleep(options.pause)
        usage = Usage(200 + sum(_tokens(picture.size) for picture in request.images), None, 25)
        if not request.images:
            return Answer("image anomaly score: 0.5.", usage=usage)
        known = _known(options.data)
        index, blur, side = known.find(request.images[-1].data)
        asked = (text, request.images[-1].digest, request.options.get("repeat", 0), options.sharpness)
        if _unit(asked, "refused") < options.refused:
            return Answer("I'm sorry, but I can't help with that.", "refused", usage=usage)
        mask = known.masks[index]
        # Small defects, small pictures and spoilt pictures are harder.
        seen = min(1.0, (mask.mean() / 0.01) ** 0.5) * min(1.0, side / 512) ** 0.5 / (1 + blur / 10)
        score = 0.4 + options.own * _normal(index, options.sharpness) + options.noise * _normal(asked)
        score = min(0.99, max(0.01, score + options.sharpness * seen))
        if '"box_2d"' in text:
            return Answer(self._boxes(mask, asked), usage=usage)
        if "Each region bears a number" not in text:
            return Answer(f"image anomaly score: {score:.2f}.", usage=usage)
        named = self._regions(known.fractions(index, side), score, asked)
        return Answer(f"image anomaly score: {score:.2f}{named}.", usage=usage)

    def _regions(self, fractions: NDArray[np.float64], score: float, asked: object) -> str:
        defective = [n for n, part in enumerate(fractions, start=1) if part > _ENOUGH]
        named = {n: score for n in defective if _unit(asked, n) >= self.options.missed}
        if _unit(asked, "invented") < self.options.invented:
            named.setdefault(1 + int(_unit(asked, "where") * fractions.size), 0.6 * score)
        return "".join(
            f"; region {n}: {min(0.99, max(0.01, one + 0.05 * _normal(asked, n))):.2f}"
            for n, one in sorted(named.items())
        )

    def _boxes(self, mask: NDArray[np.bool_], asked: object) -> str:
        boxes = []
        if mask.any() and _unit(asked) >= self.options.missed:
            rows, columns = np.nonzero(mask)
            edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            # The errors make a box too large by up to 15 of 1000.
            outward = (-1, -1, 1, 1)
            box = [
                round(1000 * int(edge) / mask.shape[0] + 15 * sign * _unit(asked, n))
                for n, (edge, sign) in enumerate(zip(edges, outward, strict=True))
            ]
            boxes.append({"box_2d": [min(1000, max(0, edge)) for edge in box], "label": "defect"})
        elif _unit(asked, "invented") < self.options.invented:
            boxes.append({"box_2d": [400, 400, 520, 540], "label": "stain"})
        return json.dumps(boxes)


class _Known:
    """The images of a data set: small grey copies, by which a picture is recognised, and masks."""

    def __init__(self, data: Path) -> None:
        self._samples = list(load_dataset("demo", data))
        self._copies = np.stack([_grey(Image.fromarray(sample.image)) for sample in self._samples])
        empty = np.zeros(self._samples[0].image.shape[:2], bool)
        self.masks = [empty if sample.mask is None else sample.mask > 0 for sample in self._samples]

    def find(self, data: bytes) -> tuple[int, float, int]:
        """Return which image a picture shows, how far its grey values differ, and its side in pixels."""
        with Image.open(io.BytesIO(data)) as picture:
            # The median leaves out marks, which cover less than half.
            differences = np.median(np.abs(self._copies - _grey(picture)), axis=1)
            return int(differences.argmin()), float(differences.min()), picture.size[0]

    @cache  # noqa: B019 - lives as long as the process
    def fractions(self, index: int, side: int) -> NDArray[np.float64]:
        """Return which fraction of each region is defective, with the default division at this size."""
        regions = divide(resize_image(self._samples[index].image, (side, side)))
        return regions.pool(resize_mask(self.masks[index], (side, side)))


@cache
def _known(data: Path) -> _Known:
    return _Known(data)


def _grey(picture: Image.Image) -> NDArray[np.float64]:
    small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    return np.asarray(small, float).mean(axis=2).ravel()


def _tokens(size: tuple[int, int] | None) -> int:
    return 1000 if size is None else size[0] * size[1] // 300


def _unit(*parts: object) -> float:
    """Return a number in 0..1 that looks random and depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big") / 2**56


def _normal(*parts: object) -> float:
    """Return a standard normal number that depends on the parts alone."""
    return float(np.sqrt(-2 * np.log(1 - _unit(*parts, "r"))) * np.cos(2 * np.pi * _unit(*parts, "a")))
