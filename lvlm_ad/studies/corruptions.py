"""Graded corruptions of images: blur, darkness, noise, JPEG, low resolution, each in five severities.

All work on the pixels of the original image. Severity 1 is slight, 5 is strong; the parameters are those of photographs
of products, 500 to 1,500 pixels wide. The kinds follow Hendrycks and Dietterich (ICLR 2019, arXiv 1903.12261).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from lvlm_ad.errors import ConfigError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CORRUPTIONS", "SEVERITIES", "blur", "corrupt", "dark", "downscale", "jpeg", "noise"]

SEVERITIES = (1, 2, 3, 4, 5)
"""Severity 0 is the image itself."""

_BYTES = 8
"""Bytes of a random number whose sum is nearly normal (Irwin-Hall)."""


def blur(image: NDArray[np.uint8], severity: int, name: str = "") -> NDArray[np.uint8]:  # noqa: ARG001 - as all kinds
    """Blur with a Gaussian whose standard deviation is 1, 2, 3, 5 or 8 pixels.

    Args:
        image: uint8 ``(H, W, 3)``.
        severity: 1 to 5.
        name: not used; nothing is random.

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> stripe = np.zeros((1, 5, 3), np.uint8)
        >>> stripe[:, 2] = 255
        >>> blur(stripe, 1)[0, :, 0].tolist()
        [14, 62, 102, 62, 14]
    """
    sigma = (1.0, 2.0, 3.0, 5.0, 8.0)[severity - 1]
    return _as_bytes(gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="nearest"))


def dark(image: NDArray[np.uint8], severity: int, name: str = "") -> NDArray[np.uint8]:  # noqa: ARG001 - as all kinds
    """Darken: multiply by 0.75, 0.55, 0.4, 0.25 or 0.15. Arguments and result are those of ``blur``.

    Example:
        >>> dark(np.full((1, 1, 3), 200, np.uint8), 3).tolist()
        [[[80, 80, 80]]]
    """
    return _as_bytes(image * (0.75, 0.55, 0.4, 0.25, 0.15)[severity - 1])


def noise(image: NDArray[np.uint8], severity: int, name: str = "") -> NDArray[np.uint8]:
    """Add nearly normal noise with a standard deviation of 8, 16, 26, 40 or 60 grey levels, each channel by itself.

    Args:
        image: uint8 ``(H, W, 3)``.
        severity: 1 to 5.
        name: the image's id, from which the noise follows: it is the same on every machine.

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> grey = np.full((64, 64, 3), 128, np.uint8)
        >>> round(float(noise(grey, 1, "bolt/good/000").std()))
        8
    """
    digest = hashlib.sha256(f"noise/{severity}/{name}".encode(errors="surrogateescape")).digest()
    # Raw numbers and sums: NumPy may change how it draws from a normal distribution, but not these.
    drawn = np.random.PCG64(int.from_bytes(digest[:16], "big")).random_raw(image.size).view(np.uint8)
    sums = drawn.reshape(*image.shape, _BYTES).sum(axis=-1, dtype=np.int64)
    mean, variance = _BYTES * 255 / 2, _BYTES * (256**2 - 1) / 12
    return _as_bytes(image + (8, 16, 26, 40, 60)[severity - 1] * (sums - mean) / variance**0.5)


def jpeg(image: NDArray[np.uint8], severity: int, name: str = "") -> NDArray[np.uint8]:  # noqa: ARG001 - as all kinds
    """Compress as JPEG with a quality of 50, 25, 15, 10 or 5. Arguments and result are those of ``blur``.

    Example:
        >>> jpeg(np.full((8, 8, 3), 128, np.uint8), 1)[0, 0].tolist()
        [128, 128, 128]
    """
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=(50, 25, 15, 10, 5)[severity - 1])
    with Image.open(file) as compressed:
        return np.asarray(compressed.convert("RGB"))


def downscale(image: NDArray[np.uint8], severity: int, name: str = "") -> NDArray[np.uint8]:  # noqa: ARG001 - as all
    """Shrink each side to 1/2, 1/3, 1/4, 1/6 or 1/8 of its pixels by their mean, and enlarge again bilinearly.

    Arguments and result are those of ``blur``.

    Example:
        >>> downscale(np.array([[[0] * 3, [100] * 3]], np.uint8), 1)[0, :, 0].tolist()
        [50, 50]
    """
    factor = (2, 3, 4, 6, 8)[severity - 1]
    height, width = image.shape[:2]
    small = max(1, round(width / factor)), max(1, round(height / factor))
    shrunk = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.BILINEAR))


CORRUPTIONS: Mapping[str, Callable[[NDArray[np.uint8], int, str], NDArray[np.uint8]]] = {
    "blur": blur,
    "dark": dark,
    "noise": noise,
    "jpeg": jpeg,
    "downscale": downscale,
}
"""Kind -> function of the image, the severity and the image's id."""


def corrupt(image: NDArray[np.uint8], kind: str, severity: int, name: str = "") -> NDArray[np.uint8]:
    """Corrupt an image.

    Args:
        image: uint8 ``(H, W, 3)``, RGB.
        kind: one of ``CORRUPTIONS``.
        severity: 0 to 5; 0: the image itself.
        name: the image's id; noise follows from it.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        ConfigError: there is no such kind or severity.

    Example:
        >>> corrupt(np.full((2, 2, 3), 100, np.uint8), "dark", 1)[0, 0].tolist()
        [75, 75, 75]
    """
    if kind not in CORRUPTIONS:
        raise ConfigError(f"There is no corruption {kind!r}.{nearest(kind, CORRUPTIONS)}")
    if severity not in (0, *SEVERITIES):
        raise ConfigError(f"A severity is a whole number from 0 to {SEVERITIES[-1]}; got {severity}.")
    return image if severity == 0 else CORRUPTIONS[kind](image, severity, name)


def _as_bytes(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
