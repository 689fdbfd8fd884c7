"""Read image files as RGB arrays, and resize images and masks as the published code does."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from lvlm_ad.errors import ImageError
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What a file may hold, whatever its suffix: Pillow would run Ghostscript on an EPS file."""

_MAX_PIXELS = 120_000_000
"""Larger files are refused as decompression bombs; industrial line scans are smaller (12,000 x 10,000)."""

_WARNINGS = threading.Lock()
"""Warning filters belong to the whole process, so one thread at a time changes them."""

_HIGHEST_16_BITS = 65535.0

_HIGHEST_OF_UNIT = 2.0
"""Floats up to this value have the range [0, 1], which a filter may have exceeded; in [0, 255] they would be black."""

_AT_ONCE = 2**15
"""Values that are resized at a time: 256 KB as float64."""

_TURNED = (5, 6, 7, 8)
"""The EXIF orientations that swap height and width."""

_LFS = b"version https://git-lfs"

_ORIENTATION_IN_PNG = re.compile(b"eXIf|iTXt|.{4}Raw profile type exif", re.DOTALL)
"""The start of a PNG chunk that may hold an EXIF orientation: the chunk's type, or the keyword of a text chunk."""

_CHUNK_START = 32
"""Bytes of a PNG chunk that are read to know what it is: its length, its type, and the keyword of a text chunk."""


def shown(path: Path | os.PathLike[str] | str) -> str:
    """Return a path or name as one printable line: quoted and escaped if it holds newlines or control characters.

    Example:
        >>> shown("a b.png"), len(shown(chr(10)))
        ('a b.png', 4)
    """
    text = str(path)
    safe = escaped(text)
    return text if safe == text else f"'{safe}'"


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file, and turn every exception while it is used into an ``ImageError``."""
    too_large = f"{shown(path)} has more than {_MAX_PIXELS:,} pixels (a decompression bomb?); shrink it before use."
    try:
        with _WARNINGS, warnings.catch_warnings():
            # The limit below decides; Pillow's own limit only warns up to twice its value.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=_FORMATS)
        with opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise Image.DecompressionBombError  # noqa: TRY301 - one message for both limits
            yield opened
    except FileNotFoundError as error:
        raise ImageError(f"{shown(path)} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(too_large) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{shown(path)} is {_what_else(path)}.") from error
    except Exception as error:
        # An OSError with a reason comes from the operating system, one without from Pillow. For a damaged file Pillow
        # raises OSError, SyntaxError, struct.error, zlib.error and others, by its format.
        if isinstance(error, OSError) and error.strerror is not None:
            raise ImageError(f"{shown(path)} cannot be read: {error.strerror}.") from error
        why = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{shown(path)} is damaged or truncated ({why}); replace it.") from error


def _what_else(path: Path) -> str:
    """Describe a file that is no image, and what to do."""
    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        return "a Git LFS pointer, not an image file; run 'git lfs pull' in its folder"
    return (
        f"not an image file that can be read ({', '.join(_FORMATS)}); replace it"
        if start
        else "empty, not an image file; replace it"
    )


def decode(path: Path) -> Image.Image:
    """Read an image file fully: its first frame, turned upright by its EXIF orientation."""
    with _opened(path) as opened:
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        return opened


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an upright image without decoding its pixels."""
    height, width, turned = _header(path)
    return (width, height) if turned else (height, width)


def is_turned(path: Path) -> bool:
    """Return whether an image's EXIF orientation swaps height and width."""
    return _header(path)[2]


def _header(path: Path) -> tuple[int, int, bool]:
    """Return height and width as stored, and whether the EXIF orientation swaps them."""
    with _opened(path) as opened:
        width, height = opened.size
        if isinstance(opened, TiffImageFile):
            # Some versions of Pillow swap a TIFF file's sides when they open it, others when they load it.
            width, height = (opened.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        # PngImageFile.getexif() decodes the pixels if no EXIF chunk stands before them; few files need that.
        plain = opened.format == "PNG" and not _may_be_turned(path)
        exif = Image.Image.getexif(opened) if plain else opened.getexif()
        return height, width, exif.get(ExifTags.Base.Orientation) in _TURNED


def _may_be_turned(path: Path) -> bool:
    """Return whether a PNG file has a chunk that may hold an orientation; the pixels are skipped, not read."""
    with path.open("rb") as file:
        # Behind the signature.
        at = file.seek(8)
        while start := file.read(_CHUNK_START):
            if _ORIENTATION_IN_PNG.match(start, 4):
                return True
            # A chunk has 12 bytes more than its content: length, type and checksum.
            at = file.seek(at + 12 + int.from_bytes(start[:4], "big"))
    return False


def read_image(path: Path, highest: Callable[[str], float] | None = None) -> NDArray[np.uint8]:
    """Read an image as RGB: grey, palette, alpha (over black), CMYK, 16-bit and EXIF-turned files included.

    Args:
        path: the image's file.
        highest: returns the highest value of all images that belong together, for a kind of number, "f" or "i"; see
            ``Depth``. None: integers are scaled by their type, floats by the image's own highest value.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the file is missing, damaged, truncated or too large, or has pixels that are no finite number.
    """
    image = decode(path)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        faulty = int(np.count_nonzero(~np.isfinite(values)))
        if faulty:
            pixels = f"{faulty} pixels" if faulty > 1 else "a pixel"
            raise ImageError(f"{shown(path)} has NaN or infinity in {pixels}; replace it by a number.")
        is_float = values.dtype.kind == "f"
        if highest is not None:
            return as_rgb(values, highest("f" if is_float else "i"))
        return as_rgb(values, None if is_float else _HIGHEST_16_BITS)
    return over_black(image)


def alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the alpha of an image, uint8 ``(H, W)``; None if it has none."""
    return np.asarray(image.convert("RGBA"))[:, :, 3] if image.has_transparency_data else None


def over_black(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image of 8 bits as RGB, uint8 ``(H, W, 3)``, where transparent pixels are black."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def deep_values(path: Path) -> NDArray[Any]:
    """Read the pixels of a file with more than 8 bits as they are, ``(H, W)``.

    Raises:
        ImageError: as ``read_image``.
    """
    return np.asarray(decode(path))


def as_rgb(image: NDArray[Any], highest: float | None = None) -> NDArray[np.uint8]:
    """Convert an array to RGB.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` with C of 1, 3 or 4 (alpha is dropped); bool, uint8, integers of up to 16
            bits (0..65535), or floats in [0, 1] or [0, 255].
        highest: the highest value of all images that belong together, which decides the range; None: that of the
            type uint16, or of this image.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the array has another shape or no pixels.

    Example:
        >>> as_rgb(np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    channels_at = 3
    if image.ndim not in {2, channels_at} or (image.ndim == channels_at and image.shape[2] not in {1, 3, 4}):
        raise ImageError(f"An image must be an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}.")
    if 0 in image.shape:
        raise ImageError(f"An image of shape {image.shape} has no pixels.")
    pixels = image[:, :, None] if image.ndim == 2 else image[:, :, :3]  # noqa: PLR2004
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype != np.uint8:
        if highest is None:
            here = float(pixels.max(initial=0, where=np.isfinite(pixels)))
            highest = _HIGHEST_16_BITS if pixels.dtype == np.uint16 else here
        # The values show the range; 16 bits are scaled by the type's range, not stretched for each image.
        unit = np.issubdtype(pixels.dtype, np.floating) and highest <= _HIGHEST_OF_UNIT
        full = 1.0 if unit else (max(_HIGHEST_16_BITS, highest) if highest > 255.0 else 255.0)  # noqa: PLR2004
        numbers = np.clip(np.nan_to_num(pixels.astype(np.float64)), 0, full)
        pixels = np.rint(numbers * (255.0 / full)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch an RGB image bilinearly to (height, width), as the published code does: half-pixel centres, unsmoothed.

    This is for pictures: the result is rounded to bytes. Its pixels are those of Pillow's affine transform of floats,
    made faster; Pillow's ``resize`` widens its filter when it shrinks. Anomaly maps are interpolated in the same places
    by two other functions: ``evaluate.map_files.resize_map`` keeps the digits of float64 scores, and the CLIP baselines
    use a matrix product that also joins tiles.

    Example:
        >>> resize_image(np.zeros((4, 6, 3), np.uint8), (8, 8)).shape
        (8, 8, 3)
    """
    height, width, channels = image.shape
    if (height, width) == size:
        return image
    if channels > 1 and all(np.array_equal(image[:, :, 0], image[:, :, other]) for other in range(1, channels)):
        grey = resize_image(image[:, :, :1], size)[:, :, 0]
        return np.stack([grey] * channels, axis=2)
    left, right, across = _between(width, size[1])
    # Each channel of a pixel is a column of its own.
    left, right = ((at[:, None] * channels + np.arange(channels)).ravel() for at in (left, right))
    across = np.repeat(across, channels)
    top, bottom, down = _between(height, size[0])
    # Only the old rows that some new row lies between are computed; ``place`` counts these alone.
    needed = np.zeros(height, np.bool_)
    needed[top] = needed[bottom] = True
    rows, place = np.flatnonzero(needed), np.cumsum(needed) - 1
    top, bottom = place[top], place[bottom]
    out = np.empty((size[0], size[1] * channels), dtype=np.uint8)
    # A few rows at a time stay in the processor's cache.
    step = max(1, _AT_ONCE // out.shape[1])
    for start in range(0, size[0], step):
        here = slice(start, start + step)
        upper, lower = top[here], bottom[here]
        first = upper[0]
        source = image[rows[first : lower[-1] + 1]].reshape(-1, width * channels).astype(np.float64)
        stretched = _mix(source.take(left, axis=1), source.take(right, axis=1), across)
        # Rounded to float32 first, as by Pillow: what is then halfway goes to the even neighbour.
        above, below = (stretched.take(at - first, axis=0) for at in (upper, lower))
        mixed = _mix(above, below, down[here, None]).astype(np.float32)
        out[here] = np.rint(mixed, out=mixed)
    return out.reshape(*size, channels)


def _between(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the two old pixels that each new one lies between, and how far it is from the first, in [0, 1)."""
    at = (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5
    index = np.floor(at).astype(np.intp)
    return np.clip(index, 0, old - 1), np.clip(index + 1, 0, old - 1), at - index


def _mix(first: NDArray[np.float64], second: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``first + (second - first) * share``, written over ``second``."""
    second -= first
    second *= share
    second += first
    return second


def resize_mask(mask: NDArray[T], size: tuple[int, int]) -> NDArray[T]:
    """Stretch a mask to (height, width); each pixel takes the value of one old pixel, as OpenCV's nearest does.

    Example:
        >>> resize_mask(np.array([[True, False]]), (2, 4)).tolist()
        [[True, True, False, False], [True, True, False, False]]
    """
    height, width = mask.shape
    if (height, width) == size:
        return mask
    rows = (np.arange(size[0]) * height) // size[0]
    columns = (np.arange(size[1]) * width) // size[1]
    return np.asarray(mask.take(rows, axis=0).take(columns, axis=1))
