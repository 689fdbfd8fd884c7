"""A model whose components are known: noise of asking, bias of a wording, of a number, of marks, blindness.

It reads from the colours of a picture which image it is and where its defect is; see ``conftest.py``. What it draws at
random depends on the question alone, so that the same question has the same answer.
"""

import hashlib
import io
import os
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from lvlm_ad.backend import Answer, BackendOptions, Capabilities, Usage

CELLS = 4
"""Rows and columns of blocks in a picture, and of regions."""


class ScriptedOptions(BackendOptions):
    """What the model does besides seeing the truth."""

    sharpness: float = 0.2
    """How much higher it scores an anomalous image than a good one, beside the image's own part."""
    own: float = 0.1
    """Standard deviation of what is the image's own."""
    noise: float = 0.0
    """Standard deviation of what is each question's own."""
    wording: float = 0.0
    """Standard deviation of an offset that each text has."""
    distraction: float = 0.0
    """What is added for each percent of the picture that marks cover."""
    points: bool = True
    """Whether it names the defective block, by its usual number whatever number is drawn there."""
    named: float = 0.0
    """Probability that it names the favourite number, whatever is there."""
    favourite: int = 3
    """The number that it names with this probability."""
    log: str = ""
    """A file that gets a line for each question, and when the model is built or closed."""
    refused: float = 0.0
    """Probability that it refuses a question."""
    refuses: bool = False
    """Whether it refuses every question."""
    down: str = ""
    """A file: while it is there, nobody answers."""
    counts: bool = True
    """Whether it reports its tokens."""
    pause: float = 0.0
    """Seconds before each answer."""
    model: str = ""
    """Its name, as of one of the models of a server; it changes nothing."""
    forbidden: str = ""
    """A text that makes the model fail for good."""


def unit(*parts):
    """Return a number in 0..1 that looks random and depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big") / 2**56


def normal(*parts):
    """Return a standard normal number that depends on the parts alone."""
    return float(np.sqrt(-2 * np.log(1 - unit(*parts, "r"))) * np.cos(2 * np.pi * unit(*parts, "a")))


class Scripted:
    """Sees the truth, and adds known errors."""

    Options: ClassVar[type[BackendOptions]] = ScriptedOptions
    capabilities = Capabilities(concurrency=2)

    def __init__(self, options=None):
        self.options = options or ScriptedOptions()
        self.write("built")

    def close(self):
        """Note that the model was closed."""
        self.write("closed")

    def write(self, line):
        """Append a line to the log, which is then on disk even if the process is killed."""
        if self.options.log:
            with Path(self.options.log).open("a") as file:
                file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())

    def answer(self, request):
        """Score the image, name its defective block and sometimes the favourite number."""
        from lvlm_ad.errors import FatalError, TransientError

        options = self.options
        if options.forbidden and options.forbidden in request.text:
            raise FatalError("this model does not take such a question")
        if options.down and Path(options.down).exists():
            raise TransientError("Connection refused")
        time.sleep(options.pause)
        if options.refuses:
            return Answer("I'm sorry, but I can't help with that.", usage=Usage(1000, None, 20))
        index, defect, ink = seen(request.images[-1])
        repeat = request.options.get("repeat", 0)
        asked = (request.text, request.images[-1].digest, repeat)
        if unit(asked, "refused") < options.refused:
            return Answer("I'm sorry, but I can't help with that.", usage=Usage(1000, None, 20))
        score = 0.4 + options.own * normal(index) + options.noise * normal(asked)
        score += options.sharpness * (defect is not None) + options.wording * normal(request.text)
        score = min(1.0, max(0.0, score + options.distraction * ink))
        named = {defect: 0.8} if options.points and defect is not None else {}
        if unit(asked, "named") < options.named:
            named[options.favourite] = 0.7
        self.write(f"{index} {repeat} {hashlib.sha256(repr(asked).encode()).hexdigest()}")
        regions = "".join(f"; region {number}: {one:.2f}" for number, one in named.items())
        usage = Usage(1000, None, 20) if options.counts else Usage(None, None, None)
        return Answer(f"image anomaly score: {score:.4f}{regions}.", usage=usage)


class Local(Scripted):
    """The same on this machine, so that its tokens cost nothing."""

    billed = False


def seen(picture):
    """Return an image's number, the number of its defective block in the usual order or None, and percent of marks."""
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")).astype(int)
    side = pixels.shape[0] // CELLS
    at = [(row * side + side // 5, column * side + side // 5) for row in range(CELLS) for column in range(CELLS)]
    blocks = [pixels[row, column] for row, column in at]
    defects = [number for number, block in enumerate(blocks, start=1) if block[0] > 150]
    plain = (pixels[:, :, 2] == 100) & ((pixels[:, :, 0] == 60) | (pixels[:, :, 0] == 200))
    return int(blocks[0][1]), (defects[0] if defects else None), 100 * (1 - plain.mean())
