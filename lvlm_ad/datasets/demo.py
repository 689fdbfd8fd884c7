"""The built-in demo in the layout of MVTec AD: two photographed textures and four drawn products."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lvlm_ad.datasets.demo_pictures import CATEGORIES, draw_picture
from lvlm_ad.datasets.folders import folders_in, is_file
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mvtec import Layout, read_category
from lvlm_ad.errors import DataError
from lvlm_ad.files import write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets.masks import Threshold

VERSION = 3
"""Version of the drawings; raised whenever the same settings give other pixels."""

SETTINGS_FILE = "demo.json"
"""A folder with this file holds a complete demo."""

_UNFINISHED = ".demo-unfinished.json"
_TRAIN = 4
"""Good training images of each category: references for few-shot methods."""

_MEASURED_AT = 512
"""The side to which pictures are stretched: twice their own, which leaves room for the numbers of regions."""


def make_demo(root: Path, *, images: int = 6, seed: int = 0, size: int = 256) -> Path:
    """Draw the demo data set, unless it is there already.

    The same settings give the same bytes with the same versions of numpy and Pillow. A larger number of images adds
    some and keeps the others. The next call completes what an interrupted one has begun.

    Args:
        root: the folder to write to; it and its parents are created.
        images: test images of each category, about half of them good; at least 2.
        seed: 0 or more.
        size: pixels a side, at least 64.

    Returns:
        ``root``.

    Raises:
        DataError: ``root`` holds something else, or it cannot be written.
    """
    settings = json.dumps({"generator": VERSION, "images": images, "seed": seed, "size": size})
    try:
        if not _is_complete(root, settings):
            root.mkdir(parents=True, exist_ok=True)
            # Files are written whole and always with the same bytes, so two processes may draw at the same time.
            write_file(root / _UNFINISHED, settings)
            # Threads: drawing is work for NumPy and Pillow, and writing waits for the disk.
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda one: _draw_file(root, *one, seed=seed, size=size), _pictures(images)))
            write_file(root / SETTINGS_FILE, settings + "\n")
            (root / _UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The demo cannot be written to {root}: {error.strerror}. Name another folder.") from error
    return root


def read_demo(root: Path, threshold: Threshold) -> Listing:
    """List the demo in a folder and draw it first if necessary; a demo that is there may have any settings."""
    if not is_file(root / SETTINGS_FILE):
        make_demo(root)
    # Its masks hold 0 or 255, so there is no threshold to choose.
    listing = Listing("demo", root, 127 if threshold is None else threshold)
    listing.image_size = _MEASURED_AT
    for folder in folders_in(root):
        read_category(listing, folder, folder.name, Layout())
    return listing


def _is_complete(root: Path, settings: str) -> bool:
    """Tell whether a folder holds the requested demo; False if it is absent, empty or an interrupted call's.

    Raises:
        DataError: the folder holds something else.
    """
    if not root.exists() or not any(root.iterdir()):
        return False
    for name in (SETTINGS_FILE, _UNFINISHED):
        if (root / name).is_file():
            there = (root / name).read_text(encoding="utf-8", errors="replace").strip()
            if there == settings:
                return name == SETTINGS_FILE
            raise DataError(
                f"{root} holds a demo with other settings: {there[:200]}, not {settings}. Name another folder, or "
                "delete this one."
            )
    raise DataError(f"{root} holds something other than a demo; name a new or empty folder.")


def _pictures(images: int) -> Iterator[tuple[str, str, int]]:
    """Yield category, folder and number of each picture: training, good, defective; kinds of defect take turns."""
    for category, (_, kinds) in CATEGORIES.items():
        defects = list(kinds)
        yield from ((category, "train/good", index) for index in range(_TRAIN))
        yield from ((category, "test/good", index) for index in range((images + 1) // 2))
        yield from (
            (category, f"test/{defects[index % len(defects)]}", index // len(defects)) for index in range(images // 2)
        )


def _draw_file(root: Path, category: str, folder: str, index: int, *, seed: int, size: int) -> None:
    """Draw one picture and write it, and its mask if it is defective."""
    image, mask = draw_picture(category, folder, index, seed=seed, size=size)
    _save(root / category / folder / f"{index:03d}.png", image)
    if mask.any():
        defect = folder.removeprefix("test/")
        _save(root / category / "ground_truth" / defect / f"{index:03d}_mask.png", mask * np.uint8(255))


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, file.getvalue())
