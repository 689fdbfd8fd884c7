"""The steps of GPT-4V-AD, each compared with a second computation, a hash, or answers of known meaning.

The division is scikit-image's SLIC in both computations. The hash of the question shows that its words, which are the
project's own, have not changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from reproduce_step import Step, compared
from scipy.ndimage import map_coordinates
from skimage.segmentation import find_boundaries, slic

from lvlm_ad.datasets.images import resize_image
from lvlm_ad.presets import load_prompt, load_protocol
from lvlm_ad.prompts.marks import MarkStyle, draw_marks, place_numbers
from lvlm_ad.prompts.question import fill_prompt, sentences
from lvlm_ad.regions import METHODS, Regions, divide
from lvlm_ad.text2seg import paint, parse

if TYPE_CHECKING:
    from reproduce_recipes import Recipe

    from lvlm_ad.plugins import Model

__all__ = ["region_steps"]

_ANSWERS: dict[str, tuple[float, dict[int, float]]] = {
    "image anomaly score: 0.9; region 1: 0.9; region 3: 0.7.": (0.9, {1: 0.9, 3: 0.7}),
    "Image anomaly score: 0.1.": (0.1, {}),
    "image anomaly score: 1; region 12: 1.0; region 2: 0.": (1.0, {12: 1.0, 2: 0.0}),
    "The left edge is bent.\nimage anomaly score: 0.85; region 7: 0.85": (0.85, {7: 0.85}),
}
"""Answers in the published format, and what they say."""

_ONE_LEVEL = 1.0
"""OpenCV and an exact bilinear interpolation differ by one grey level at most."""


def region_steps(
    recipe: Recipe, model: Model, settings: Mapping[str, Any], pictures: Sequence[np.ndarray]
) -> Iterator[Step]:
    """Check the steps of a recipe, one by one; no model is asked. The arguments are those of ``clip_steps``.

    Raises:
        ConfigError: a setting is wrong.
    """
    wanted = recipe.reference
    fields = set(type(load_protocol(recipe.protocol, {})).model_fields)
    protocol = load_protocol(recipe.protocol, {name: value for name, value in settings.items() if name in fields})
    size = int(wanted["image_size"])
    asked = str(model.preset.options.get("model", model.preset.name))
    state = "agrees" if asked == wanted["model"] else "not checked"
    detail = f"{asked}" if state == "agrees" else f"{asked} is asked; the paper's {wanted['model']} is retired"
    sent = [resize_image(picture, (protocol.image_size, protocol.image_size)) for picture in pictures]
    # The protocol's options are those of superpixels; another division has others.
    known = METHODS[protocol.division][0].model_fields if protocol.division in METHODS else {}
    options = {name: value for name, value in protocol.division_options().items() if name in known}
    regions = [divide(one, protocol.division, **options) for one in sent]
    yield Step("model", state, detail)
    yield compared("size", "pictures stretched, in grey levels", _pairs(sent, pictures, size), _ONE_LEVEL)
    cuts: list[tuple[Any, Any]] = [(_numbers(cut), _slic(one, wanted)) for cut, one in zip(regions, sent, strict=True)]
    yield compared("division", "numbers of the regions", cuts, 0)
    yield _picture(sent, regions, MarkStyle.of(protocol), protocol.visual, int(wanted["number_back"]))
    yield _question(protocol, wanted)
    yield _reading()
    yield _painting(regions, binary=protocol.binary, wanted=bool(wanted["binary"]))


def _pairs(sent: Sequence[np.ndarray], pictures: Sequence[np.ndarray], size: int) -> list[tuple[Any, Any]]:
    """Pair the stretched pictures with an interpolation of each channel at the centres of the new pixels."""
    pairs = []
    for one, picture in zip(sent, pictures, strict=True):
        rows, columns = ((np.arange(size) + 0.5) * length / size - 0.5 for length in picture.shape[:2])
        at = np.meshgrid(rows, columns, indexing="ij")
        channels = [map_coordinates(picture[..., c].astype(float), at, order=1, mode="nearest") for c in range(3)]
        pairs.append((one, np.round(np.stack(channels, axis=2))))
    return pairs


def _numbers(regions: Regions) -> np.ndarray:
    """Return each pixel's region, from 1; 0 where there is none."""
    numbers = np.zeros(regions.n_cells, dtype=int)
    for number, covered in enumerate(regions.membership, start=1):
        numbers[covered] = number
    return numbers[regions.cells]


def _slic(image: np.ndarray, wanted: Mapping[str, Any]) -> np.ndarray:
    """Cut with scikit-image's SLIC, and keep the regions whose area fits, renumbered from 1."""
    labels = slic(image, n_segments=wanted["n_segments"], compactness=wanted["compactness"], start_label=1)
    out, number, scale = np.zeros_like(labels), 0, image.shape[0] * image.shape[1] / 768**2
    for value in range(1, int(labels.max()) + 1):
        region = labels == value
        if wanted["min_area"] * scale < region.sum() < wanted["max_area"] * scale:
            number += 1
            out[region] = number
    return out


def _picture(sent: Sequence[np.ndarray], regions: Sequence[Regions], style: MarkStyle, visual: str, back: int) -> Step:
    """Compare the drawn borders with scikit-image's, and look for white on grey in the boxes of the numbers."""
    name = "marks"
    if (visual, style.border_width, style.number_size, style.number_style) != ("marked", 1, 10, "grey"):
        widths = f"borders of {style.border_width} px, numbers of {style.number_size} px"
        return Step(name, "differs", f"{visual}: {widths}, {style.number_style}")
    pairs: list[tuple[Any, Any]] = []
    for image, division in zip(sent, regions, strict=True):
        drawn, outside = draw_marks(image, division, style), np.ones(image.shape[:2], dtype=np.bool_)
        for box in place_numbers(division, style.number_size):
            area = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
            outside[area] = False
            pairs.append((drawn[area].min(), back))
        border = find_boundaries(_numbers(division), connectivity=1, mode="inner")
        expected = np.where(border[..., None], np.uint8(255), image)
        pairs.append((drawn[outside], expected[outside]))
    return compared(name, "borders, and the grey below numbers", pairs, 0)


def _question(protocol: Any, wanted: Mapping[str, Any]) -> Step:
    """Compare the hash of the question with that of the recipe."""
    prompt = load_prompt(protocol.prompt)
    values = {"class_name": "metal nut", "n_regions": "40", "defects": "", **sentences(prompt, protocol)}
    text = fill_prompt(prompt, values)
    same = hashlib.sha256(text.encode()).hexdigest() == wanted["question"]
    detail = (
        "unchanged since the recipe was written; the words are this project's"
        if same
        else f"the prompt {prompt.name} is not the recipe's"
    )
    return Step("question", "agrees" if same else "differs", detail)


def _reading() -> Step:
    for text, (image, scores) in _ANSWERS.items():
        found = parse(text, 40)
        if (found.image, dict(found.regions)) != (image, scores):
            return Step("reading", "differs", f"{text!r} is read as {found.image}, {dict(found.regions)}")
    return Step("reading", "agrees", f"{len(_ANSWERS)} answers in the published format")


def _painting(regions: Sequence[Regions], *, binary: bool, wanted: bool) -> Step:
    pairs = []
    for one in regions:
        scores = {number: round(0.1 + 0.8 * number / one.count, 2) for number in range(1, one.count + 1, 2)}
        expected = np.zeros(one.shape)
        for number, score in scores.items():
            expected[_numbers(one) == number] = 1.0 if wanted else score
        pairs.append((paint(scores, one, binary=binary).dense(), expected))
    return compared("painting", "the score of each region in its pixels", pairs, 0)
