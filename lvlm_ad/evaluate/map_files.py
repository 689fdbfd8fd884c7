"""Files of anomaly maps: written for anomalib, OpenCV and ``lvlm-ad score``, and read from any program."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.files import read_array, write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAP_FORMATS", "read_map", "resize_map", "write_map"]

MAP_FORMATS = ("tiff", "png", "npy")
"""Suffixes of the files that ``write_map`` writes; the first is the default."""

PNG_STEPS = 65535
"""A PNG of 16 bits holds the score 1 as this number: scores are rounded to 1/65535."""

_PLANE = 2
"""Axes of a map: rows and columns."""


def write_map(path: Path, values: NDArray[Any]) -> None:
    """Write an anomaly map: ``.tiff`` and ``.npy`` as float32, ``.png`` in 16 bits of grey.

    The file is written whole or not at all. OpenCV (``IMREAD_UNCHANGED``), Pillow, tifffile and ``read_map`` read it.

    Args:
        path: the file; its folder must exist.
        values: ``(H, W)`` real numbers, finite; higher is more anomalous. A PNG needs them in [0, 1] and stores
            ``round(65535 * value)``.

    Raises:
        ConfigError: the suffix is none of ``MAP_FORMATS``.
        ValueError: the values are no map, or a PNG cannot hold them.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("map.tiff", "map.png", "map.npy"):
        ...         write_map(Path(folder, name), np.array([[0.0, 0.25], [0.5, 1.0]]))
        ...         print(read_map(Path(folder, name)).tolist())
        [[0.0, 0.25], [0.5, 1.0]]
        [[0, 16384], [32768, 65535]]
        [[0.0, 0.25], [0.5, 1.0]]
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in MAP_FORMATS:
        raise ConfigError(f"Maps are written as {', '.join(MAP_FORMATS)}, not as {shown(path.name)}.")
    if values.ndim != _PLANE or values.dtype.kind not in "iufb" or not values.size or not np.isfinite(values).all():
        raise ValueError(f"A map must be finite real numbers (H, W), not {values.dtype} {values.shape}.")
    if kind == "png" and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"A PNG holds scores from 0 to 1, not {values.min():g} to {values.max():g}.")
    write_file(path, _encoded(kind, values))


def _encoded(kind: str, values: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    if kind == "npy":
        np.save(buffer, values.astype(np.float32), allow_pickle=False)
        return buffer.getvalue()
    from PIL import Image  # noqa: PLC0415 - not needed to read an array

    if kind == "png":
        Image.fromarray(np.rint(values * float(PNG_STEPS)).astype(np.uint16)).save(buffer, "PNG")
    else:
        # Lossless, and understood by every reader of TIFF; maps of regions shrink to a hundredth.
        Image.fromarray(values.astype(np.float32)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    return buffer.getvalue()


def read_map(path: Path) -> NDArray[Any]:
    """Read an anomaly map: a NumPy file of real numbers, a TIFF, or a PNG of 8 or 16 bits in grey.

    Returns:
        ``(H, W)`` in the file's dtype, finite; higher is more anomalous. The numbers of a PNG stay as they are, from 0
        to 255 or 65535.

    Raises:
        DataError: the file cannot be read, or is no single plane of finite real numbers.
    """
    try:
        values = np.asarray(_read(path))
    except Exception as error:
        kind = {".npy": "NumPy array", ".png": "PNG"}.get(path.suffix.lower(), "TIFF")
        raise DataError(f"The map {shown(path)} cannot be read: it is damaged, or no {kind}.") from error
    plane = values
    while plane.ndim > _PLANE and 1 in (plane.shape[0], plane.shape[-1]):
        plane = plane[0] if plane.shape[0] == 1 else plane[..., 0]
    if plane.ndim != _PLANE or plane.dtype.kind not in "iufb" or not plane.size:
        raise DataError(f"The map {shown(path)} is {values.dtype} {values.shape}; it must be real numbers (H, W).")
    if not np.isfinite(plane).all():
        raise DataError(
            f"The map {shown(path)} contains NaN or infinite scores; write a finite one for each pixel. (Dividing a "
            "map of one value by its range gives NaN.)"
        )
    return plane


def _read(path: Path) -> Any:
    if path.suffix.lower() == ".npy":
        return read_array(path.read_bytes(), path.name)
    # scikit-image takes a second to import.
    from skimage.io import imread  # noqa: PLC0415 - see above

    return imread(path)


def resize_map(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Stretch a map to (height, width) bilinearly, with half-pixel centres and no antialiasing.

    Returns:
        The map itself if it has that size; else floats of at least 32 bits.

    Example:
        >>> resize_map(np.array([[0.0, 1.0]]), (1, 4)).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    if values.shape == size:
        return values
    from skimage.transform import resize  # noqa: PLC0415 - takes a second to import

    floats = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    options = {"order": 1, "mode": "edge", "anti_aliasing": False, "preserve_range": True}
    return np.asarray(resize(floats, size, **options))  # type: ignore[no-untyped-call]
