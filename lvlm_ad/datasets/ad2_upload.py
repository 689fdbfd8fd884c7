"""The files that the server of MVTec AD 2 takes: their names, and scores as float16.

FOLDER/anomaly_images/<object>/<split>/000_regular.tiff               one channel, float16, as large as the image
FOLDER/anomaly_images_thresholded/<object>/<split>/000_regular.png    one channel, 0 or 255; may be absent as a whole

The server wants both splits without labels in one folder, and nothing else in it. Source of the rules: the script
``check_and_prepare_data_for_upload.py`` of MVTec's public code for AD 2.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.mvtec_ad_2 import AD2_SPLITS
from lvlm_ad.errors import MetricError
from lvlm_ad.files import write_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "BINARY_MAPS",
    "HIGHEST_HALF",
    "MAPS",
    "UPLOAD_SPLITS",
    "half_scale",
    "half_scores",
    "map_name",
    "write_binary_map",
    "write_half_map",
]

MAPS, BINARY_MAPS = "anomaly_images", "anomaly_images_thresholded"

_SUFFIXES = {MAPS: "tiff", BINARY_MAPS: "png"}

UPLOAD_SPLITS = {name: folder for name, folder in AD2_SPLITS.items() if name != "public"}
"""Name of a split without labels -> its folder."""

HIGHEST_HALF = 65504.0
"""The highest finite float16."""


def map_name(part: str, category: str, split: str, stem: str) -> str:
    """Return the path of a file in the folder.

    Args:
        part: ``MAPS`` or ``BINARY_MAPS``.
        category: the object.
        split: the folder of the split.
        stem: the image's name, without its suffix.

    Example:
        >>> map_name(MAPS, "can", "test_private", "000_regular")
        'anomaly_images/can/test_private/000_regular.tiff'
    """
    return f"{part}/{category}/{split}/{stem}.{_SUFFIXES[part]}"


def half_scale(highest: float) -> float:
    """Return by what to multiply all scores of an object so that float16 can hold them; 1 if it can already.

    Scores in [0, 1], as those of a bench, need no scale. Other scores of the same object, and those that its threshold
    is computed from, must be multiplied by the same number.

    Example:
        >>> half_scale(1.0), half_scale(131008.0)
        (1.0, 0.5)
    """
    return 1.0 if highest <= HIGHEST_HALF else HIGHEST_HALF / highest


def half_scores(scores: NDArray[Any], scale: float = 1.0) -> tuple[NDArray[np.float16], int, int]:
    """Round the scores of a map to float16, which has 11 significant bits.

    Args:
        scores: ``(H, W)``, finite; higher is more anomalous.
        scale: what they are multiplied by first; see ``half_scale``.

    Returns:
        The rounded scores, how many distinct ones there were, and how many of these became equal to another.

    Raises:
        MetricError: a score is NaN or infinite, or too high for float16.

    Example:
        >>> values, distinct, merged = half_scores(np.array([[0.5, 0.50001, 1.0]]))
        >>> values.tolist(), distinct, merged
        ([[0.5, 0.5, 1.0]], 3, 1)
    """
    if not np.isfinite(scores).all():
        raise MetricError("A map contains NaN or infinite scores; the server takes only finite ones.")
    scaled = scores * scale
    largest = float(np.abs(scaled).max())
    if largest > HIGHEST_HALF:
        raise MetricError(
            f"A map contains the score {largest:g}, but float16 ends at {HIGHEST_HALF:g}; multiply all scores of the "
            f"object by {half_scale(largest):g} or less."
        )
    # Adding 0 makes -0 and 0 the same score.
    halves = scaled.astype(np.float16) + np.float16(0)
    distinct = np.unique(scores).size
    return halves, distinct, distinct - np.unique(halves.view(np.uint16)).size


def write_half_map(path: Path, values: NDArray[np.float16]) -> None:
    """Write a map as a TIFF of one channel, float16 ``(H, W)``, whole or not at all. Its folder is created.

    The file is compressed without loss (Deflate): maps of regions shrink to a hundredth.

    Raises:
        OSError: it cannot be written.
    """
    from tifffile import imwrite  # noqa: PLC0415 - Pillow cannot write float16; takes a moment to import

    buffer = BytesIO()
    imwrite(buffer, values, photometric="minisblack", compression="zlib", metadata=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, buffer.getvalue(), durable=False)


def write_binary_map(path: Path, positive: NDArray[np.bool_]) -> None:
    """Write a binary map ``(H, W)`` as a PNG of one channel, 0 or 255, whole or not at all. Its folder is created.

    Raises:
        OSError: it cannot be written.
    """
    from PIL import Image  # noqa: PLC0415 - takes a moment to import

    buffer = BytesIO()
    Image.fromarray(np.where(positive, np.uint8(255), np.uint8(0))).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, buffer.getvalue(), durable=False)
