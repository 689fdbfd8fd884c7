"""Reads image and mask files as arrays, whatever their mode, and resizes them as the published code does."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from lvlm_ad.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "IMAGE_SUFFIXES",
    "as_rgb",
    "file_threshold",
    "image_size",
    "mask_threshold",
    "read_image",
    "read_mask",
    "resize_image",
    "resize_mask",
    "shown",
]

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What a file may hold, whatever its suffix: Pillow would hand an EPS file to Ghostscript, which runs it."""

_MAX_PIXELS = 120_000_000
"""Larger files are taken for decompression bombs; industrial line scans stay below (12,000 x 10,000)."""

_FEW_VALUES = 32
"""A mask whose largest value is at most this holds defect ids (VisA: 1, 2, ...), not grey levels."""


_TURNED = (5, 6, 7, 8)
"""The EXIF orientations that swap height and width."""

_WARNINGS = threading.Lock()
"""Warning filters belong to the whole process: changed by one thread at a time."""


def shown(path: Path | os.PathLike[str] | str) -> str:
    """Return a path or name as one printable line: quoted and escaped if it holds newlines or control characters."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _begin(path: Path) -> Image.Image:
    """Open a file and read its header; the pixels follow at ``load()``."""
    try:
        with _WARNINGS, warnings.catch_warnings():
            # Our own limit decides, below; Pillow's would only warn up to twice its own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise ImageError(f"{shown(path)} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{shown(path)} is a decompression bomb: it claims more than {_MAX_PIXELS:,} pixels; shrink it before use."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{shown(path)} is not an image file that can be read ({', '.join(_FORMATS)}); replace it."
        ) from error
    except OSError as error:
        if error.strerror is None:  # Pillow's own, not the operating system's
            raise _damaged(path, error) from error
        raise ImageError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    except Exception as error:
        raise _damaged(path, error) from error
    if opened.width * opened.height > _MAX_PIXELS:
        opened.close()
        raise ImageError(
            f"{shown(path)} claims {opened.width} x {opened.height} pixels, above the limit of {_MAX_PIXELS:,} "
            "(a decompression bomb?); shrink it before use."
        )
    return opened


def _damaged(path: Path, error: Exception) -> ImageError:
    # What Pillow raises for a damaged file depends on its format: OSError, SyntaxError, struct.error, zlib.error, ...
    why = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{shown(path)} is damaged or truncated ({why}); replace it.")


def _open(path: Path) -> Image.Image:
    """Decode a file fully, the first frame of it, upright."""
    with _begin(path) as opened:
        try:
            opened.load()
            return ImageOps.exif_transpose(opened)
        except Exception as error:
            raise _damaged(path, error) from error


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an upright image without decoding its pixels.

    Raises:
        ImageError: the file is absent, no image or too large.
    """
    with _begin(path) as opened:
        try:
            width, height = opened.size
            if isinstance(opened, TiffImageFile):
                # Some versions of Pillow turn the size of a TIFF file when they open it, others when they load it.
                width, height = (opened.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
            # For PNG, getexif() decodes the pixels to reach what may follow them.
            early = opened.format == "PNG" and not _has_late_metadata(path)
            exif = Image.Image.getexif(opened) if early else opened.getexif()
            turned = exif.get(ExifTags.Base.Orientation) in _TURNED
        except Exception as error:
            raise _damaged(path, error) from error
    return (width, height) if turned else (height, width)


def _has_late_metadata(path: Path) -> bool:
    """Whether a PNG file holds chunks that may give an orientation after its pixels."""
    pixels_seen = False
    with path.open("rb") as file:
        file.seek(len(b"\x89PNG\r\n\x1a\n"))
        while len(head := file.read(8)) == 8:  # noqa: PLR2004 - each chunk begins with its length and kind, 4 bytes each
            kind = head[4:]
            if pixels_seen and kind in {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}:
                return True
            pixels_seen = pixels_seen or kind == b"IDAT"
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as RGB: grey, palette, alpha (over black), CMYK, 16-bit and turned files included.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the file is absent, damaged, truncated or too large.
    """
    image = _open(path)
    if image.mode.startswith(("I", "F")):
        return as_rgb(np.asarray(image))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("RGB"))


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an array to RGB.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` with C of 1, 3 or 4 (alpha is dropped); bool, uint8, integers of up to 16
            bits (0..65535), or floats in [0, 1] or [0, 255].

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ImageError: the array has another shape or no pixels.
    """
    channels_at = 3
    if image.ndim not in {2, channels_at} or (image.ndim == channels_at and image.shape[2] not in {1, 3, 4}):
        raise ImageError(f"An image is an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}.")
    if 0 in image.shape:
        raise ImageError(f"An image of shape {image.shape} has no pixels.")
    pixels = image[:, :, None] if image.ndim == 2 else image[:, :, :3]  # noqa: PLR2004
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype != np.uint8:
        top = float(pixels.max(initial=0, where=np.isfinite(pixels)))
        # Which range was meant shows in the values; 16 bits are scaled by the type's range, not stretched per image.
        unit = np.issubdtype(pixels.dtype, np.floating) and top <= 1.0
        scale = 255.0 if unit else (255.0 / 65535.0 if top > 255.0 else 1.0)  # noqa: PLR2004
        pixels = np.clip(np.rint(np.nan_to_num(pixels.astype(np.float64)) * scale), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def read_mask(path: Path, threshold: int | None = None) -> NDArray[np.bool_]:
    """Read a ground-truth mask.

    Args:
        path: the mask's file.
        threshold: a pixel is defective above this value; None: above 0 if no value exceeds 32 (defect ids, as VisA
            has them), else above 127 (grey levels, JPEG noise).

    Returns:
        bool ``(H, W)``, True where defective.

    Raises:
        ImageError: the file is absent, damaged or too large.
    """
    values = _mask_values(path)
    return np.asarray(values > (mask_threshold(values) if threshold is None else threshold))


def _mask_values(path: Path) -> NDArray[Any]:
    """Read what a mask file holds, one value a pixel, ``(H, W)``."""
    image = _open(path)
    if image.mode == "P":
        return _palette_values(image)
    # A colour mask is defective where any channel is.
    if len(image.getbands()) > 1:
        return np.asarray(np.asarray(image.convert("RGB")).max(axis=2))
    return np.asarray(image)


def _palette_values(image: Image.Image) -> NDArray[np.uint8]:
    """Read a palette mask: its indices are defect ids, unless it is a grey picture that a tool has packed.

    Packed, black may have any index; as a defect id it has index 0.
    """
    ids = np.asarray(image)
    colours = np.asarray(image.convert("RGB"))
    palette = image.getpalette("RGB") or [0, 0, 0]
    grey = bool((colours == colours[:, :, :1]).all())
    return colours[:, :, 0] if grey and any(palette[:3]) else ids


def file_threshold(path: Path) -> int:
    """Read a mask file and return the value above which its pixels are taken for defective if none is given.

    Raises:
        ImageError: the file is absent, damaged or too large.
    """
    return mask_threshold(_mask_values(path))


def mask_threshold(values: NDArray[Any]) -> int:
    """Choose the value above which a mask's pixel is defective, from the values it holds."""
    return 0 if values.dtype == np.bool_ or int(values.max(initial=0)) <= _FEW_VALUES else 127


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch an image bilinearly with half-pixel centres and no antialiasing, as the published code does.

    Args:
        image: uint8 ``(H, W, 3)``.
        size: the new (height, width).

    Returns:
        uint8 ``(*size, 3)``; the image itself if it already has that size.
    """
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    # Pillow's resize() widens its filter when shrinking; an affine transform samples as OpenCV does. On bytes it would
    # cut the fraction off, half a grey level too dark on average, so it works on floats, which are rounded after.
    matrix = (width / size[1], 0.0, 0.0, 0.0, height / size[0], 0.0)
    channels = [
        Image.fromarray(image[:, :, channel])
        .convert("F")
        .transform((size[1], size[0]), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)
        for channel in range(image.shape[2])
    ]
    floats = np.stack([np.asarray(channel) for channel in channels], axis=2)
    return np.asarray(np.rint(floats), dtype=np.uint8)


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Stretch a mask to the nearest pixel.

    Args:
        mask: bool ``(H, W)``.
        size: the new (height, width).

    Returns:
        bool ``size``.
    """
    height, width = mask.shape
    if (height, width) == size:
        return mask
    rows = (np.arange(size[0]) * height) // size[0]
    columns = (np.arange(size[1]) * width) // size[1]
    return mask[np.ix_(rows, columns)]
