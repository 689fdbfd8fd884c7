"""The pictures of a page: each image, and what lies over it, as files of their own that the page stacks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.files import own_folder
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.report.overview import heat
from lvlm_ad.text2seg import paint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.datasets import Sample
    from lvlm_ad.progress import Progress
    from lvlm_ad.regions import Regions
    from lvlm_ad.report.sources import Sources
    from lvlm_ad.runs import Run

__all__ = ["SIDE", "map_range", "write_layers"]

SIDE = 768
"""Pictures are no larger than this."""

_OUTLINE = (255, 0, 200)
"""Of the ground truth: magenta, which neither the images nor the maps' colours hold much of."""

_OUTLINE_SHARE = 1 / 192
"""Width of that line over the longer side: a pixel where a card shows the picture 190 pixels wide."""


def map_range(runs: Sequence[Run]) -> tuple[float, float]:
    """Return the lowest and the highest score of regions in some runs, which all their maps are coloured between."""
    highest = [score for run in runs for record in run.predictions for score in record.regions.values()]
    return 0.0, max(highest, default=0.0) or 1.0


def write_layers(runs: Sequence[Run], sources: Sources, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Write the pictures of all images of runs on the same data set.

    Args:
        runs: read with their predictions.
        sources: their images and divisions.
        folder: where pictures go; it is made.
        progress: hears how far it is.

    Returns:
        For each image, in order, the names of its files: "image", "marks", "truth" (each "" if there is none) and
        "maps", one name a run, "" for a run with another division; "problem" says why an image cannot be used.
    """
    own_folder(folder)
    span = map_range(runs)
    styles = _style(runs[0])
    # A run that cuts the images otherwise, or not at all, has no map on these regions.
    division = sources.divisions.hash if sources.divisions else ""

    def one(at: int) -> dict[str, Any]:
        record = runs[0].predictions[at]
        scores = [run.predictions[at].regions if run.manifest.division.hash == division else None for run in runs]
        binary = [bool(run.manifest.protocol.get("binary")) for run in runs]
        try:
            return _write(f"{at:05}", sources.samples[record.id], sources, folder, (scores, binary, span, styles))
        except LvlmAdError as error:
            return {"image": "", "marks": "", "truth": "", "maps": [""] * len(runs), "problem": str(error)}

    progress.start("pictures", len(runs[0].predictions))
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for layers in pool.map(one, range(len(runs[0].predictions))):
            found.append(layers)
            progress.advance(failed="problem" in layers)
    progress.finish()
    return found


def _style(run: Run) -> MarkStyle:
    """Return how marks were drawn for the model, or the default where none were."""
    default = MarkStyle()
    protocol: Mapping[str, Any] = run.manifest.protocol
    names = ("border_width", "number_size", "number_style")
    return MarkStyle(*(protocol.get(name, getattr(default, name)) for name in names))


def _write(
    stem: str,
    sample: Sample,
    sources: Sources,
    folder: Path,
    drawn: tuple[Sequence[Mapping[int, float] | None], Sequence[bool], tuple[float, float], MarkStyle],
) -> dict[str, Any]:
    scores, binary, span, style = drawn
    image, mask = sample.image, sample.mask
    height, width = (sources.side, sources.side) if sources.side else image.shape[:2]
    image = resize_image(image, (height, width))
    found: dict[str, Any] = {"image": f"{stem}.webp", "marks": "", "truth": "", "maps": [""] * len(scores)}
    _small(Image.fromarray(image)).save(folder / found["image"], quality=80, method=2)
    if mask is not None and mask.any():
        found["truth"] = f"{stem}-truth.webp"
        _clear(_outline(resize_mask(mask, (height, width)))).save(folder / found["truth"], lossless=True, method=2)
    if sources.divisions is None:
        return found
    regions = sources.divisions.regions(sample)
    found["marks"] = f"{stem}-marks.webp"
    _clear(_marks(image, regions, style)).save(folder / found["marks"], lossless=True, method=2)
    low, high = span
    for at, (of, flat) in enumerate(zip(scores, binary, strict=True)):
        if of is None:
            continue
        values = (paint(of, regions, binary=flat).dense() - low) / (high - low)
        found["maps"][at] = f"{stem}-map{at}.webp"
        _small(Image.fromarray(heat(values))).save(folder / found["maps"][at], lossless=True, method=2)
    return found


def _small(picture: Image.Image) -> Image.Image:
    """Bring a picture to at most the page's size."""
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return picture


def _clear(layer: NDArray[np.uint8]) -> Image.Image:
    return _small(Image.fromarray(layer, "RGBA"))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw the border of a mask, just outside of it; uint8 ``(H, W, 4)``."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - a while to import

    width = max(1, round(max(mask.shape) * _OUTLINE_SHARE))
    line = binary_dilation(mask, np.ones((3, 3), dtype=bool), iterations=width) & ~mask
    layer = np.zeros((*mask.shape, 4), dtype=np.uint8)
    layer[line] = (*_OUTLINE, 255)
    return layer


def _marks(image: NDArray[np.uint8], regions: Regions, style: MarkStyle) -> NDArray[np.uint8]:
    """Return what ``draw_marks`` draws as a layer of its own, uint8 ``(H, W, 4)``, clear where it changes nothing."""
    marked = draw_marks(image, regions, style)
    return np.dstack([marked, np.where((marked != image).any(axis=2), 255, 0).astype(np.uint8)])
