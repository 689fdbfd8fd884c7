"""The accuracies of multiple-choice questions: "choices" of metrics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.questions import LETTERS, QUESTION_TYPES
from lvlm_ad.metrics.choices import DETECTION, Choice, as_published, choice_accuracy, count_choices, subtask_of
from lvlm_ad.metrics.dataset_estimates import estimate_choices
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.runs.prediction_records import ChoiceRecord

__all__ = ["AVERAGE", "choice_metrics", "choices_of", "in_order", "letters_in_words", "source_of", "subtasks_of"]

AVERAGE = "Average"
"""The mean over subtasks, and the mean over sources."""

_OF_DETECTION = ("Overkill", "Miss", "recall", "precision", "f1")
"""Further numbers of detection."""

_UNREAD = ("truncated", "refused", "unparsable", *UNANSWERED)


def choice_metrics(records: Sequence[PredictionRecord]) -> dict[str, Any]:
    """Measure the answers to multiple-choice questions.

    Args:
        records: all predictions of a run.

    Returns:
        Empty if nothing was asked. Else {"choices": ...} with

        - "questions": how many there are;
        - "unread": status -> how many answers chose no option;
        - "sources": source -> subtask -> numbers: "accuracy" (an answer without a choice is wrong), "left_out" (it is
          left out), "as_published" (by the script of MMAD's authors) and "chance" (what guessing gives on average), all
          in 0..1; "interval" (of the first two, 95 %, over images); and the counts "asked" and "unread";
        - "letters": letter -> in how many questions it is "offered", "right" and "chosen".

    Example:
        >>> choice_metrics([])
        {}
    """
    asked = [one for record in records for one in record.choices]
    if not asked:
        return {}
    choices = choices_of(records)
    counts = count_choices(choices)
    by_name = {
        "accuracy": choice_accuracy(counts, "wrong"),
        "left_out": choice_accuracy(counts, "left_out"),
        # A question that failed has no record in the authors' files.
        "as_published": as_published(
            [one for one, record in zip(choices, asked, strict=True) if record.status not in UNANSWERED]
        ),
        "chance": _chance(choices, asked),
    }
    intervals = {"accuracy": estimate_choices(counts, "wrong"), "left_out": estimate_choices(counts, "left_out")}
    unread = Counter((one.source, one.subtask, one.answer is None) for one in choices)
    subtasks = {one.subtask for one in choices}
    sources: dict[str, dict[str, Any]] = {}
    for source, row in by_name["accuracy"].items():
        sources[source] = {}
        for name in in_order(row):
            numbers = {key: table.get(source, {}).get(name) for key, table in by_name.items()}
            ends = {
                key: list(table[source][name].interval)
                for key, table in intervals.items()
                if name in table.get(source, {})
            }
            subtask = name if name == AVERAGE or name in subtasks else DETECTION
            sources[source][name] = {**numbers, "interval": ends, **_counts(unread, source, subtask)}
    statuses = Counter(one.status for one in asked if one.chosen is None)
    return {
        "choices": {
            "questions": len(asked),
            "unread": {status: statuses[status] for status in _UNREAD},
            "sources": sources,
            "letters": _letters(asked),
        }
    }


def choices_of(records: Iterable[PredictionRecord]) -> list[Choice]:
    """Return all questions of a run and the answers to them, in the data set's order."""
    return [
        Choice(record.id, source_of(record.category), one.type, not record.label, one.right, one.chosen)
        for record in records
        for one in record.choices
    ]


def source_of(category: str) -> str:
    """Return the data set that a category is from.

    Example:
        >>> source_of("DS-MVTec/bottle")
        'DS-MVTec'
    """
    return category.partition("/")[0]


def _counts(counts: Mapping[tuple[str, str, bool], int], source: str, subtask: str) -> dict[str, int]:
    """Return how many questions were asked, and how many answers chose nothing; ``AVERAGE`` stands for all."""
    own = {key: count for key, count in counts.items() if source in {key[0], AVERAGE} and subtask in {key[1], AVERAGE}}
    return {"asked": sum(own.values()), "unread": sum(count for key, count in own.items() if key[2])}


def _chance(choices: Sequence[Choice], asked: Sequence[ChoiceRecord]) -> dict[str, dict[str, float | None]]:
    """Return the accuracy of guessing; a shape as of ``choice_accuracy``."""
    groups: dict[tuple[str, str], dict[bool, list[float]]] = {}
    for one, record in zip(choices, asked, strict=True):
        normal = one.normal and one.subtask == DETECTION
        groups.setdefault((one.source, one.subtask), {}).setdefault(normal, []).append(1 / record.options)
    table: dict[str, dict[str, float | None]] = {}
    for (source, subtask), kinds in groups.items():
        if subtask != DETECTION or len(kinds) > 1:
            table.setdefault(source, {})[subtask] = float(np.mean([np.mean(shares) for shares in kinds.values()]))
    table = {source: {**row, AVERAGE: _mean(row.values())} for source, row in table.items()}
    names = dict.fromkeys(name for row in table.values() for name in row)
    table[AVERAGE] = {name: _mean(row.get(name) for row in table.values()) for name in names}
    return table


def _mean(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return float(np.mean(known)) if known else None


def _letters(asked: Sequence[ChoiceRecord]) -> dict[str, dict[str, int]]:
    """Count how often each letter was offered, right and chosen."""
    return {
        letter: {
            "offered": sum(one.options > at for one in asked),
            "right": sum(one.right == letter for one in asked),
            "chosen": sum(one.chosen == letter for one in asked),
        }
        for at, letter in enumerate(LETTERS[: max(one.options for one in asked)])
    }


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of numbers in the order of MMAD's tables: subtasks, unknown ones after them, "Average", the rest.

    Example:
        >>> in_order(["recall", "Average", "Guessing", "Object Analysis", "Anomaly Detection"])
        ['Anomaly Detection', 'Object Analysis', 'Guessing', 'Average', 'recall']
    """
    known = {name: at for at, name in enumerate(dict.fromkeys(subtask_of(one) for one in QUESTION_TYPES))}
    last = {name: len(known) + 1 + at for at, name in enumerate((AVERAGE, *_OF_DETECTION))}
    return sorted(names, key=lambda name: {**known, **last}.get(name, len(known)))


def subtasks_of(choices: Mapping[str, Any]) -> list[str]:
    """Return the subtasks of "choices" of metrics.json, in the order of tables."""
    found = {name for row in choices["sources"].values() for name in row}
    return in_order(sorted(found - {AVERAGE, *_OF_DETECTION}))


def letters_in_words(choices: Mapping[str, Any]) -> str:
    """Say how often each letter was chosen, of all answers with a choice, and how often it is right, of all questions.

    Example:
        >>> letters = {"A": {"offered": 4, "right": 1, "chosen": 3}, "B": {"offered": 4, "right": 3, "chosen": 0}}
        >>> letters_in_words({"questions": 4, "letters": letters})
        'Letters chosen (right), percent: A 100.0 (25.0), B 0.0 (75.0).'
    """
    letters = choices["letters"]
    chosen = sum(one["chosen"] for one in letters.values())
    shares = [
        f"{letter} {100 * one['chosen'] / chosen:.1f} ({100 * one['right'] / choices['questions']:.1f})"
        for letter, one in letters.items()
        if chosen
    ]
    return f"Letters chosen (right), percent: {', '.join(shares)}." if shares else "No letter was chosen."
