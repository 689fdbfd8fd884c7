"""A model whose grounding is known: what it cannot see, what distracts it, what it remembers, what it knows by name.

It sees red pixels. Blocks of the picture's right half show the number of the image in their green, so a mirrored image
shows none where the model looks; see ``test_grounding.py``.
"""

import hashlib
import io
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from lvlm_ad.backend import Answer, BackendOptions, Capabilities, Usage

CELLS = 4
"""Rows and columns of regions."""


class Options(BackendOptions):
    """What the model does besides seeing red."""

    blind: float = 0.0
    """It sees no red that covers less of the picture than this share."""
    pixels: int = 0
    """It sees no red with fewer pixels than this."""
    noise: float = 0.0
    """Standard deviation of each image's score; the same image has the same in every question."""
    distraction: float = 0.0
    """What it adds to the score of a picture with marks, on average; each image has between half and 1.5 times that."""
    wrong: float = 0.0
    """Probability that it names another region in place of the right one."""
    remembers: bool = False
    """Whether it knows images by their number, and does not look."""
    counts: bool = False
    """Whether it scores a question without a picture by the number of regions that the text mentions."""
    word: str = ""
    """It sees nothing unless the question has this word."""
    log: str = ""
    """A file that gets a line for each question."""
    pause: float = 0.0
    """Seconds before each answer."""


class Grounded:
    """Sees red, with known errors."""

    Options: ClassVar[type[BackendOptions]] = Options
    capabilities = Capabilities(concurrency=2)

    def __init__(self, options=None):
        self.options = options or Options()

    def answer(self, request):
        """Score the picture and name the places with red."""
        time.sleep(self.options.pause)
        if self.options.log:
            asked = repr([request.text, [one.digest for one in request.images]])
            with Path(self.options.log).open("a") as file:
                file.write(f"{hashlib.sha256(asked.encode()).hexdigest()} asked\n")
        score, red, number = self._look(request)
        places = [] if red is None else self._places(request, red, number)
        text = "; ".join([f"image anomaly score: {score:.4f}", *places])
        return Answer(f"{text}.", usage=Usage(1000, None, 20))

    def _look(self, request):
        """Return the score, where red is seen (None: nowhere), and the image's number."""
        options = self.options
        if not request.images:
            return (request.options["n_regions"] / 100 if options.counts else 0.5), None, 0
        pixels = np.asarray(Image.open(io.BytesIO(request.images[-1].data)).convert("RGB")).astype(int)
        side = pixels.shape[0]
        number = int(pixels[side // 40, -side // 40 - 1, 1])
        red = (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 100) & (pixels[:, :, 2] < 150)
        seen = red.mean() >= max(options.blind, 1e-9) and red.sum() >= options.pixels
        if options.word and options.word not in request.text:
            seen = False
        if options.remembers:
            seen = number % 2 == 1
        marked = ((pixels > 240).all(axis=2) | (pixels < 15).all(axis=2)).any()
        score = (
            0.3
            + 0.3 * seen
            + options.noise * _normal(number)
            + options.distraction * (0.5 + _unit(number, "marks")) * marked
        )
        return min(1.0, max(0.0, score)), red if seen else None, number

    def _places(self, request, red, number):
        """Return the places with red as the question wants them."""
        if "cells" in request.text and "row" in request.text:
            rows, columns = np.nonzero(_blocks(red, 8))
            return [f"{'ABCDEFGH'[column]}{row + 1}: 0.8" for row, column in zip(rows, columns, strict=True)]
        if not request.options.get("n_regions"):
            return []
        named = {CELLS * row + column + 1 for row, column in zip(*np.nonzero(_blocks(red, CELLS)), strict=True)}
        if _unit(number, "wrong") < self.options.wrong:
            named = {one % CELLS**2 + 1 for one in named}
        return [f"region {one}: 0.8" for one in sorted(named) if one <= request.options["n_regions"]]


def _blocks(red, count):
    side = red.shape[0] // count
    return red[: side * count, : side * count].reshape(count, side, count, side).any(axis=(1, 3))


def _unit(*parts):
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big") / 2**56


def _normal(number):
    return float(np.sqrt(-2 * np.log(1 - _unit(number, "r"))) * np.cos(2 * np.pi * _unit(number, "a")))
