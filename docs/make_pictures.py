"""Draws the pictures of the documentation with the library itself: python docs/make_pictures.py."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from lvlm_ad.baseline import References
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.detectors import BaselineDetector
from lvlm_ad.plugins import build, find_model
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide
from lvlm_ad.report import overview

IMAGES = Path(__file__).with_name("images")
SIZE = (768, 768)
SHOWN = "brick/foreign_body/001"


def pipeline() -> None:
    """Draw the three steps on one demo image; the answer is the oracle's, written in the published format."""
    with TemporaryDirectory() as folder:
        sample = next(sample for sample in load_dataset("demo", Path(folder) / "demo") if sample.id == SHOWN)
        image, mask = resize_image(sample.image, SIZE), sample.mask
        regions = divide(image)
        oracle = build(find_model("oracle", {})[0])
        detector = BaselineDetector("oracle", oracle, image_size=SIZE[0], references=lambda _: References(), seed=0)
        prediction = detector.detect(sample, regions)
    marked = draw_marks(image, regions, MarkStyle())
    truth = None if mask is None else resize_mask(mask, SIZE)
    picture = overview(image, marked, prediction.text, prediction.score_map.dense(), truth)
    IMAGES.mkdir(exist_ok=True)
    # A palette keeps the file small.
    quantized = Image.fromarray(np.ascontiguousarray(picture)).quantize(128)
    quantized.save(IMAGES / "pipeline.png", optimize=True)


if __name__ == "__main__":
    pipeline()
