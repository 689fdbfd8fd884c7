"""The gallery of a page: each image with its scores and answers, and its pictures as files beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from lvlm_ad.compare import distinct_names
from lvlm_ad.escape import visible
from lvlm_ad.evaluate.painting import shapes_of
from lvlm_ad.evaluate.recorded import Conversations
from lvlm_ad.report.choices import choice_facts
from lvlm_ad.report.pictures import all_steps, files_of, why_no_map, write_pictures
from lvlm_ad.report.steps import MOST_PICTURES
from lvlm_ad.report.summary import separations_of
from lvlm_ad.runs import TEXT_KEPT

if TYPE_CHECKING:
    from pathlib import Path

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


def gallery(runs: Sequence[Run], sources: Sources | None, out: Path, progress: Progress) -> tuple[dict[str, Any], str]:
    """Write the pictures of runs on the same images, and return the data for ``gallery.js`` and the legend.

    The runs have their predictions, with the images in the same order. Without ``sources`` there are no pictures.
    """
    # Every answer as the run stores it, unless all together are too much for a page.
    texts = [text[:TEXT_KEPT] for run in runs for record in run.predictions for text in _texts(record)]
    kept = TEXT_KEPT if sum(len(text.encode(errors="replace")) for text in texts) <= _LARGEST else _SHORT
    # The highest score of any place is yellow on all maps.
    scores = (one.score for run in runs for record in run.predictions for one in shapes_of(record))
    highest = max(scores, default=0.0) or 1.0
    legend = [_VERDICTS]
    if any(len(text) > kept for text in texts):
        limit = f"{_LARGEST // 10**6} MB"
        legend.append(f"Answers are cut after {kept:,} characters, because all together they are larger than {limit}.")
    talks = [_conversations(run, sources) for run in runs]
    if sources is None:
        pictures = [files_of(runs, steps=all_steps(runs, talks, at)) for at in range(len(runs[0].predictions))]
    else:
        pictures = write_pictures(runs, sources, out / _FOLDER, highest, talks, progress)
        if any(files["maps"] != [""] * len(runs) for files in pictures):
            legend.append(f"Maps: from 0 (dark blue) to {highest:.2g} (yellow), the same for all images.")
        legend.append("Magenta: outline of the ground truth.")
        if any(any(files["places"]) for files in pictures):
            legend.append("Cyan: the places that an answer names, with their scores.")
        if sources.note:
            legend.append(f"Marks and maps are not shown: {sources.note}")
    for run, talk in zip(runs, talks, strict=True):
        if talk is not None and talk.problem:
            legend.append(f"The questions of {run.manifest.row_name} are not shown: {talk.problem}.")
    asked = max((len(steps) for files in pictures for steps in files["steps"]), default=0)
    if sources is not None and asked > (most := max(1, MOST_PICTURES // len(pictures))):
        legend.append(f"Of each image, the first {most} questions are shown with their pictures.")
    questions: dict[str, int] = {}
    data = {
        "runs": distinct_names(runs),
        "no_map": [why_no_map(run, sources) for run in runs],
        "letters": [letter(index) for index in range(len(runs))],
        "folder": _FOLDER,
        "cards": _cards(runs, pictures, kept, questions),
        "questions": [*questions],
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


def _cards(
    runs: Sequence[Run], pictures: Sequence[dict[str, Any]], kept: int, questions: dict[str, int]
) -> list[dict[str, Any]]:
    """Return the cards; the texts of questions are gathered in ``questions``, text -> its number."""
    separations = [separations_of(run) for run in runs]
    cards = []
    for index, (record, files) in enumerate(zip(runs[0].predictions, pictures, strict=True)):
        names = {name: getattr(record, name) for name in ("id", "category", "defect")}
        card = {**names, "label": record.label, **files}
        layers = zip(card.pop("maps"), card.pop("places"), card.pop("steps"), strict=True)
        card["runs"] = [
            {
                **_answer(run.predictions[index], own[index], kept),
                "map": picture,
                "places": places,
                "steps": [_step(step, kept, questions) for step in steps],
            }
            for run, own, (picture, places, steps) in zip(runs, separations, layers, strict=True)
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
        "notes": [note[:_NOTE_LENGTH] for note in [*record.notes[:_NOTES], *_facts(record)]],
        "text": record.text[:kept],
        "more": f"cut after {kept:,} characters; the run's files have the rest" if len(record.text) >= cut else "",
    }


def _facts(record: PredictionRecord) -> list[str]:
    """Return what else is known of an answer, in words."""
    source = {"probability": "The score is the probability of yes.", "text": "Yes or no is read from the text."}
    facts = [source.get(record.source, ""), *choice_facts(record)]
    if record.spread is not None:
        facts.append(f"The image scores of the answers have a standard deviation of {record.spread:.2f}.")
    return [fact for fact in facts if fact]


def _texts(record: PredictionRecord) -> list[str]:
    """Return the texts of all answers about an image."""
    return [step.text for step in record.steps] or [record.text]


def _step(step: dict[str, Any], kept: int, questions: dict[str, int]) -> dict[str, Any]:
    text = step["text"]
    number = questions.setdefault(text, len(questions)) if text else None
    return {**step, "text": number, "answer": step["answer"][:kept]}


def _conversations(run: Run, sources: Sources | None) -> Conversations | None:
    """Return the conversations of a run; None where the page's own marks show the question of the method "regions"."""
    protocol = run.manifest.protocol
    as_marked = not protocol.keys() & {"numbering", "withhold"} and protocol.get("visual") != "image"
    by_marks = run.manifest.method.name == "regions" and as_marked
    return None if by_marks or run.manifest.model.kind != "backend" else Conversations(run, sources)
