"""The pictures of a page: each image, and the layers that the page stacks on it, as files of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import resize_image
from lvlm_ad.datasets.masks import resize_mask
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.files import own_folder
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.report.overview import heat
from lvlm_ad.text2seg import paint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.progress import Progress
    from lvlm_ad.runs import Run

__all__ = ["highest_score", "write_layers"]

_LARGEST_SIDE = 768

_OUTLINE_COLOUR = (255, 0, 200)
"""Magenta: rare in images, and absent from the maps."""

_OUTLINE_WIDTH = 1 / 192
"""Of the longer side: one pixel where a card shows the picture 190 pixels wide."""


def highest_score(runs: Sequence[Run]) -> float:
    """Return the highest score of any region, which is yellow on all maps; 0 is dark blue."""
    scores = (score for run in runs for record in run.predictions for score in record.regions.values())
    return max(scores, default=0.0) or 1.0


def write_layers(runs: Sequence[Run], sources: Sources, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Write the pictures of all images of runs on the same data set.

    Args:
        runs: read with their predictions.
        sources: their images and divisions.
        folder: where the pictures go; it is created.
        progress: receives how many images are done.

    Returns:
        For each image, in order, the names of its files: "image", "marks", "truth" ("" if there is none) and "maps",
        one per run, "" for a run with another division. "problem" says why an image cannot be shown.
    """
    own_folder(folder)
    writer = _Writer(runs, sources, folder, highest_score(runs), _mark_style(runs[0]))
    count = len(runs[0].predictions)
    progress.start("pictures", count)
    layers = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for files in pool.map(writer.write, range(count)):
            layers.append(files)
            progress.advance(failed="problem" in files)
    progress.finish()
    return layers


def _mark_style(run: Run) -> MarkStyle:
    """Return how marks were drawn for the model; the default if the run does not say."""
    default = MarkStyle()
    names = ("border_width", "number_size", "number_style")
    return MarkStyle(*(run.manifest.protocol.get(name, getattr(default, name)) for name in names))


@dataclass(frozen=True)
class _Writer:
    runs: Sequence[Run]
    sources: Sources
    folder: Path
    highest: float
    style: MarkStyle

    def write(self, index: int) -> dict[str, Any]:
        try:
            return self._write(index)
        except LvlmAdError as error:
            return {"image": "", "marks": "", "truth": "", "maps": [""] * len(self.runs), "problem": str(error)}

    def _write(self, index: int) -> dict[str, Any]:
        sample = self.sources.samples[self.runs[0].predictions[index].id]
        image, mask = sample.image, sample.mask
        size = (self.sources.side, self.sources.side) if self.sources.side else (image.shape[0], image.shape[1])
        image = resize_image(image, size)
        files: dict[str, Any] = {"image": f"{index:05}.webp", "marks": "", "truth": "", "maps": [""] * len(self.runs)}
        _shrunk(image).save(self.folder / files["image"], quality=80, method=2)
        if mask is not None and mask.any():
            files["truth"] = f"{index:05}-truth.webp"
            self._save(files["truth"], _outline(resize_mask(mask, size)))
        if self.sources.divisions is None:
            return files
        regions = self.sources.divisions.regions(sample)
        marked = draw_marks(image, regions, self.style)
        opacity = np.where((marked != image).any(axis=2), 255, 0).astype(np.uint8)
        files["marks"] = f"{index:05}-marks.webp"
        self._save(files["marks"], np.dstack([marked, opacity]))
        for number, run in enumerate(self.runs):
            # A run with other regions, or none, has no scores for these.
            if run.manifest.division.hash == self.sources.divisions.hash:
                scores, binary = run.predictions[index].regions, bool(run.manifest.protocol.get("binary"))
                files["maps"][number] = f"{index:05}-map{number}.webp"
                self._save(files["maps"][number], heat(paint(scores, regions, binary=binary).dense() / self.highest))
        return files

    def _save(self, name: str, pixels: NDArray[np.uint8]) -> None:
        _shrunk(pixels).save(self.folder / name, lossless=True, method=2)


def _shrunk(pixels: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BOX)
    return picture


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw the border of a mask, just outside of it; uint8 RGBA ``(H, W, 4)``."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    width = max(1, round(max(mask.shape) * _OUTLINE_WIDTH))
    line = binary_dilation(mask, np.ones((3, 3), dtype=bool), iterations=width) & ~mask
    layer = np.zeros((*mask.shape, 4), dtype=np.uint8)
    layer[line] = (*_OUTLINE_COLOUR, 255)
    return layer
