"""What the gallery of a page shows of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvlm_ad.records import TEXT_KEPT
from lvlm_ad.report.layers import map_range, write_layers
from lvlm_ad.report.page import data_block, visible
from lvlm_ad.report.summary import placed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

    from lvlm_ad.evaluate.config import Progress
    from lvlm_ad.report.sources import Sources
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["gallery", "names_of"]

_FOLDER = "pictures"

_EVEN = 0.5
"""On the right side of as many images of the other kind as on the wrong one."""

_KEPT = 4000
"""Characters of an answer that the page holds."""


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
    cards = []
    for at in range(count):
        record, pictures = runs[0].predictions[at], layers[at]
        answers = [
            _answer(run.predictions[at], places[side][at], pictures["maps"][side]) for side, run in enumerate(runs)
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
        "more than half of the defective ones. No threshold enters; an image without a score is neither."
    )
    if sources is not None:
        drawn = f" Maps: {low:g} dark blue to {high:.2g} yellow, the same for all." if sources.divisions else ""
        legend += f"{drawn} Magenta: outline of the ground truth. {sources.note}".rstrip()
    return data_block({"runs": names_of(runs), "folder": _FOLDER, "cards": cards}), legend


def _rest(length: int) -> str:
    """Say what is not shown of a long answer, and where it is."""
    if length <= _KEPT:
        return ""
    if length < TEXT_KEPT:
        return f"{length - _KEPT:,} more characters in predictions.jsonl"
    return "the rest in answers.sqlite"


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the runs' names; with the beginning of their hashes where two are the same."""
    names = [visible(run.manifest.row_name) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True)]
    return names


def _answer(record: PredictionRecord, place: float | None, picture: str) -> dict[str, Any]:
    return {
        "score": record.image_score,
        "placed": place,
        "right": None if place is None or place == _EVEN or record.image_score is None else place > _EVEN,
        "status": record.status,
        "notes": [visible(note)[:500] for note in record.notes[:5]],
        "text": visible(record.text[:_KEPT]),
        "more": _rest(len(record.text)),
        "map": picture,
    }
