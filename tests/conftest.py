"""What tests share: paths to data outside the project, small images, and a small data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """The folder with test cases and real images beside the project; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder shared/ with cases and real images is not beside this checkout")
    return SHARED


@pytest.fixture
def photo():
    """A colour photograph, uint8 (400, 600, 3)."""
    from skimage import data

    return data.coffee()


def write_image(path, pixels):
    """Write an array as an image file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def small_data(tmp_path):
    """A data set in the MVTec layout: two categories, 3 good and 3 defective images each, with masks and references."""
    root = tmp_path / "small"
    draw = np.random.default_rng(0)
    for category in ("bolt", "nut1"):
        for index in range(3):
            for split in ("train", "test"):
                write_image(root / category / split / "good" / f"{index:03}.png", _grain(draw))
            pixels, mask = _grain(draw), np.zeros((96, 120), np.uint8)
            row, column = 10 + 20 * index, 15 + 30 * index
            mask[row : row + 18, column : column + 18] = 255
            pixels[mask > 0] = (220, 40, 40)
            write_image(root / category / "test" / "hole" / f"{index:03}.png", pixels)
            write_image(root / category / "ground_truth" / "hole" / f"{index:03}_mask.png", mask)
    return root


def _grain(draw):
    return draw.integers(90, 130, size=(96, 120, 3)).astype(np.uint8)
