"""Scripted models that look at the picture as they see it and answer in their own convention.

Each model resizes the picture by its own rule, finds the one red rectangle by its colour, and writes where it is. It
shares no code with the reading: its sizes and notations are written out here.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import convention_names
from lvlm_ad.methods.boxes import Boxes
from lvlm_ad.methods.points import Points

SIZES = ((672, 448), (434, 768), (768, 768), (896, 896), (1920, 1080))
"""Width and height of the pictures that are sent."""

SEEN = {
    "qwen25_seen": {
        (672, 448): (672, 448),
        (434, 768): (448, 756),
        (768, 768): (756, 756),
        (896, 896): (896, 896),
        (1920, 1080): (1932, 1092),
    },
    "qwen25_seen_1280": {
        (672, 448): (672, 448),
        (434, 768): (448, 756),
        (768, 768): (756, 756),
        (896, 896): (896, 896),
        (1920, 1080): (1316, 728),
    },
    "claude_1568": {(1920, 1080): (1456, 819)},
}
"""Convention -> size sent -> size seen, where the model resizes; by hand, the last one published by Anthropic."""

UNITS = {
    **dict.fromkeys(("unit_1", "padded_1", "centre_1"), 1),
    **dict.fromkeys(("percent_100", "molmo_100"), 100),
    **dict.fromkeys(("mistral_999", "deepseek_999"), 999),
    "paligemma_1024": 1024,
}
"""What the whole side counts, where it is neither 1000 nor a number of pixels."""
PIXELS = {"sent_pixels", "coco_sent", "claude_1568", "claude_2576", "qwen25_seen", "qwen25_seen_1280"}


def red_box(pixels):
    """Return the bounding box of what is red, as fractions of the picture: left, top, right, bottom."""
    red = (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 100)
    rows, columns = np.nonzero(red.any(axis=1))[0], np.nonzero(red.any(axis=0))[0]
    height, width = red.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def look(request, name):
    """Return what a model sees: the picture after its own resizing or padding, uint8 ``(H, W, 3)``."""
    picture = Image.open(BytesIO(request.images[-1].data)).convert("RGB")
    if name == "padded_1":
        side = max(picture.size)
        square = Image.new("RGB", (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return np.asarray(square)
    seen = SEEN.get(name, {}).get(picture.size, picture.size)
    return np.asarray(picture.resize(seen, Image.Resampling.NEAREST))


def numbers(name, pixels):
    """Return the box's numbers as the model counts: whole numbers, except of fractions."""
    height, width = pixels.shape[:2]
    sides = np.array(red_box(pixels))
    whole = np.array([width, height, width, height]) if name in PIXELS else UNITS.get(name, 1000)
    if UNITS.get(name) == 1:
        return [round(float(side), 4) for side in sides]
    if name == "florence_1000":
        # The bin in which the side lies, of 1000.
        return [min(int(side * 1000), 999) for side in sides]
    return [round(side) for side in (sides * whole).tolist()]


WRITTEN = {
    "qwen_1000": "<ref>hole</ref><box>({x1},{y1}),({x2},{y2})</box>",
    "internvl_1000": "<ref>hole</ref><box>[[{x1}, {y1}, {x2}, {y2}]]</box>",
    "deepseek_999": "<|ref|>hole<|/ref|><|det|>[[{x1}, {y1}, {x2}, {y2}]]<|/det|>",
    "glm_1000": "It has a hole at <|begin_of_box|>[[{x1},{y1},{x2},{y2}]]<|end_of_box|>.",
    "minicpm_1000": "<box>{x1} {y1} {x2} {y2}</box>",
    "cogvlm_1000": "There is a hole [[{x1:03},{y1:03},{x2:03},{y2:03}]] in it.",
    "gemini_1000": '```json\n[{{"box_2d": [{y1}, {x1}, {y2}, {x2}], "label": "hole"}}]\n```',
    "muse_1000": '[{{"label": "hole", "x_min": {x1}, "y_min": {y1}, "x_max": {x2}, "y_max": {y2}}}]',
    "paligemma_1024": "<loc{y1:04}><loc{x1:04}><loc{y2:04}><loc{x2:04}> hole",
    "florence_1000": "hole<loc_{x1}><loc_{y1}><loc_{x2}><loc_{y2}>",
    "coco_sent": '[{{"bbox": [{x1}, {y1}, {width}, {height}]}}]',
    "centre_1": '[{{"bbox": [{x}, {y}, {width}, {height}]}}]',
    **dict.fromkeys(("unit_1", "qwen3_1000"), '[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "hole"}}]'),
    **dict.fromkeys(("qwen25_seen", "qwen25_seen_1280"), '[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "hole"}}]'),
    "kosmos_32": "<object><patch_index_{first:04}><patch_index_{last:04}></object>",
}
"""Convention -> the answer, if it is not the last form below."""
USUAL = '[{{"box_2d": [{x1}, {y1}, {x2}, {y2}], "label": "hole"}}]'


def as_written(name, pixels):
    """Return the model's answer about the one red rectangle."""
    x1, y1, x2, y2 = numbers(name, pixels)
    left, top, right, bottom = (min(int(side * 32), 31) for side in red_box(pixels))
    more = {"width": x2 - x1, "height": y2 - y1, "x": (x1 + x2) / 2, "y": (y1 + y2) / 2}
    patches = {"first": 32 * top + left, "last": 32 * bottom + right}
    return WRITTEN.get(name, USUAL).format(x1=x1, y1=y1, x2=x2, y2=y2, **more, **patches)


def picture(size, box):
    """A grey picture with one red rectangle."""
    left, top, right, bottom = box
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    pixels[top:bottom, left:right] = (220, 30, 30)
    return pixels


def tolerance(name, size):
    """How far a side may be off, in sent pixels: half a unit of the model's numbers, and a pixel of what it sees."""
    units = {"kosmos_32": 32, **UNITS}.get(name, 1000)
    longest = max(size)
    off = 0 if name in PIXELS or units == 1 else longest / units / 2
    return off + (longest * 1e-4 if units == 1 else 0) + (1.5 if name in SEEN else 1e-6)


BOXES = sorted(set(convention_names()) - {"molmo_100", "molmo2_1000"})


@pytest.mark.parametrize("name", BOXES)
def test_the_same_box_lands_on_the_same_pixels(make_view, talk, name):
    """Whatever the order, range, notation and resizing, the box is where the rectangle is in the picture sent."""
    for width, height in SIZES if name in {*SEEN, "claude_2576"} else SIZES[:3]:
        true = (width // 8, height // 4, width // 2, height // 2)
        view = make_view(picture((width, height), true), prompt="boxes", convention=name)
        _, finding = talk(Boxes(), view, lambda request: Answer(as_written(name, look(request, name))))
        assert (finding.status, finding.flags, finding.image, len(finding.shapes)) == ("ok", (), 1.0, 1)
        (box,) = finding.shapes
        found = np.array([box.x1, box.y1, box.x2, box.y2])
        assert np.abs(found - true).max() <= tolerance(name, (width, height)), (width, height)


POINTING = {
    "molmo_100": (100, '<point x="{x}" y="{y}" alt="hole">hole</point>'),
    "molmo2_1000": (1000, '<points coords="1 1 {x} {y}">hole</points>'),
    "qwen3_1000": (1000, '[{{"point_2d": [{x}, {y}], "label": "hole"}}]'),
    "gemini_1000": (1000, '[{{"point": [{y}, {x}], "label": "hole"}}]'),
    "minicpm_1000": (1000, "<point>{x} {y}</point>"),
    "unit_1": (1, '[{{"point_2d": [{x}, {y}], "label": "hole"}}]'),
}
"""Convention -> what the whole side counts, and the answer."""


@pytest.mark.parametrize("name", POINTING)
def test_the_same_point_lands_on_the_same_pixel(make_view, talk, name):
    """A point stands where the rectangle's middle is, in each convention, as a disc of the radius asked for."""
    unit, form = POINTING[name]

    def pointing(request):
        left, top, right, bottom = red_box(look(request, name))
        digits = {1: 4, 100: 1, 1000: 0}[unit]
        x, y = (round(unit * (low + high) / 2, digits) for low, high in ((left, right), (top, bottom)))
        return Answer(form.format(x=int(x) if unit == 1000 else x, y=int(y) if unit == 1000 else y))

    for width, height in SIZES[:3]:
        true = (width // 4, height // 2, width // 2, height * 3 // 4)
        prompt = "points-molmo" if name.startswith("molmo") else "points"
        view = make_view(picture((width, height), true), prompt=prompt, convention=name)
        _, finding = talk(Points(Points.Options(point_radius=0.1)), view, pointing)
        (point,) = finding.shapes
        middle = (true[0] + true[2]) / 2, (true[1] + true[3]) / 2
        assert (point.x, point.y) == pytest.approx(middle, abs=max(width, height) / 1000)
        assert point.radius == pytest.approx(0.1 * min(width, height))
