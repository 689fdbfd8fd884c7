"""Channels: mask files that each mark one defect with the number of its type, as MVTec LOCO AD and AutoVI have them.

The type determines how many pixels of the defect must be found before it counts as found in full: its saturation area
in the metric sPRO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import decode, over_black, shown
from lvlm_ad.datasets.json_lists import read_json
from lvlm_ad.errors import DataError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["CONFIG_NAME", "Channel", "Saturation", "read_channel", "read_saturation"]

CONFIG_NAME = "defects_config.json"

_HIGHEST_VALUE = 255


@dataclass(frozen=True, eq=False)
class Channel:
    """One defect of an image.

    Attributes:
        mask: bool ``(H, W)``, True where the defect is; it need not be connected.
        value: the type of the defect, 1..255.
        saturation: how many pixels must be found for the defect to count as found in full, 1..area; None: unknown.
    """

    mask: NDArray[np.bool_]
    value: int
    saturation: int | None


@dataclass(frozen=True)
class Saturation:
    """The types of defect of a category, each with its saturation threshold.

    Attributes:
        thresholds: number of a type, 1..255 -> its threshold, and whether this is a share of the defect's area (else
            pixels); empty: unknown.
        digest: SHA-256 (hex) of the file that it was read from; "" without one.

    Example:
        >>> types = Saturation({255: (6, False), 240: (0.29, True)})
        >>> types.area(255, 100), types.area(255, 4), types.area(240, 100)
        (6, 4, 28)
    """

    thresholds: Mapping[int, tuple[float, bool]] = field(default_factory=dict)
    digest: str = ""

    def area(self, value: int, pixels: int) -> int:
        """Return the saturation area of a defect, in pixels.

        Bergmann et al., IJCV 130:947-969 (2022). A threshold in pixels is limited to the defect's area. A share of the
        area is rounded down to whole pixels, as the authors' evaluator does, but is at least one pixel.

        Args:
            value: the number of the defect's type.
            pixels: the defect's area, 1 or more.

        Raises:
            KeyError: the category has no such type.
        """
        threshold, is_share = self.thresholds[value]
        return max(1, int(threshold * pixels)) if is_share else min(int(threshold), pixels)


def read_saturation(path: Path) -> Saturation:
    """Read ``defects_config.json``: a list of types of defect with value, threshold and kind of threshold.

    Raises:
        DataError: it cannot be read, names no type, or a field is missing or wrong.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{shown(path)} must be a list of types of defect; restore it from the archive.")
    thresholds: dict[int, tuple[float, bool]] = {}
    for number, entry in enumerate(entries, start=1):
        value, threshold = _checked(entry, f"{shown(path)}, entry {number}: ")
        if value in thresholds:
            raise DataError(f"{shown(path)} has two types with the pixel_value {value}; restore it from the archive.")
        thresholds[value] = threshold
    return Saturation(thresholds, hashlib.sha256(path.read_bytes()).hexdigest())


def _checked(entry: Mapping[str, Any], where: str) -> tuple[int, tuple[float, bool]]:
    value: Any = entry.get("pixel_value")
    threshold: Any = entry.get("saturation_threshold")
    is_share: Any = entry.get("relative_saturation")
    if not _is_whole(value) or not 1 <= value <= _HIGHEST_VALUE:
        raise DataError(f"{where}pixel_value must be a whole number from 1 to {_HIGHEST_VALUE}, not {value!r:.80}.")
    if not isinstance(is_share, bool):
        raise DataError(f"{where}relative_saturation must be true or false, not {is_share!r:.80}.")
    fits = (
        isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 < threshold <= 1
        if is_share
        else _is_whole(threshold) and threshold >= 1
    )
    if not fits:
        wanted = "a share above 0 and at most 1" if is_share else "a whole number of pixels from 1"
        raise DataError(f"{where}saturation_threshold must be {wanted}, not {threshold!r:.80}.")
    return value, (threshold, is_share)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _values(image: Image.Image) -> NDArray[Any]:
    """Return the values that are seen: the colours of a palette, white as 255, transparent pixels as black."""
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    is_grey = image.mode.startswith(("I", "F")) or (image.mode == "L" and not image.has_transparency_data)
    return np.asarray(image) if is_grey else over_black(image)


def read_channel(path: Path, types: Saturation) -> Channel:
    """Read the mask of one defect: one value above 0, in one channel or in several equal ones.

    Args:
        path: the file.
        types: the category's types of defect.

    Raises:
        ImageError: the file cannot be read, marks nothing, has several values, or a value that is no type of defect.
    """
    values = _values(decode(path))
    if values.ndim > 2 and (values[:, :, 1:3] != values[:, :, :1]).any():  # noqa: PLR2004 - a colour picture
        raise ImageError(f"The mask {shown(path)} has colours; it must hold 0 and one other grey value.")
    values = values if values.ndim == 2 else values[:, :, 0]  # noqa: PLR2004 - as above
    present = np.unique(values[values > 0]).tolist()
    if not present:
        raise ImageError(f"The mask {shown(path)} has no defective pixel; restore it from the archive.")
    if len(present) > 1:
        named = ", ".join(map(str, present[:4]))
        raise ImageError(f"The mask {shown(path)} has the values {named}; a file must mark one defect with one value.")
    if types.thresholds and present[0] not in types.thresholds:
        known = ", ".join(map(str, types.thresholds))
        raise ImageError(
            f"The mask {shown(path)} has the value {present[0]}, which is not in {CONFIG_NAME}; it has {known}."
        )
    mask = values > 0
    saturation = types.area(int(present[0]), int(mask.sum())) if types.thresholds else None
    return Channel(mask, int(present[0]), saturation)
