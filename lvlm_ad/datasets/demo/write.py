"""Writes the demo set as a folder in the MVTec layout, whole or not at all."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

from lvlm_ad.datasets.demo.picture import CATEGORIES, take
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["GENERATOR", "make_demo"]

GENERATOR = 1
"""Version of the pictures; raised whenever the same settings give other pixels."""

_TRAIN = 4
"""Sound training images of each category, references for methods that use some."""

_SETTINGS = "demo.json"
_FEWEST_IMAGES = 2
_SIZES = range(64, 1025)


def make_demo(root: Path, *, images: int = 10, seed: int = 0, size: int = 384) -> Path:
    """Make the demo set, unless it is there already.

    The pixels depend on seed and size alone (and here and there by one grey level on the processor and on the versions
    of numpy, scipy and Pillow); a larger number of images adds some and keeps the others.

    Args:
        root: the folder to be made; its parents are made too.
        images: test images a category, about 40 % of them good; at least 2, so that both sorts are there.
        seed: 0 or more.
        size: pixels a side, 64 to 1024.

    Returns:
        ``root``.

    Raises:
        DataError: a setting is out of range, ``root`` holds something else, or it cannot be written.
    """
    if images < _FEWEST_IMAGES:
        raise DataError(f"A demo set of {images} images a category lacks good or anomalous ones; give 2 or more.")
    if seed < 0:
        raise DataError(f"The demo set's seed is {seed}; give 0 or more.")
    if size not in _SIZES:
        raise DataError(f"Demo images of {size} pixels a side cannot be made; give {_SIZES[0]} to {_SIZES[-1]}.")
    settings = {"generator": GENERATOR, "images": images, "seed": seed, "size": size}
    try:
        target = root.resolve()
        if _holds(target, settings):
            return root
        target.parent.mkdir(parents=True, exist_ok=True)
        # An empty folder that is there may be a mount or the working folder: it is filled, not replaced.
        home = target if target.is_dir() else target.parent
        # Within a folder of its own the set has the user's default permissions, which a temporary folder has not.
        with TemporaryDirectory(dir=home, prefix=f".{target.name}-", suffix=".partial") as workshop:
            made = Path(workshop) / "demo"
            _write_all(made, settings)
            _move(made, target, settings)
    except (OSError, RuntimeError) as error:
        # resolve() raises RuntimeError where links run in a circle.
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"The demo set cannot be written to {root}: {reason}.") from error
    return root


def _holds(root: Path, settings: dict[str, int]) -> bool:
    """Whether a folder holds the very set that is asked for; False if it is absent or empty.

    Raises:
        DataError: it holds something else.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file; the demo set needs a folder of its own.")
    if not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / _SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{root} holds something else than a demo set; name a new or empty folder.") from error
    if found != settings:
        raise DataError(
            f"{root} holds a demo set of other settings ({_listed(found)}; asked for: {_listed(settings)}); "
            "name another folder or delete it."
        )
    return True


def _listed(settings: object) -> str:
    if not isinstance(settings, dict):
        return "unreadable"
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _write_all(root: Path, settings: dict[str, int]) -> None:
    """Write all pictures, and last of all the settings."""
    seed, size = settings["seed"], settings["size"]
    for category, kind in CATEGORIES.items():
        for place, index in _plan(kind.kinds, settings["images"]):
            picture = take(category, place, index, seed=seed, size=size)
            _save(root / category / place / f"{index:03d}.png", picture.image)
            if picture.mask.any():
                defect = place.removeprefix("test/")
                _save(root / category / "ground_truth" / defect / f"{index:03d}_mask.png", picture.mask * _WHITE)
    with (root / _SETTINGS).open("w", encoding="utf-8") as file:
        file.write(json.dumps(settings) + "\n")
        file.flush()
        os.fsync(file.fileno())


_WHITE = 255


def _plan(kinds: Sequence[str], images: int) -> Iterator[tuple[str, int]]:
    """Yield each picture's folder and number: training images, then test images.

    Two in five test images are good, the defects follow in turn; which one the n-th is does not depend on how many
    there are.
    """
    for index in range(_TRAIN):
        yield "train/good", index
    good = flawed = 0
    for number in range(images):
        if number % 5 in {0, 2}:
            yield "test/good", good
            good += 1
        else:
            yield f"test/{kinds[flawed % len(kinds)]}", flawed // len(kinds)
            flawed += 1


def _save(path: Path, pixels: NDArray[np.integer]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        # Grain never repeats: to look for repetitions only costs time.
        Image.fromarray(pixels.astype("uint8")).save(file, format="PNG", compress_type=zlib.Z_HUFFMAN_ONLY)
        file.flush()
        # The final rename must not reach the disk before what it makes valid.
        os.fsync(file.fileno())


def _move(made: Path, target: Path, settings: dict[str, int]) -> None:
    """Give the finished set its name; another process may have made the same one meanwhile."""
    try:
        if target in made.parents:
            # The settings come last: without them the folder does not count as a demo set.
            for part in sorted(made.iterdir(), key=lambda path: path.name == _SETTINGS):
                part.rename(target / part.name)
            made.rmdir()
        else:
            made.rename(target)
    except OSError:
        if not _holds(target, settings):
            raise
