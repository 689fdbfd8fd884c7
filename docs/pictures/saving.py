"""How a picture is saved."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG of 256 colours, which keeps the file small; chosen by coverage, they include those of thin lines."""
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
