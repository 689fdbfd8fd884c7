"""The gallery of a page: each image with its scores and answers, and its pictures as files beside the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lvlm_ad.compare import distinct_names
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.escape import visible
from lvlm_ad.files import own_folder
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.report import heat
from lvlm_ad.report.summary import separations_of
from lvlm_ad.runs import TEXT_KEPT
from lvlm_ad.text2seg import paint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.log import Progress
    from lvlm_ad.runs import PredictionRecord, Run

_FOLDER = "pictures"

_LARGEST = 20_000_000
"""Bytes of all answers together that a page may contain; a browser reads the page into memory."""

_SHORT = 4000
"""Characters of each answer that a page contains if all answers are larger than that together."""

_NOTES, _NOTE_LENGTH = 5, 500

_VERDICTS = (
    "Right: a defective image that scores above more than half of its category's good images, or a good image that "
    "scores below more than half of the defective ones. Wrong: less than half. Even: exactly half. An image without a "
    "score has no verdict."
)

_LARGEST_SIDE = 768

_OUTLINE_COLOUR = (255, 0, 200)
"""Magenta: rare in images, and absent from the maps."""

_OUTLINE_WIDTH = 1 / 192
"""Of the longer side: one pixel where a card shows the picture 190 pixels wide."""


def gallery(runs: Sequence[Run], sources: Sources | None, out: Path, progress: Progress) -> tuple[dict[str, Any], str]:
    """Write the pictures of runs on the same images, and return the data for ``gallery.js`` and the legend.

    The runs have their predictions, with the images in the same order. Without ``sources`` there are no pictures.
    """
    # Every answer as the run stores it, unless all together are too much for a page.
    texts = [record.text[:TEXT_KEPT] for run in runs for record in run.predictions]
    kept = TEXT_KEPT if sum(len(text.encode(errors="replace")) for text in texts) <= _LARGEST else _SHORT
    # The highest score of any region is yellow on all maps.
    scores = (score for run in runs for record in run.predictions for score in record.regions.values())
    highest = max(scores, default=0.0) or 1.0
    legend = [_VERDICTS]
    if any(len(text) > kept for text in texts):
        limit = f"{_LARGEST // 10**6} MB"
        legend.append(f"Answers are cut after {kept:,} characters, because all together they are larger than {limit}.")
    pictures = [_files(runs)] * len(runs[0].predictions)
    if sources is not None:
        pictures = _write_pictures(runs, sources, out / _FOLDER, highest, progress)
        if sources.divisions:
            legend.append(f"Maps: from 0 (dark blue) to {highest:.2g} (yellow), the same for all images.")
        legend.append("Magenta: outline of the ground truth.")
        if sources.note:
            legend.append(f"Marks and maps are not shown: {sources.note}")
    data = {
        "runs": distinct_names(runs),
        "no_map": [_why_no_map(run, sources) for run in runs],
        "letters": [letter(index) for index in range(len(runs))],
        "folder": _FOLDER,
        "cards": _cards(runs, pictures, kept),
    }
    return _shown(data), " ".join(legend)


def _shown(value: Any) -> Any:
    """Show invisible and control characters by their code, in every text of the data."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, (list, tuple)) else value


def letter(index: int) -> str:
    """Return a run's letter, used where there is no room for its name: A to Z, then A2 and so on."""
    number, place = divmod(index, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(number + 1) if number else "")


def _why_no_map(run: Run, sources: Sources | None) -> str:
    """Return why a run's maps are not shown beside the images; empty if they are, or if there are no pictures."""
    if sources is None:
        return ""
    if run.manifest.model.row == "dense":
        return "No map: a run does not store a method's own maps"
    if sources.divisions is None:
        return "No map: the regions of this image are not available"
    if run.manifest.division.hash != sources.divisions.hash:
        return "No map: this run divides the image into other regions"
    return ""


def _cards(runs: Sequence[Run], pictures: Sequence[dict[str, Any]], kept: int) -> list[dict[str, Any]]:
    separations = [separations_of(run) for run in runs]
    cards = []
    for index, (record, files) in enumerate(zip(runs[0].predictions, pictures, strict=True)):
        names = {name: getattr(record, name) for name in ("id", "category", "defect")}
        card = {**names, "label": record.label, **files}
        card["runs"] = [
            {**_answer(run.predictions[index], own[index], kept), "map": picture}
            for run, own, picture in zip(runs, separations, card.pop("maps"), strict=True)
        ]
        cards.append(card)
    return cards


def _answer(record: PredictionRecord, separation: float | None, kept: int) -> dict[str, Any]:
    # An answer of TEXT_KEPT characters was cut when the run was written.
    cut = min(kept + 1, TEXT_KEPT)
    verdict = ""
    if separation is not None and record.image_score is not None:
        verdict = "even" if separation == 0.5 else "right" if separation > 0.5 else "wrong"  # noqa: PLR2004 - half
    return {
        "score": record.image_score,
        "separation": separation,
        "verdict": verdict,
        "status": record.status,
        "notes": [note[:_NOTE_LENGTH] for note in record.notes[:_NOTES]],
        "text": record.text[:kept],
        "more": f"cut after {kept:,} characters; the run's files have the rest" if len(record.text) >= cut else "",
    }


def _files(runs: Sequence[Run], **files: Any) -> dict[str, Any]:
    """Return the names of an image's files, "" where there is none; "problem" says why there are none at all."""
    return {"image": "", "marks": "", "truth": "", "problem": "", "maps": [""] * len(runs), **files}


def _write_pictures(
    runs: Sequence[Run], sources: Sources, folder: Path, highest: float, progress: Progress
) -> list[dict[str, Any]]:
    """Write the pictures of all images, and return each image's files."""
    own_folder(folder)

    def write(index: int) -> dict[str, Any]:
        try:
            return _write_layers(runs, sources, folder, highest, index)
        except LvlmAdError as error:
            return _files(runs, problem=str(error))

    progress.start("pictures", len(runs[0].predictions))
    pictures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for files in pool.map(write, range(len(runs[0].predictions))):
            pictures.append(files)
            progress.advance(failed=bool(files["problem"]))
    progress.finish()
    return pictures


def _write_layers(runs: Sequence[Run], sources: Sources, folder: Path, highest: float, index: int) -> dict[str, Any]:
    """Write an image, its marks, the outline of its defect, and each run's map."""
    sample = sources.samples[runs[0].predictions[index].id]
    image, mask = sample.image, sample.mask
    size = (sources.side, sources.side) if sources.side else (image.shape[0], image.shape[1])
    image = resize_image(image, size)
    files = _files(runs, image=f"{index:05}.webp")
    _shrunk(image).save(folder / files["image"], quality=80, method=2)

    def save(name: str, pixels: NDArray[np.uint8]) -> str:
        file = f"{index:05}-{name}.webp"
        _shrunk(pixels).save(folder / file, lossless=True, method=2)
        return file

    if mask is not None and mask.any():
        files["truth"] = save("truth", _outline(resize_mask(mask, size)))
    if sources.divisions is None:
        return files
    regions = sources.divisions.regions(sample)
    protocol = runs[0].manifest.protocol
    style = {name: protocol[name] for name in ("border_width", "number_size", "number_style") if name in protocol}
    marked = draw_marks(image, regions, MarkStyle(**style))
    opacity = np.where((marked != image).any(axis=2), 255, 0).astype(np.uint8)
    files["marks"] = save("marks", np.dstack([marked, opacity]))
    for number, run in enumerate(runs):
        # A run with other regions, or none, has no scores for these.
        if run.manifest.division.hash == sources.divisions.hash:
            scores, binary = run.predictions[index].regions, bool(run.manifest.protocol.get("binary"))
            files["maps"][number] = save(f"map{number}", heat(paint(scores, regions, binary=binary).dense() / highest))
    return files


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
