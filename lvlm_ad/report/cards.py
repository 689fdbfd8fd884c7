"""What the gallery of a page shows of each image."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from lvlm_ad.report.layers import map_range, write_layers
from lvlm_ad.report.page import data_block, visible
from lvlm_ad.report.summary import placed
from lvlm_ad.runs import TEXT_KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

    from lvlm_ad.progress import Progress
    from lvlm_ad.report.sources import Sources
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["gallery", "letter", "names_of"]

_FOLDER = "pictures"

_EVEN = 0.5
"""On the right side of as many images of the other kind as on the wrong one."""

_MOST = 20_000_000
"""Bytes of all answers together that a page may hold; it is read into memory whole."""

_SHORT = 4000
"""Characters of each answer that a page holds where all together are more."""


def gallery(runs: Sequence[Run], sources: Sources | None, out: Path, progress: Progress) -> tuple[Markup, str]:
    """Write the pictures of runs on the same images, and return the gallery's data and what its colours mean.

    Args:
        runs: read with their predictions, in the same order of images.
        sources: their images; None: no pictures.
        out: the page's folder.
        progress: hears how far it is.
    """
    count = len(runs[0].predictions)
    bare = {"image": "", "marks": "", "truth": "", "maps": [""] * len(runs)}
    layers = [bare] * count if sources is None else write_layers(runs, sources, out / _FOLDER, progress)
    places = [placed(run) for run in runs]
    kept = _kept(runs)
    cards = []
    for at in range(count):
        record, pictures = runs[0].predictions[at], layers[at]
        answers = [
            _answer(run.predictions[at], places[side][at], pictures["maps"][side], kept)
            for side, run in enumerate(runs)
        ]
        cards.append(
            {
                "id": visible(record.id),
                "category": visible(record.category),
                "defect": visible(record.defect),
                "label": record.label,
                **{name: pictures.get(name, "") for name in ("image", "marks", "truth", "problem")},
                "runs": answers,
            }
        )
    low, high = map_range(runs)
    legend = (
        "Right: a defective image that scores above more than half of its category's good ones, or a good one below "
        "more than half of the defective ones. Even: exactly half. No threshold enters; an image without a score has "
        "no verdict."
    )
    if kept < TEXT_KEPT and any(len(record.text) > kept for run in runs for record in run.predictions):
        legend += (
            f" Answers are cut after {kept:,} characters, since all together they take more than {_MOST // 10**6} MB."
        )
    if sources is not None:
        drawn = f" Maps: {low:g} dark blue to {high:.2g} yellow, the same for all." if sources.divisions else ""
        legend += f"{drawn} Magenta: outline of the ground truth. {sources.note}".rstrip()
    names = names_of(runs)
    letters = [letter(at) for at in range(len(runs))]
    return data_block({"runs": names, "letters": letters, "folder": _FOLDER, "cards": cards}), legend


def _kept(runs: Sequence[Run]) -> int:
    """Return how many characters of each answer the page holds: all that the run does, if that is not too much."""
    texts = (record.text[:TEXT_KEPT] for run in runs for record in run.predictions)
    total = sum(len(text.encode(errors="replace")) for text in texts)
    return TEXT_KEPT if total <= _MOST else _SHORT


def _rest(length: int, kept: int) -> str:
    """Say where a long answer was cut, and where the rest of it is."""
    if length < TEXT_KEPT:
        return (
            "" if length <= kept else f"cut after {kept:,} characters; {length - kept:,} more are in predictions.jsonl"
        )
    place = "" if kept == TEXT_KEPT else f"; {TEXT_KEPT - kept:,} more are in predictions.jsonl"
    return f"cut after {kept:,} characters{place}; the whole answer is in answers.sqlite"


def letter(at: int) -> str:
    """Return what stands for a run where its name may be cut short: A to Z, then A2 and so on."""
    again, place = divmod(at, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(again + 1) if again else "")


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the runs' names; with the beginning of their hashes where two are the same."""
    names = [visible(run.manifest.row_name) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True)]
    return names


def _answer(record: PredictionRecord, place: float | None, picture: str, kept: int) -> dict[str, Any]:
    return {
        "score": record.image_score,
        "placed": place,
        "verdict": _verdict(record, place),
        "status": record.status,
        "notes": [visible(note)[:500] for note in record.notes[:5]],
        "text": visible(record.text[:kept]),
        "more": _rest(len(record.text), kept),
        "map": picture,
    }


def _verdict(record: PredictionRecord, place: float | None) -> str:
    """Return "right", "wrong", "even", or "" without a score or without images of the other kind."""
    if place is None or record.image_score is None:
        return ""
    return "even" if place == _EVEN else "right" if place > _EVEN else "wrong"
