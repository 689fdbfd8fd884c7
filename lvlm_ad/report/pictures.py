"""The pictures of a page's images: the image, its marks, its defect, and each run's map, places and questions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.evaluate.painting import paint_places, shapes_of
from lvlm_ad.files import own_folder
from lvlm_ad.prompts import MarkStyle, marks_alone
from lvlm_ad.regions.shapes import Region
from lvlm_ad.report.layers import map_layer, marks_layer, outline_layer, save_layer
from lvlm_ad.report.places import draw_places
from lvlm_ad.report.steps import MOST_PICTURES, Save, steps_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.evaluate.recorded import Conversations
    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.log import Progress
    from lvlm_ad.runs import Run

__all__ = ["all_steps", "files_of", "why_no_map", "write_pictures"]

_LARGEST_SIDE = 768

_STEP_SIDE = 704
"""A question's picture is shown half as wide."""

_QUALITY = 80
"""Of JPEG. WebP would halve the files, but takes five times as long at least."""


def why_no_map(run: Run, sources: Sources | None) -> str:
    """Return why a run's maps are not shown beside the images; empty if they are, or if there are no pictures."""
    if sources is None:
        return ""
    manifest, divisions = run.manifest, sources.divisions
    reasons = {
        "a run does not store a baseline's own maps": manifest.model.row == "dense",
        f"the method {manifest.method.name} names no places": not manifest.method.places,
        "the regions of this image are not available": bool(manifest.division.hash) and divisions is None,
        "this run divides the image into other regions": (
            bool(manifest.division.hash) and divisions is not None and manifest.division.hash != divisions.hash
        ),
    }
    return next((f"No map: {reason}" for reason, applies in reasons.items() if applies), "")


def files_of(runs: Sequence[Run], **files: Any) -> dict[str, Any]:
    """Return the names of an image's files, "" where there is none; "problem" says why there are none at all."""
    none: list[str] = [""] * len(runs)
    by_run = {"maps": none, "places": [*none], "steps": [[] for _ in runs]}
    return {"image": "", "marks": "", "truth": "", "problem": "", **by_run, **files}


def all_steps(
    runs: Sequence[Run], talks: Sequence[Conversations | None], index: int, save: Save | None = None
) -> list[list[dict[str, Any]]]:
    """Return for each run the questions about an image; their pictures are written under a name for each run."""

    def save_for(number: int) -> Save | None:
        return None if save is None else lambda name, picture: save(f"{name}-{number}", picture)

    most = max(1, MOST_PICTURES // len(runs[0].predictions))
    return [
        [] if talk is None else steps_of(run.predictions[index], talk, save_for(number), most=most)
        for number, (run, talk) in enumerate(zip(runs, talks, strict=True))
    ]


def write_pictures(
    runs: Sequence[Run],
    sources: Sources,
    folder: Path,
    highest: float,
    talks: Sequence[Conversations | None],
    progress: Progress,
) -> list[dict[str, Any]]:
    """Write the pictures of all images, and return each image's files."""
    own_folder(folder)

    def write(index: int) -> dict[str, Any]:
        try:
            return _write_layers(runs, sources, folder, highest, talks, index)
        except LvlmAdError as error:
            return files_of(runs, problem=str(error))

    progress.start("pictures", len(runs[0].predictions))
    pictures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for files in pool.map(write, range(len(runs[0].predictions))):
            pictures.append(files)
            progress.advance(failed=bool(files["problem"]))
    progress.finish()
    return pictures


def _write_layers(
    runs: Sequence[Run],
    sources: Sources,
    folder: Path,
    highest: float,
    talks: Sequence[Conversations | None],
    index: int,
) -> dict[str, Any]:
    """Write an image, its marks, the outline of its defect, each run's map and places, and what was asked."""
    sample = sources.samples[runs[0].predictions[index].id]
    image, mask = sample.image, sample.mask
    size = (sources.side, sources.side) if sources.side else (image.shape[0], image.shape[1])
    image = resize_image(image, size)
    files = files_of(runs, image=f"{index:05}.jpg")
    _shrunk(image).save(folder / files["image"], quality=_QUALITY)

    def save(name: str, layer: Image.Image) -> str:
        file = f"{index:05}-{name}.png"
        save_layer(layer, folder / file, _LARGEST_SIDE)
        return file

    if mask is not None and mask.any():
        files["truth"] = save("truth", outline_layer(resize_mask(mask, size)))
    regions = None
    if sources.divisions is not None:
        regions = sources.divisions.regions(sample)
        protocol = _divided(runs).manifest.protocol
        style = {name: protocol[name] for name in ("border_width", "number_size", "number_style") if name in protocol}
        files["marks"] = save("marks", marks_layer(*marks_alone(image, regions, MarkStyle(**style))))
    for number, run in enumerate(runs):
        if why_no_map(run, sources):
            continue
        shapes, own = shapes_of(run.predictions[index]), regions if run.manifest.division.hash else None
        scores = paint_places(shapes, own, size[0], binary=bool(run.manifest.protocol.get("binary")))
        files["maps"][number] = save(f"map{number}", map_layer(scores, highest))
        if any(not isinstance(one, Region) for one in shapes):
            files["places"][number] = save(f"places{number}", Image.fromarray(draw_places(shapes, size[0])))

    def save_step(name: str, picture: Image.Image) -> str:
        if np.array_equal(np.asarray(picture), image):
            return str(files["image"])
        file = f"{index:05}-{name}.jpg"
        _shrunk(picture, _STEP_SIDE).save(folder / file, quality=_QUALITY)
        return file

    files["steps"] = all_steps(runs, talks, index, save_step)
    return files


def _divided(runs: Sequence[Run]) -> Run:
    """Return the first run with a division, whose regions the marks show."""
    return next((run for run in runs if run.manifest.division.hash), runs[0])


def _shrunk(pixels: NDArray[np.uint8] | Image.Image, side: int = _LARGEST_SIDE) -> Image.Image:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return picture
