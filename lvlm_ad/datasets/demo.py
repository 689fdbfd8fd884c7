"""Write the built-in demo data set, in the layout of MVTec AD."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lvlm_ad.datasets.demo_pictures import CATEGORIES, draw_picture
from lvlm_ad.errors import DataError
from lvlm_ad.files import write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SETTINGS_FILE", "VERSION", "make_demo"]

VERSION = 2
"""Version of the drawings; raised whenever the same settings give other pixels."""

SETTINGS_FILE = "demo.json"
"""A folder with this file holds a complete demo."""

_UNFINISHED = ".demo-unfinished.json"
_TRAIN = 4
"""Good training images of each category: references for few-shot methods."""

_SIZES = range(64, 1025)
_WHITE = 255


def make_demo(root: Path, *, images: int = 6, seed: int = 0, size: int = 256) -> Path:
    """Draw the demo data set, unless it is there already.

    The same settings give the same bytes with the same versions of numpy and Pillow. A larger number of images adds
    some and keeps the others. The next call completes what an interrupted one has begun.

    Args:
        root: the folder to write to; it and its parents are created.
        images: test images of each category, about half of them good; at least 2.
        seed: 0 or more.
        size: pixels a side, 64 to 1024.

    Returns:
        ``root``.

    Raises:
        DataError: a setting is out of range, ``root`` holds something else, or it cannot be written.
    """
    if images < 2:  # noqa: PLR2004 - a good one and a defective one
        raise DataError(
            f"A demo needs a good and a defective image in each category; got images={images}, give 2 or more."
        )
    if seed < 0:
        raise DataError(f"The demo's seed is {seed}; give 0 or more.")
    if size not in _SIZES:
        raise DataError(f"Demo images cannot have {size} pixels a side; give {_SIZES[0]} to {_SIZES[-1]}.")
    settings = {"generator": VERSION, "images": images, "seed": seed, "size": size}
    try:
        if not _is_complete(root, settings):
            root.mkdir(parents=True, exist_ok=True)
            # Files are written whole and always with the same bytes, so two processes may draw at the same time.
            write_file(root / _UNFINISHED, json.dumps(settings))
            _draw_all(root, images, seed, size)
            write_file(root / SETTINGS_FILE, json.dumps(settings) + "\n")
            (root / _UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The demo cannot be written to {root}: {error.strerror}.") from error
    return root


def _is_complete(root: Path, settings: dict[str, int]) -> bool:
    """Tell whether a folder holds the requested demo; False if it is absent, empty or an interrupted call's.

    Raises:
        DataError: the folder holds something else.
    """
    if not root.exists() or not any(root.iterdir()):
        return False
    for name in (SETTINGS_FILE, _UNFINISHED):
        if (root / name).is_file():
            there = _read_settings(root / name)
            if there == settings:
                return name == SETTINGS_FILE
            raise DataError(
                f"{root} holds a demo with other settings ({there}; requested: {settings}); "
                "name another folder, or delete this one."
            )
    raise DataError(f"{root} holds something other than a demo; name a new or empty folder.")


def _read_settings(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return "unreadable"


def _draw_all(root: Path, images: int, seed: int, size: int) -> None:
    for category in CATEGORIES:
        for folder, index in _plan(category, images):
            image, mask = draw_picture(category, folder, index, seed=seed, size=size)
            _save(root / category / folder / f"{index:03d}.png", image)
            if mask.any():
                defect = folder.removeprefix("test/")
                _save(root / category / "ground_truth" / defect / f"{index:03d}_mask.png", mask * np.uint8(_WHITE))


def _plan(category: str, images: int) -> Iterator[tuple[str, int]]:
    """Yield each picture's folder and number: training images, then good and defective test images in turn."""
    defects = list(CATEGORIES[category].defects)
    for index in range(_TRAIN):
        yield "train/good", index
    for number in range(images):
        turn, is_defective = divmod(number, 2)
        if is_defective:
            yield f"test/{defects[turn % len(defects)]}", turn // len(defects)
        else:
            yield "test/good", turn


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, file.getvalue())
