"""PNG files written in a fraction of the processor time that Pillow takes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["png_bytes"]

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""From the number of channels to the format's code (PNG specification, 11.2.1)."""
_OF_PALETTE = 3
"""The code of a file whose pixels are numbers of colours."""
_UP = 2
"""The filter that stores each byte less the one above it (PNG specification, 9.2)."""
_RGB = 3
_TWO_COLOURS = 6
"""Bytes of a palette whose colours have numbers of one bit."""


def png_bytes(pixels: NDArray[np.uint8], palette: bytes = b"", transparent: int | None = None) -> bytes:
    """Write an image as PNG.

    Pillow tries five filters on each row. With one filter for all, a file is at most a sixth larger (measured on
    photographs, textures, drawings and noise). RGB whose channels are equal everywhere becomes a grey file: half the
    time, and a third fewer bytes (measured on grey photographs with marks). Whoever reads it converts it to RGB.

    Args:
        pixels: uint8 ``(H, W)``, or ``(H, W, C)`` with C of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
        palette: three bytes, RGB, of each colour that the numbers ``(H, W)`` stand for; empty: the pixels are colours.
        transparent: the number of the palette's colour that is transparent; None: all are opaque.

    Example:
        >>> png_bytes(np.zeros((2, 3, 3), np.uint8))[1:4]
        b'PNG'
    """
    if pixels.ndim == _RGB and pixels.shape[2] == _RGB and _is_grey(pixels):
        pixels = pixels[:, :, 0]
    height, width, channels = pixels.shape if pixels.ndim > 2 else (*pixels.shape, 1)  # noqa: PLR2004
    depth = 1 if palette and len(palette) <= _TWO_COLOURS else 8
    rows = pixels.reshape(height, width * channels) if depth > 1 else np.packbits(pixels, axis=1)
    filtered = np.empty((height, 1 + rows.shape[1]), dtype=np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    deflate = isal_zlib.compressobj(level=1)
    colour_type = _OF_PALETTE if palette else _COLOUR_TYPES[channels]
    header = (width.to_bytes(4, "big"), height.to_bytes(4, "big"), bytes((depth, colour_type, 0, 0, 0)))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            *_chunk(b"IHDR", b"".join(header)),
            *(_chunk(b"PLTE", palette) if palette else ()),
            # The alpha of each number up to that one.
            *(() if transparent is None else _chunk(b"tRNS", b"\xff" * transparent + b"\0")),
            *_chunk(b"IDAT", deflate.compress(filtered.data) + deflate.flush()),
            *_chunk(b"IEND", b""),
        )
    )


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Return whether the channels of an RGB image are equal everywhere; if not, mostly the first row shows it."""
    return all(np.array_equal(part[..., 0], part[..., other]) for part in (pixels[0], pixels) for other in (1, 2))


def _chunk(name: bytes, content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of a chunk: length, name, content and checksum."""
    return len(content).to_bytes(4, "big"), name, content, zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")
