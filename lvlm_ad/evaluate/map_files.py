"""Files with anomaly maps and image scores that another program made."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets.sample import Dataset, Sample

__all__ = ["MAP_SUFFIXES", "find_maps", "read_image_scores", "read_map", "resize_map"]

MAP_SUFFIXES = (".npy", ".tiff", ".tif", ".png")

_PLANE = 2
"""Axes of a map: rows and columns."""


def find_maps(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Find the map of every sample.

    A map lies in the folder as its image lies in the data set's, ``bottle/test/crack/000.npy``, or where the sample's
    id says, ``bottle/crack/000.npy``.

    Args:
        dataset: the samples.
        folder: where the maps are.

    Returns:
        Sample id -> file.

    Raises:
        DataError: there is no such folder, a sample has no map, or several.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {shown(folder)} with maps.")
    maps: dict[str, Path] = {}
    missing: list[str] = []
    for sample in dataset:
        names = _names(sample, dataset)
        files = [path for name in names for suffix in MAP_SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
        if len(files) > 1:
            raise DataError(f"{sample.id} has several maps: {shown(files[0])} and {shown(files[1])}; leave one.")
        if files:
            maps[sample.id] = files[0]
        else:
            missing.append(" or ".join(f"{name}{{{','.join(MAP_SUFFIXES)}}}" for name in names))
    if missing:
        others = f" {len(missing) - 1} more are missing." if len(missing) > 1 else ""
        raise DataError(f"{shown(folder)} holds no {missing[0]}.{others}")
    return maps


def _names(sample: Sample, dataset: Dataset) -> list[str]:
    """Return the names, without suffix, that a sample's file may have; the path in the data set comes first."""
    inside = sample.image_path.is_relative_to(dataset.root)
    path = [sample.image_path.relative_to(dataset.root).with_suffix("").as_posix()] if inside else []
    return list(dict.fromkeys([*path, sample.id]))


def read_map(path: Path) -> NDArray[Any]:
    """Read an anomaly map.

    Args:
        path: a NumPy file of real numbers, a TIFF, or a PNG of 8 or 16 bits in grey.

    Returns:
        ``(H, W)`` in the file's dtype, finite; higher is more anomalous.

    Raises:
        DataError: the file cannot be read, or is no single plane of finite real numbers.
    """
    try:
        values = np.asarray(_read(path))
    except Exception as error:
        kind = {".npy": "NumPy array", ".png": "PNG"}.get(path.suffix, "TIFF")
        raise DataError(f"The map {shown(path)} cannot be read: it is damaged, or no {kind}.") from error
    plane = values
    while plane.ndim > _PLANE and 1 in (plane.shape[0], plane.shape[-1]):
        plane = plane[0] if plane.shape[0] == 1 else plane[..., 0]
    if plane.ndim != _PLANE or plane.dtype.kind not in "iufb" or not plane.size:
        raise DataError(f"The map {shown(path)} is {values.dtype} {values.shape}; it must be real numbers (H, W).")
    if plane.dtype == np.longdouble:
        # The metrics compute with 64 bits; a larger number becomes infinite and is refused below.
        with np.errstate(over="ignore"):
            plane = plane.astype(np.float64)
    if not np.isfinite(plane).all():
        raise DataError(f"The map {shown(path)} holds NaN or infinite scores.")
    return plane


def _read(path: Path) -> Any:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    # scikit-image takes a second to import.
    from skimage.io import imread  # noqa: PLC0415 - see above

    return imread(path)


def resize_map(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Stretch a map bilinearly, with half-pixel centres and no antialiasing.

    Args:
        values: ``(H, W)``.
        size: the new (height, width).

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


def read_image_scores(path: Path, dataset: Dataset) -> dict[str, float]:
    """Read an image score for every sample.

    Args:
        path: JSON, one object name -> score; or CSV with the columns "image" and "score". Names are those that maps may
            have, with or without a suffix.
        dataset: the samples.

    Returns:
        Sample id -> score.

    Raises:
        DataError: the file cannot be read, a sample has no score, or one is no finite number.
    """
    given: dict[str, list[Any]] = {}
    for name, value in _pairs(path):
        for known_as in {name, name.removesuffix(Path(name).suffix)}:
            given.setdefault(known_as, []).append(value)
    scores: dict[str, float] = {}
    for sample in dataset:
        names = _names(sample, dataset)
        values = [value for name in names for value in given.get(name, ())]
        if not values:
            raise DataError(f"{shown(path)} has no score for {' or '.join(names)}.")
        if len(values) > 1:
            raise DataError(f"{shown(path)} has two scores for {sample.id}.")
        try:
            scores[sample.id] = float(values[0])
        except (TypeError, ValueError, OverflowError):
            scores[sample.id] = math.nan
        if not math.isfinite(scores[sample.id]):
            raise DataError(f"{shown(path)}: the score of {sample.id} is {values[0]!r:.50}, no finite number.")
    return scores


def _pairs(path: Path) -> list[tuple[str, Any]]:
    """Read the names and scores in a file, those that occur twice too.

    Raises:
        DataError: the file is neither such a JSON object nor such a table.
    """
    is_json = path.suffix.lower() == ".json"
    try:
        # Spreadsheets put a byte-order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise DataError(f"{shown(path)} cannot be read: {reason}.") from error
    wanted = "one object, name -> score" if is_json else "a table with commas and the columns image and score"
    try:
        if is_json and text.lstrip().startswith("{"):
            # As pairs, so that a name that occurs twice is noticed.
            return list(json.loads(text, object_pairs_hook=lambda members: members))
        rows = [] if is_json else list(csv.DictReader(text.splitlines()))
        if not is_json and all(row.get("image") is not None and "score" in row for row in rows):
            return [(row["image"], row["score"]) for row in rows]
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{shown(path)} must be {wanted}; {error}.") from error
    raise DataError(f"{shown(path)} must be {wanted}.")
