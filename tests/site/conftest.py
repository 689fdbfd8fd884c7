"""What the tests of the site share: real runs of six data sets."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets.demo import make_demo

TESTS = Path(__file__).parents[1]

_BOARDS = runpy.run_path(str(TESTS / "leaderboard" / "conftest.py"))
make_run, make_reference_row, make_own_map = (
    _BOARDS[name] for name in ("make_run", "make_reference_row", "make_own_map")
)
"""Runs of any values."""


SETS = {
    "btad": {"01": "ko", "03": "ko"},
    "folder": {"gear": "bent"},
    "mpdd": {"bracket_black": "hole", "tubes": "flat"},
    "mvtec": {"bottle": "broken", "screw": "scratch"},
    "visa": {"candle": "bad", "pcb1": "bad"},
}
"""Data set -> category -> its kind of defect; the demo is drawn by itself."""

SEER = '''
import io, json
import numpy as np
from PIL import Image
from lvlm_ad.backend import Answer, Capabilities, Usage

class Seer:
    """Sees what is red, the better the less it is blurred by noise of its own; knows neither label nor mask."""
    capabilities = Capabilities(concurrency=4)

    def identity(self):
        return {{"name": "seer", "noise": {noise}}}

    def answer(self, request):
        picture = request.images[-1]
        pixels = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")).astype(int)
        red = (pixels[..., 0] > 160) & (pixels[..., 1] < 110)
        cells = [part.mean() for row in np.array_split(red, 4) for part in np.array_split(row, 4, axis=1)]
        draw = np.random.default_rng(int(picture.digest[:8], 16))
        score = float(np.clip(0.2 + 15 * red.mean() + {noise} * draw.normal(), 0, 1))
        if "box" in request.text:
            y, x = np.nonzero(red)
            if not len(x):
                return Answer("[]", usage=Usage(900, None, 5))
            box = [1000 * int(at) // red.shape[0] for at in (x.min(), y.min(), x.max() + 1, y.max() + 1)]
            text = json.dumps([{{"bbox_2d": box, "label": "<b>mark</b>"}}])
            return Answer(text, usage=Usage(900, None, 40))
        parts = [f"region {{at + 1}}: {{min(0.95, score + 0.1):.2f}}" for at, value in enumerate(cells) if value > 0.02]
        return Answer(f"image anomaly score: {{score:.2f}}; " + ", ".join(parts), usage=Usage(800, None, 30))
'''

QUICK = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4, "min_area": 0, "number_size": 7}


def write_set(root: Path, name: str, images: int = 10) -> Path:
    """Write a data set in the layout of the set ``name``: pictures of a grey ground with a red mark, and masks."""
    draw = np.random.default_rng(len(name))
    good, ending = ("ok", "") if name == "btad" else ("good", "" if name == "visa" else "_mask")
    for category, kind in SETS[name].items():
        for index in range(images):
            coarse = Image.fromarray(draw.integers(60, 180, size=(6, 8)).astype(np.uint8))
            pixels = np.array(coarse.resize((120, 96), Image.Resampling.BICUBIC).convert("RGB"))
            # What is unusual without being a defect.
            pixels[60:80, 20 + 4 * index : 40 + 4 * index] = 240
            save(root / category / "train" / good / f"{index:03}.png", pixels)
            save(root / category / "test" / good / f"{index:03}.png", pixels[::-1])
            row, column, side = *draw.integers(4, 60, 2), int(draw.integers(8, 24))
            mask = np.zeros((96, 120), np.uint8)
            mask[row : row + side, column : column + side] = 255
            marked = pixels.copy()
            marked[mask > 0] = (200, 60, 60)
            save(root / category / "test" / kind / f"{index:03}.png", marked)
            save(root / category / "ground_truth" / kind / f"{index:03}{ending}.png", mask)
    return root


def save(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as an image file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_runs(folder: Path, sets: tuple[str, ...] = ("demo", *SETS), images: int = 6) -> Path:
    """Bench two chat models with prices and the reference rows on each set, and one of them by a second method."""
    models = []
    for name, noise, price in (("seer-large", 0.04, 2.5), ("seer-small", 0.2, 0.1)):
        code = folder / f"{name}.py"
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text(SEER.format(noise=noise))
        preset = folder / f"{name}.toml"
        preset.write_text(
            f'backend = "{code}"\nconvention = "qwen3_1000"\nprice_input = {price}\nprice_output = {4 * price}\n'
            'price_date = "2026-11-01"\n'
        )
        models.append(str(preset))
    common = {"settings": QUICK, "out": folder / "runs", "resamples": 100}
    for name in sets:
        root = folder / "data" / name
        data = make_demo(root, images=6, size=96) if name == "demo" else write_set(root, name, images)
        lvlm_ad.bench(models=models, dataset=name, data=data, **common)
        if name == "demo":
            lvlm_ad.bench(models=models[:1], method="boxes", reference_rows=False, dataset=name, data=data, **common)
    shutil.copytree(TESTS / "data" / "studies", folder / "runs" / "studies")
    return folder / "runs"


@pytest.fixture(scope="session")
def many_runs(built_once):
    """The folder of 37 runs of six data sets and three studies; tests leave it as it is."""
    return built_once("many", make_runs) / "runs"
