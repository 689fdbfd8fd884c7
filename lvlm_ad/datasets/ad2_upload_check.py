"""Check a folder for the server of MVTec AD 2 against its rules, and pack it."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lvlm_ad.datasets.ad2_upload import BINARY_MAPS, MAPS, UPLOAD_SPLITS, map_name
from lvlm_ad.datasets.folders import name_of
from lvlm_ad.datasets.images import image_size, shown
from lvlm_ad.datasets.listing import Problem
from lvlm_ad.datasets.load import load_dataset
from lvlm_ad.datasets.mvtec_ad_2 import AD2_LIGHTS, AD2_OBJECTS, AD2_SPLITS
from lvlm_ad.errors import DataError, RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PUBLISHED_PRIVATE_IMAGES", "UploadReport", "check_upload", "pack_upload"]

PUBLISHED_PRIVATE_IMAGES = dict(zip(AD2_OBJECTS, (321, 314, 255, 277, 142, 276, 232, 228), strict=True))
"""Object -> images in each of the two splits without labels; 2,045 in all."""

_ENDS = {AD2_SPLITS[split]: end for split, end in AD2_LIGHTS.items()}
"""Folder of a split -> how its images' names end."""

_PLANE = 2
"""Axes of a map: rows and columns."""

_THREADS = 8

_Images = Mapping[tuple[str, str], Mapping[str, Path | None]]
"""(object, folder of the split) -> stem of an image -> its file, where the data set is at hand."""


@dataclass(frozen=True)
class UploadReport:
    """The result of a check.

    Attributes:
        files: how many files the folder should have and has.
        problems: what the server would refuse (errors), and what it takes but a user should know (warnings).
    """

    files: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return all(problem.severity == "warning" for problem in self.problems)


def check_upload(folder: Path, data: Path | None = None) -> UploadReport:
    """Check a folder for the server: names, counts, data types, values and sizes of all its files.

    Args:
        folder: the folder that holds ``anomaly_images``.
        data: the data set; None: names and numbers of the published one, and sizes are not checked.

    Raises:
        DataError: the folder does not exist, or the data set cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(check_upload(Path(folder)).problems[0].message)
        anomaly_images/ is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{shown(folder)} is not a folder; give the one that bench wrote, with {MAPS}/ in it.")
    images = _published() if data is None else _at_hand(data)
    problems = [] if data is None else list(_not_whole(images))
    parts = [part for part in (MAPS, BINARY_MAPS) if (folder / part).is_dir()]
    if MAPS not in parts:
        problems.append(Problem(MAPS, f"{MAPS}/ is missing."))
    if BINARY_MAPS not in parts:
        problems.append(
            Problem(BINARY_MAPS, f"{BINARY_MAPS}/ is missing: the server sets ClassF1 and SegF1 to 0.", "warning")
        )
    expected = {
        map_name(part, *place, stem): image
        for part in parts
        for place, stems in images.items()
        for stem, image in stems.items()
    }
    found = set(_files_in(folder, problems))
    problems += [*_unexpected(found - expected.keys()), *_missing(images, parts, found)]
    there = [name for name in expected if name in found]
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = list(pool.map(lambda name: _fault(folder, name, expected[name]), there))
    problems += _grouped(zip(there, faults, strict=True))
    return UploadReport(len(there), tuple(problems))


def _published() -> dict[tuple[str, str], dict[str, Path | None]]:
    return {
        (category, split): {f"{number:03d}_{end}": None for number in range(count)}
        for category, count in PUBLISHED_PRIVATE_IMAGES.items()
        for split, end in _ENDS.items()
    }


def _at_hand(data: Path) -> dict[tuple[str, str], dict[str, Path | None]]:
    images: dict[tuple[str, str], dict[str, Path | None]] = {}
    for name, split in UPLOAD_SPLITS.items():
        for sample in load_dataset("mvtec-ad-2", data, split=name):
            images.setdefault((sample.category, split), {})[sample.image_path.stem] = sample.image_path
    return images


def _not_whole(images: _Images) -> Iterator[Problem]:
    published = _published()
    counts = {place: len(stems) for place, stems in images.items()}
    if counts == {place: len(stems) for place, stems in published.items()}:
        return
    objects = len({category for category, _ in images})
    yield Problem(
        "",
        f"The data set here has {sum(counts.values()):,} images without labels, of {objects} objects; the published "
        f"one has {sum(map(len, published.values())):,}, of {len(AD2_OBJECTS)}. The server takes only all of these.",
        "warning",
    )


def _files_in(folder: Path, problems: list[Problem]) -> Iterator[str]:
    """Yield the path of each file in a folder; report links, and folders without a file."""
    for place, folders, files in os.walk(folder):
        inner = Path(place).relative_to(folder)
        links = [name for name in (*folders, *files) if Path(place, name).is_symlink()]
        problems += [
            Problem(shown(inner / name), f"{shown(inner / name)} is a link; put the file itself there.")
            for name in links
        ]
        if not folders and not files and inner.parts:
            problems.append(Problem(shown(inner), f"{shown(inner)}/ is empty; remove it."))
        yield from ((inner / name).as_posix() for name in files)


def _unexpected(names: set[str]) -> Iterator[Problem]:
    """Yield the folders that hold files of other names."""
    by_folder: dict[str, list[str]] = {}
    for name in sorted(names):
        by_folder.setdefault(name.rpartition("/")[0], []).append(name.rpartition("/")[2])
    for place, files in by_folder.items():
        more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        where = f"{shown(place)}/" if place else "The folder"
        yield Problem(
            shown(place),
            f"{where} holds {shown(files[0])}{more} that the server does not expect; remove it.",
        )


def _missing(images: _Images, parts: list[str], found: set[str]) -> Iterator[Problem]:
    for part in parts:
        for category, split in images:
            stems = images[category, split]
            names = [map_name(part, category, split, stem) for stem in stems]
            missing = [name for name in names if name not in found]
            if not missing:
                continue
            where, _, first = missing[0].rpartition("/")
            text = f"{where}/ lacks {len(missing)} of {len(names)} files, such as {first}."
            absent = not any(name.split("/")[2:3] == [split] for name in found)
            if absent:
                option = next(name for name, one in UPLOAD_SPLITS.items() if one == split)
                text += f" The server wants both splits: the same bench with --split {option} adds this one."
            yield Problem(where, text)


def _fault(folder: Path, name: str, image: Path | None) -> str:
    """Say what is wrong with a file; "" if nothing is."""
    is_map = name.startswith(f"{MAPS}/")
    try:
        if not is_map:
            return _binary_fault(folder, name, image)
        values, fault = _half_map(folder / name)
    except Exception as error:  # noqa: BLE001 - a damaged file makes a decoder raise nearly anything
        return f"it cannot be read as {'a TIFF' if is_map else 'a PNG'}: {error!s:.100}".rstrip(".")
    if fault or values is None:
        return fault
    if not np.isfinite(values).all():
        return "it contains NaN or infinite scores"
    return "" if image is None else _size_fault(values.shape, image_size(image), "its image")


def _half_map(path: Path) -> tuple[NDArray[np.float16] | None, str]:
    """Read a map; with what is wrong with its form, or None and that."""
    from tifffile import TiffFile  # noqa: PLC0415 - takes a moment to import

    with TiffFile(path) as file:
        if len(file.pages) != 1:
            return None, f"it has {len(file.pages)} pages; it must have one"
        values = file.pages[0].asarray()
    if values.ndim != _PLANE:
        return None, f"it has the shape {values.shape}; it must be one channel (height, width)"
    if values.dtype != np.float16:
        return None, f"its scores are {values.dtype}; they must be float16"
    return values, ""


def _binary_fault(folder: Path, name: str, image: Path | None) -> str:
    with Image.open(folder / name) as file:
        kind, mode = file.format, file.mode
        values = np.asarray(file)
    if kind != "PNG":
        return f"it is a {kind} file; it must be a PNG"
    if mode != "L":
        return f"its mode is {mode}; it must be one channel of 8 bits"
    if other := sorted({*np.unique(values).tolist()} - {0, 255}):
        return f"it contains the value {other[0]}; only 0 and 255 are allowed"
    if image is not None:
        return _size_fault(values.shape, image_size(image), "its image")
    # Without the data set, the map says how large the image is; what is wrong with the map is said there.
    _, category, split, _ = name.split("/")
    scores = folder / map_name(MAPS, category, split, Path(name).stem)
    try:
        size = None if (found := _half_map(scores)[0]) is None else found.shape
    except Exception:  # noqa: BLE001 - see above
        size = None
    return "" if size is None else _size_fault(values.shape, size, f"its map in {MAPS}/")


def _size_fault(size: tuple[int, ...], right: tuple[int, ...], whose: str) -> str:
    if size == right:
        return ""
    return f"it has {size[1]} x {size[0]} pixels, but {whose} has {right[1]} x {right[0]}"


def _grouped(faults: Iterator[tuple[str, str]]) -> list[Problem]:
    """Give each fault once, with the first file that has it and how many more have it."""
    names: dict[str, list[str]] = {}
    for name, fault in faults:
        if fault:
            names.setdefault(fault, []).append(name)
    problems = []
    for fault, files in names.items():
        more = f" (and {len(files) - 1} more files)" if len(files) > 1 else ""
        problems.append(Problem(files[0], f"{files[0]}{more}: {fault}."))
    return problems


def pack_upload(folder: Path) -> Path:
    """Pack a folder that was checked into ``<folder>.tar.gz`` beside it, with the folder's name as the top entry.

    The archive is written whole or not at all; one that is there is replaced. It does not name the files' owner.

    Raises:
        RunError: the archive cannot be written.
    """
    name = name_of(folder)
    archive = folder.absolute().parent / f"{name}.tar.gz"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as packed:
            packed.add(folder, name, filter=_without_owner)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(archive)
    except OSError as error:
        raise RunError(f"{shown(archive)} cannot be written: {error.strerror}. Make room, then pack again.") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return archive


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
