"""``leaderboard --verify``: the scores of each image, read from its answers again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.backend import Answer
from lvlm_ad.datasets.questions import LETTERS
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.evaluate.painting import kept_places
from lvlm_ad.evaluate.recorded import asked_of, is_cut, recorded_answers
from lvlm_ad.evaluate.verify_metrics import close
from lvlm_ad.methods import numbers_of
from lvlm_ad.runs import TEXT_KEPT
from lvlm_ad.text2seg import UNANSWERED, read

if TYPE_CHECKING:
    from lvlm_ad.asking import AnswerStore
    from lvlm_ad.evaluate.recorded import Conversations
    from lvlm_ad.runs import PredictionRecord, Run
    from lvlm_ad.text2seg import Status
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["answer_problem"]

_SCORE = 5e-7
"""The tolerance of a score: half of its last decimal in an answer's text."""

_CUT = "predictions.jsonl: the answer is cut, so its scores cannot be checked"
_OTHER_TEXT = "predictions.jsonl: the answer is not the one in answers.sqlite"
_OTHER_SCORES = "predictions.jsonl: scores or status are not those of the answer's text"


def answer_problem(
    run: Run, record: PredictionRecord, stored: AnswerStore | None, conversations: Conversations | None
) -> str:
    """Read the answers about an image again.

    Args:
        run: the run.
        record: the image's prediction.
        stored: stored answers; None: those in ``predictions.jsonl``.
        conversations: repeats the run's conversations; None for the method "regions".

    Returns:
        What differs; empty if nothing does, or if it cannot be known, as for images that only set a threshold.
    """
    if run.manifest.model.row != "regions":
        return ""
    if conversations is None:
        return _one_answer(run, record, stored)
    if not conversations.has_image(record):
        return ""
    try:
        if run.manifest.model.kind == "backend":
            return _again(run, record, stored, conversations)
        best = conversations.best(record)
    except LvlmAdError as error:
        return f"predictions.jsonl: the answers cannot be read again: {error}"
    # Without the data set nobody knows what is best.
    same = best is None or _same(best, record)
    return "" if same else "predictions.jsonl: scores are not those of the ground truth in the method's format"


def _one_answer(run: Run, record: PredictionRecord, answers: AnswerStore | None) -> str:
    """Read the answer to a question about numbered regions."""
    scoring = run.manifest.protocol.get("scoring", "text")
    stored = answers.get(record.key) if answers is not None and record.key else None
    if stored is None:
        if len(record.text) >= TEXT_KEPT:
            # A cut answer need not give its scores any more; that it gave none can be believed.
            scored = record.image_score is not None or record.regions
            return _CUT if scored else ""
        if scoring == "expected":
            return ""
    elif (stored.text[:TEXT_KEPT], stored.outcome) != (record.text, record.outcome):
        return _OTHER_TEXT
    scores = read(stored or Answer(record.text, record.outcome), record.n_regions, scoring)
    numbers = numbers_of(record.division, record.n_regions, run.manifest.protocol.get("numbering", 0))
    regions = {numbers[number - 1] if numbers else number: score for number, score in scores.regions.items()}
    same = close([scores.image, regions], [record.image_score, record.regions], _SCORE)
    return "" if same and record.status in {*UNANSWERED, scores.status} else _OTHER_SCORES


def _again(run: Run, record: PredictionRecord, stored: AnswerStore | None, conversations: Conversations) -> str:
    """Repeat a conversation with its recorded answers, and say what differs; empty if nothing does."""
    scored = record.image_score is not None or record.regions or record.shapes
    if record.status in UNANSWERED:
        return "predictions.jsonl: an image that was not answered has scores" if scored else ""
    asked = asked_of(record)
    found = [stored.get(one.key) if stored is not None and one.key else None for one in asked]
    pairs = [(whole, one) for whole, one in zip(found, asked, strict=True) if whole is not None]
    if any(not whole.text.startswith(one.text) or whole.outcome != one.outcome for whole, one in pairs):
        return _OTHER_TEXT
    # Only stored answers have probabilities.
    needs_stored = run.manifest.protocol.get("scoring") == "expected" or record.source == "probability"
    if None in found and is_cut(record):
        return _CUT if scored else ""
    return "" if None in found and needs_stored else _repeated(record, stored, conversations)


def _repeated(record: PredictionRecord, stored: AnswerStore | None, conversations: Conversations) -> str:
    """Compare a recorded finding with the one that its answers lead to."""
    answers = recorded_answers(record, stored)
    finding, requests = conversations.again(record, answers)
    if len(requests) != len(answers):
        return "predictions.jsonl: there are more answers than questions of the method"
    pairs = zip(requests, asked_of(record), strict=True)
    if conversations.has_texts and not all(conversations.is_key(request, one.key) for request, one in pairs):
        return "predictions.jsonl: an answer is to another question than the method asks about this image"
    return "" if _same(finding, record) else _OTHER_SCORES


def letters_of(finding: Finding) -> list[tuple[str | None, Status]]:
    """Return the letter of each choice, and its status."""
    return [(None if one.option is None else LETTERS[one.option], one.status) for one in finding.choices]


def _same(finding: Finding, record: PredictionRecord) -> bool:
    places = {"regions": {}, "shapes": [], **kept_places(finding.shapes)}
    expected = [finding.image, places["regions"], places["shapes"], finding.mass, finding.spread]
    recorded = [record.image_score, record.regions, record.shapes, record.mass, record.spread]
    words = finding.status, list(finding.flags), finding.source, letters_of(finding)
    read = [(one.chosen, one.status) for one in record.choices]
    return close(expected, recorded, _SCORE) and words == (record.status, list(record.flags), record.source, read)
