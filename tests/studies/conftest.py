"""A data set whose pictures tell a scripted model which image it sees, and a base that asks about it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.evaluate import RunConfig

MODEL = str(Path(__file__).with_name("scripted_model.py")) + ":Scripted"

GROUNDED = str(Path(__file__).with_name("grounding_model.py")) + ":Grounded"

SETTINGS = {
    "image_size": 160,
    "division": "grid",
    "grid_rows": 4,
    "grid_columns": 4,
    "min_area": 0,
    "number_size": 9,
    "border_width": 1,
    "price_input": 1,
    "price_output": 1,
}
"""Regions are the blocks of the pictures; a question costs about 0.001 USD."""


def write_blocks(root, images, categories=("bolt",)):
    """Write good and anomalous images in turn, 80 x 80 pixels in 16 blocks; a defect is one red block.

    Every block is (60, number of the image, 100); a defective one has 200 as its red.
    """
    for place, category in enumerate(categories):
        for index in range(images):
            number, label = place * images + index, index % 2
            pixels = np.full((80, 80, 3), (60, number, 100), np.uint8)
            mask = np.zeros((80, 80), np.uint8)
            if label:
                row, column = divmod(1 + number * 7 % 15, 4)
                mask[20 * row : 20 * row + 20, 20 * column : 20 * column + 20] = 255
                pixels[mask > 0, 0] = 200
            kind = "hole" if label else "good"
            write(root / category / "test" / kind / f"{index:03}.png", pixels)
            if label:
                write(root / category / "ground_truth" / "hole" / f"{index:03}_mask.png", mask)
        for index in range(12):
            write(
                root / category / "train" / "good" / f"{index:03}.png", np.full((80, 80, 3), (60, index, 100), np.uint8)
            )
    return root


def write(path, pixels):
    """Write an image file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def blocks(tmp_path_factory):
    """The folder of a data set with 40 images of one category; tests leave it as it is."""
    return write_blocks(tmp_path_factory.mktemp("blocks") / "data", 40)


@pytest.fixture
def two_categories(tmp_path):
    """The folder of a data set with 8 images of each of two categories."""
    return write_blocks(tmp_path / "data", 8, ("bolt", "nut"))


@pytest.fixture
def base(blocks, tmp_path):
    """A function that returns the base of a study: the scripted model, with settings of its own."""

    def make(**settings):
        settings = {**SETTINGS, "log": str(tmp_path / "asked.txt"), **settings}
        return RunConfig(models=[MODEL], data=blocks, out=tmp_path / "out", settings=settings, resamples=0)

    return make


@pytest.fixture
def asked(tmp_path):
    """A function that returns a line for each question that the model of ``base`` was asked; or its other lines."""

    def read(*others):
        log = tmp_path / "asked.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line in others] if others else [line for line in lines if " " in line]

    return read


@pytest.fixture
def options(blocks, tmp_path):
    """A function that returns the options of the command whose base is that of ``base``."""

    def make(**settings):
        settings = {**SETTINGS, "log": str(tmp_path / "asked.txt"), **settings}
        chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        return ["-m", MODEL, "--data", str(blocks), "--out", str(tmp_path / "out"), "--resamples", "0", *chosen]

    return make


@pytest.fixture
def models(blocks, tmp_path):
    """A function that returns a configuration of several scripted models, by name, each with its own options."""

    def make(**options):
        names = []
        for name, of in options.items():
            own = {"log": str(tmp_path / "asked.txt"), **of}
            plugin = MODEL.replace("Scripted", own.pop("plugin", "Scripted"))
            lines = [f"{key} = {json.dumps(value)}" for key, value in {"backend": plugin, **own}.items()]
            path = tmp_path / f"{name}.toml"
            path.write_text("\n".join(lines) + "\n")
            names.append(str(path))
        settings = {key: value for key, value in SETTINGS.items() if not key.startswith("price")}
        return RunConfig(models=names, data=blocks, out=tmp_path / "out", settings=settings, resamples=100)

    return make


@pytest.fixture(scope="session")
def coloured(tmp_path_factory):
    """The folder of a data set with 40 images; every other one has a red square: 4, 8, 14 or 20 pixels wide."""
    root = tmp_path_factory.mktemp("coloured") / "data"
    for number in range(40):
        pixels = np.full((80, 80, 3), (60, 120, 160), np.uint8)
        pixels[:, 40:, 1] = number
        mask = np.zeros((80, 80), np.uint8)
        kind = "hole" if number % 2 else "good"
        if number % 2:
            side, (row, column) = (4, 8, 14, 20)[number // 2 % 4], divmod(1 + number * 7 % 15, 4)
            mask[20 * row : 20 * row + side, 20 * column : 20 * column + side] = 255
            pixels[mask > 0] = (200, number, 100)
            write(root / "bolt" / "ground_truth" / kind / f"{number:03}_mask.png", mask)
        write(root / "bolt" / "test" / kind / f"{number:03}.png", pixels)
    return root


@pytest.fixture
def grounded(coloured, tmp_path):
    """A function that returns the base of a study of the scripted model."""

    def make(resamples=0, **settings):
        settings = {**SETTINGS, "log": str(tmp_path / "asked.txt"), **settings}
        return RunConfig(models=GROUNDED, data=coloured, out=tmp_path / "out", settings=settings, resamples=resamples)

    return make
