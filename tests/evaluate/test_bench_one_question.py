"""Benches of the methods that ask one question: a model behind an endpoint that looks at pictures, and the oracle."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import lvlm_ad
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.metrics import pixel_metrics
from lvlm_ad.runs import read_run

SIDE = 96
SIZE = (SIDE, SIDE)


def picture_of(body):
    """Decode the last picture of a request."""
    uris = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return np.asarray(Image.open(BytesIO(base64.b64decode(uris[-1].partition(",")[2]))).convert("RGB"))


def red_box(picture, side=SIDE):
    """Return where a picture is red after it is resized to ``side``: x1, y1, x2, y2; or None."""
    resized = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized).astype(int)
    # The ground has any colour, but none as far from grey.
    red = pixels[:, :, 0] - pixels[:, :, 1:].max(axis=2) > 140
    if not red.any():
        return None
    rows, columns = np.nonzero(red.any(axis=1))[0], np.nonzero(red.any(axis=0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def in_boxes(side, order=(0, 1, 2, 3)):
    """A model that answers in boxes: pixels of a picture of ``side``."""

    def answer(picture):
        box = red_box(picture, side)
        return json.dumps([{"box_2d": [box[index] for index in order], "label": "hole"}] if box else [])

    return answer


def in_scored_boxes(picture):
    """A model that gives scores, too."""
    box = red_box(picture)
    boxes = [{"box_2d": box, "label": "hole", "score": 0.7}, {"box_2d": [0, 0, 9, 9], "label": "dust", "score": 0.1}]
    return json.dumps({"image_anomaly_score": 0.8 if box else 0.2, "boxes": boxes[not box :]})


def in_points(picture):
    """A model that points."""
    box = red_box(picture)
    middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] if box else []
    return json.dumps([{"point_2d": point, "label": "hole"} for point in (middle, [9, 90])] if box else [])


def in_masks(picture):
    """A model that outlines in thousandths, y before x in boxes."""
    if (box := red_box(picture)) is None:
        return "[]"
    x1, y1, x2, y2 = (side * 1000 / SIDE for side in box)
    # No centre of a pixel lies on the slope.
    corners = [[x1, y1], [x2, y1], [x2, y2 - 3]]
    return json.dumps([{"box_2d": [y1, x1, y2, x2], "mask": corners, "label": "hole"}])


def in_cells(picture):
    """A model that names the cells of a grid of 8 x 8 in which it sees anything."""
    box = red_box(picture)
    if box is None:
        return "image anomaly score: 0.1; there are none."
    named = [
        f"{'ABCDEFGH'[column]}{row + 1}: 0.6"
        for row in range(box[1] // 12, -(-box[3] // 12))
        for column in range(box[0] // 12, -(-box[2] // 12))
    ]
    return "; ".join(["image anomaly score: 0.9", *named])


def in_a_score(picture):
    """A model that gives an image score alone."""
    return f"image anomaly score: {0.9 if red_box(picture) else 0.1}"


def in_a_word(picture):
    """A model that says yes or no."""
    return "Yes" if red_box(picture) else "No"


MODELS = {
    "boxes": (in_boxes(SIDE), {"convention": "sent_pixels"}),
    # 84 is the multiple of 28 nearest to 96.
    "boxes that the model resizes": (in_boxes(84), {"convention": "qwen25_seen"}),
    "boxes with scores": (in_scored_boxes, {"convention": "sent_pixels", "scored": True}),
    "points": (in_points, {"convention": "sent_pixels", "point_radius": 0.1}),
    "masks": (in_masks, {"convention": "gemini_1000", "state_convention": False}),
    "cells": (in_cells, {}),
    "score": (in_a_score, {}),
    "yes-no": (in_a_word, {}),
}
"""What is tested -> the model, and the bench's settings; the first word is the method."""


def painted(name, picture):
    """The map that a model's answer means, painted pixel by pixel: float64 ``(SIDE, SIDE)``."""
    values = np.zeros(SIZE)
    seen = 84 if "resizes" in name else SIDE
    if (box := red_box(picture, seen)) is None:
        values[:9, :9] = 0.1 if "scores" in name else 0
        return values
    x1, y1, x2, y2 = (side * SIDE / seen for side in box)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
    if name == "points":
        discs = ((x1 + x2) / 2, (y1 + y2) / 2), (9, 90)
        inside = np.any([(x - across) ** 2 + (y - down) ** 2 <= (0.1 * SIDE) ** 2 for across, down in discs], axis=0)
    elif name == "masks":
        inside &= (y - y1) / (y2 - 3 * SIDE / 1000 - y1) < (x - x1) / (x2 - x1)
    elif name == "cells":
        inside = (x > x1 // 12 * 12) & (x < -(-x2 // 12) * 12) & (y > y1 // 12 * 12) & (y < -(-y2 // 12) * 12)
    if "scores" in name:
        values[:9, :9] = 0.1
    values[inside] = 0.7 if "scores" in name else 0.6 if name == "cells" else 1.0
    return values


def pictures_and_masks(data, category):
    """Return the pictures of a category as they are sent, and their masks."""
    samples = [sample for sample in load_dataset("folder", data) if sample.category == category]
    pictures = [resize_image(sample.image, SIZE) for sample in samples]
    return pictures, [resize_mask(sample.mask, SIZE) for sample in samples]


def check_pixels(run, category, masks, maps):
    """Compare a category's pixel metrics with those of maps."""
    brute = pixel_metrics(masks, maps)
    for metric in ("auroc", "ap", "f1_max", "aupro"):
        measured = run.metrics["categories"][category][f"pixel_{metric}"]
        assert measured == pytest.approx(getattr(brute, metric), abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_sees_the_defect_is_measured_as_its_answers_say(bench, endpoint, kept_data, name):
    """Each image is asked about once, again never; the metrics are those of the answers, painted pixel by pixel."""
    model, settings = MODELS[name]
    endpoint.reply = lambda body: model(picture_of(body))
    method = name.partition(" ")[0]
    run = bench(settings, method=method)
    assert len(endpoint.asked) == 12
    assert bench(settings, method=method).metrics == run.metrics
    assert len(endpoint.asked) == 12
    back = read_run(run.dir)
    assert (back.manifest.method.name, list(back.predictions)) == (method, list(run.predictions))
    assert run.metrics["answers"] | {"ok": 12, "total": 12} == run.metrics["answers"]
    assert run.metrics["mean"]["image_auroc"] == 1
    for category in ("bolt", "nut1"):
        pictures, masks = pictures_and_masks(kept_data, category)
        if method in {"score", "yes-no"}:
            assert run.metrics["categories"][category]["pixel_auroc"] is None
            assert run.metrics["categories"][category]["undefined"]["pixel_auroc"] == "the method gives no map"
        else:
            check_pixels(run, category, masks, [painted(name, picture) for picture in pictures])


@pytest.fixture(scope="module")
def blots(tmp_path_factory):
    """The folder of a data set whose defects have any form, lie in the boxes of others and touch the edge."""
    folder = tmp_path_factory.mktemp("blots") / "bolt"
    draw = np.random.default_rng(3)
    for index in range(8):
        kind = "good" if index % 2 else "blot"
        mask = ndimage.gaussian_filter(draw.standard_normal((80, 112)), 3) > 0.18
        for part, pixels in ((f"test/{kind}", mask * 60 + 80), (f"ground_truth/{kind}", mask * 255)):
            if part != "ground_truth/good":
                name = f"{index:03}_mask.png" if part.startswith("ground") else f"{index:03}.png"
                (folder / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name)
    return folder.parent


def oracle_of(data, out, settings, method):
    """Bench the oracle through a method."""
    options = {"method": method, "resamples": 0, "reference_rows": False}
    (run,) = lvlm_ad.bench(models="oracle", data=data, out=out, settings=settings, **options)
    return run


@pytest.mark.parametrize("scored", [False, True])
def test_the_oracle_through_boxes_is_that_of_brute_force(blots, tmp_path, grid, scored):
    """Its map has a box around each defect, with the fraction that is defective as score if scores are asked for."""
    settings = {**grid, "scored": scored}
    oracle = oracle_of(blots, tmp_path, settings, "boxes")
    _, masks = pictures_and_masks(blots, "bolt")
    maps, boxes = [], 0
    for mask in masks:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        values = np.zeros(SIZE)
        boxes += count
        for number in range(1, count + 1):
            rows, columns = np.nonzero(labels == number)
            box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            values[box] = np.maximum(values[box], (mask[box] > 0).mean() if scored else 1)
        maps.append(values)
    assert boxes > 20
    check_pixels(oracle, "bolt", masks, maps)
    overlaps = [
        (values > 0)[mask > 0].sum() / (values > 0).sum()
        for values, mask in zip(maps, masks, strict=True)
        if mask.any()
    ]
    shapes = oracle.metrics["categories"]["bolt"]["shapes"]
    assert shapes["miou_box"] == 1
    assert shapes["miou_mask"] == pytest.approx(np.mean(overlaps), abs=1e-12)


def test_the_oracle_through_masks_is_perfect(blots, tmp_path, grid):
    """Masks can say everything: the oracle's map is the ground truth."""
    found = oracle_of(blots, tmp_path, grid, "masks").metrics["categories"]["bolt"]
    assert (found["pixel_ap"], found["shapes"]["miou_mask"], found["shapes"]["acc_mask_50"]) == (1, 1, 1)


def test_the_oracle_through_cells_is_that_of_the_same_grid(blots, tmp_path, grid):
    """Cells by name and numbered regions of the same grid have the same ceiling."""
    cells = oracle_of(blots, tmp_path, {**grid, "cell_rows": 4, "cell_columns": 4}, "cells")
    regions = oracle_of(blots, tmp_path, {**grid, "max_area": 1e9}, "regions")
    for metric in ("auroc", "ap", "f1_max", "aupro"):
        one, other = (run.metrics["categories"]["bolt"][f"pixel_{metric}"] for run in (cells, regions))
        assert one == pytest.approx(other, abs=1e-12)
