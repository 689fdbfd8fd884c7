"""The gallery of a page: each image with its pictures, scores and answers."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from lvlm_ad.report.layers import highest_score, write_layers
from lvlm_ad.report.page import data_block, visible
from lvlm_ad.report.summary import separations_of
from lvlm_ad.runs import TEXT_KEPT

if TYPE_CHECKING:
    from pathlib import Path

    from markupsafe import Markup

    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.progress import Progress
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["display_names", "gallery", "letter"]

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


def gallery(runs: Sequence[Run], sources: Sources | None, out: Path, progress: Progress) -> tuple[Markup, str]:
    """Write the pictures of runs on the same images.

    Args:
        runs: read with their predictions, with the images in the same order.
        sources: the images; None: no pictures.
        out: the page's folder.
        progress: receives how many images are done.

    Returns:
        The gallery's data for ``gallery.js``, and its legend.
    """
    kept = _answer_length(runs)
    cards = _cards(runs, sources, out, progress, kept)
    legend = [_VERDICTS]
    if kept < TEXT_KEPT and any(len(record.text) > kept for run in runs for record in run.predictions):
        limit = f"{_LARGEST // 10**6} MB"
        legend.append(f"Answers are cut after {kept:,} characters, because all together they are larger than {limit}.")
    if sources is not None:
        if sources.divisions:
            legend.append(f"Maps: from 0 (dark blue) to {highest_score(runs):.2g} (yellow), the same for all images.")
        legend.append("Magenta: outline of the ground truth.")
        if sources.note:
            legend.append(f"Marks and maps are not shown: {sources.note}")
    letters = [letter(index) for index in range(len(runs))]
    data = {"runs": display_names(runs), "letters": letters, "folder": _FOLDER, "cards": cards}
    return data_block(data), " ".join(legend).rstrip()


def letter(index: int) -> str:
    """Return a run's letter, used where there is no room for its name: A to Z, then A2 and so on."""
    number, place = divmod(index, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(number + 1) if number else "")


def display_names(runs: Sequence[Run]) -> list[str]:
    """Return the runs' names, followed by the beginning of their hashes if two names are the same."""
    names = [visible(run.manifest.row_name) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True)]
    return names


def _cards(
    runs: Sequence[Run], sources: Sources | None, out: Path, progress: Progress, kept: int
) -> list[dict[str, Any]]:
    records = runs[0].predictions
    no_pictures = {"image": "", "marks": "", "truth": "", "maps": [""] * len(runs)}
    layers = write_layers(runs, sources, out / _FOLDER, progress) if sources else [no_pictures] * len(records)
    separations = [separations_of(run) for run in runs]
    return [
        {
            "id": visible(record.id),
            "category": visible(record.category),
            "defect": visible(record.defect),
            "label": record.label,
            **{name: pictures.get(name, "") for name in ("image", "marks", "truth", "problem")},
            "runs": [
                _answer(run.predictions[index], separations[number][index], pictures["maps"][number], kept)
                for number, run in enumerate(runs)
            ],
        }
        for index, (record, pictures) in enumerate(zip(records, layers, strict=True))
    ]


def _answer(record: PredictionRecord, separation: float | None, picture: str, kept: int) -> dict[str, Any]:
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
        "notes": [visible(note)[:_NOTE_LENGTH] for note in record.notes[:_NOTES]],
        "text": visible(record.text[:kept]),
        "more": f"cut after {kept:,} characters; the run's files have the rest" if len(record.text) >= cut else "",
        "map": picture,
    }


def _answer_length(runs: Sequence[Run]) -> int:
    """Return how many characters of each answer the page contains: all that the run stores, unless that is too much."""
    texts = (record.text for run in runs for record in run.predictions)
    total = sum(len(text[:TEXT_KEPT].encode(errors="replace")) for text in texts)
    return TEXT_KEPT if total <= _LARGEST else _SHORT
