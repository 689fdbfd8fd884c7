"""How a picture is saved."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG of 256 colours, which keeps the file small.

    Chosen by coverage, the colours include those of thin lines. They are means of their pixels, which keeps
    large plain areas as they are.
    """
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=8).save(path, optimize=True)
