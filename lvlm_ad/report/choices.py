"""The part of a run's page on multiple-choice questions: accuracies by source and subtask, detection, and letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lvlm_ad.evaluate.choices import AVERAGE, subtasks_of

if TYPE_CHECKING:
    from lvlm_ad.runs import PredictionRecord

__all__ = ["choice_facts", "choice_tables"]

_OF_DETECTION = {"recall": "Recall", "precision": "Precision", "f1": "F1", "Overkill": "Overkill", "Miss": "Miss"}


def choice_tables(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``choices.html`` shows of the content of metrics.json; empty if it has no choices."""
    if not (choices := metrics.get("choices")):
        return {}
    subtasks = subtasks_of(choices)
    unread = ", ".join(f"{count} {status}" for status, count in choices["unread"].items() if count)
    chosen = sum(one["chosen"] for one in choices["letters"].values())
    rows = choices["sources"]
    return {
        "subtasks": subtasks,
        "rows": rows,
        "average": AVERAGE,
        "all": rows[AVERAGE][AVERAGE],
        "questions": choices["questions"],
        "unread": unread,
        "detection": _OF_DETECTION if all(name in rows[AVERAGE] for name in _OF_DETECTION) else {},
        "letters": [
            (letter, one["right"] / choices["questions"], one["chosen"] / chosen if chosen else None, one)
            for letter, one in choices["letters"].items()
        ],
    }


def choice_facts(record: PredictionRecord) -> list[str]:
    """Return what was chosen in each question about an image, in words.

    Example:
        >>> from lvlm_ad.runs import PredictionRecord
        >>> choices = [{"type": "Object Details", "options": 4, "right": "C", "chosen": "D"}]
        >>> fields = {"id": "a", "category": "b", "label": False, "defect": "good", "image_score": None}
        >>> choice_facts(PredictionRecord.model_validate({**fields, "choices": choices}))
        ['Object Details: chose D, right is C.']
    """
    facts = []
    for one in record.choices:
        chose = f"chose nothing ({one.status})" if one.chosen is None else f"chose {one.chosen}"
        facts.append(
            f"{one.type}: {chose}, {'which is right' if one.chosen == one.right else f'right is {one.right}'}."
        )
    return facts
