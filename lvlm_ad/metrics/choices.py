"""The numbers of MMAD: accuracy on multiple-choice questions, by source and subtask.

Jiang et al., ICLR 2025; defined by jam-cc/MMAD, evaluation/examples/helper/summary.py. Its subtasks have equal weight,
and the first, Anomaly Detection, counts as the mean of its accuracies on normal and on anomalous images. That script
leaves out an answer without a letter, so a model gains by not answering, and by mistake it also drops the next record.
Here such an answer is left out or counted as wrong; ``as_published`` reproduces the script, for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lvlm_ad.datasets.questions import DETECTION

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DETECTION",
    "Choice",
    "ChoiceCounts",
    "Unparsed",
    "as_published",
    "choice_accuracy",
    "count_choices",
    "subtask_of",
]

_JOINT = {"Object Structure": "Object Analysis", "Object Details": "Object Analysis"}
"""Types of questions that are one subtask."""

Unparsed = Literal["left_out", "wrong"]
"""How an answer without a letter counts."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One question and the answer to it.

    Attributes:
        image: the name of the question's image; intervals are computed over images.
        source: the data set that the image is from, such as "DS-MVTec".
        type: the type of the question; "Object Structure" and "Object Details" are the subtask "Object Analysis".
        normal: whether the image is normal.
        correct: the right option's letter.
        answer: the letter that was answered; None: no letter could be read.

    Example:
        >>> Choice("a.png", "VisA", "Object Details", normal=True, correct="B", answer=None).subtask
        'Object Analysis'
    """

    image: str
    source: str
    type: str
    normal: bool
    correct: str
    answer: str | None

    @property
    def subtask(self) -> str:
        """The name of the subtask in tables."""
        return subtask_of(self.type)


def subtask_of(type_: str) -> str:
    """Return the subtask of a type of question.

    Example:
        >>> subtask_of("Object Details")
        'Object Analysis'
    """
    return _JOINT.get(type_, type_)


@dataclass(frozen=True, eq=False)
class ChoiceCounts:
    """How many questions about each image were asked, answered, and answered rightly.

    Attributes:
        images: the n images, in the order of their first question.
        kinds: the K kinds of question: source, subtask, and whether the image is normal (only for ``DETECTION``; False
            for the others).
        right: int64 ``(n, K)``, right answers.
        parsed: int64 ``(n, K)``, answers with a letter.
        asked: int64 ``(n, K)``, questions.

    Example:
        >>> counts = count_choices([Choice("a.png", "VisA", DETECTION, True, "B", "B")])
        >>> counts.kinds, counts.right.tolist()
        ((('VisA', 'Anomaly Detection', True),), [[1]])
    """

    images: tuple[str, ...]
    kinds: tuple[tuple[str, str, bool], ...]
    right: NDArray[np.int64]
    parsed: NDArray[np.int64]
    asked: NDArray[np.int64]

    @property
    def n_unparsed(self) -> int:
        """How many answers have no letter."""
        return int(self.asked.sum() - self.parsed.sum())


def count_choices(choices: Sequence[Choice]) -> ChoiceCounts:
    """Count the answers by image and kind of question."""
    keys = [(one.source, one.subtask, one.normal and one.subtask == DETECTION) for one in choices]
    kinds, images = tuple(dict.fromkeys(keys)), tuple(dict.fromkeys(one.image for one in choices))
    column, row = ({one: at for at, one in enumerate(names)} for names in (kinds, images))
    counts = np.zeros((3, len(images), len(kinds)), dtype=np.int64)
    for key, one in zip(keys, choices, strict=True):
        found = one.answer == one.correct, one.answer is not None, True
        counts[:, row[one.image], column[key]] += found
    return ChoiceCounts(images, kinds, *counts)


def choice_accuracy(
    counts: ChoiceCounts, unparsed: Unparsed, weights: NDArray[np.float64] | None = None
) -> dict[str, dict[str, Any]]:
    """Compute MMAD's numbers, as fractions.

    Args:
        counts: of the answers.
        unparsed: how an answer without a letter counts. "left_out": numbers are comparable with published ones;
            "wrong": use this to rank models, since not answering gains nothing.
        weights: ``(R, n)``, how often each image counts in each of R resamples; None: every image counts once.

    Returns:
        Source -> name -> number, None where undefined, or with weights float64 ``(R,)``, NaN where undefined. Names:
        each subtask that has a question in some source (``DETECTION`` is the balanced accuracy), "Average" (the mean of
        the source's subtasks that are defined), and "Overkill" (1 - accuracy on normal images), "Miss" (1 - accuracy on
        anomalous ones), "recall", "precision" and "f1" of detection. The source "Average" has the means over sources of
        all of them.

    Example:
        >>> choices = [Choice("a.png", "VisA", DETECTION, True, "B", "B")]
        >>> choices += [Choice("b.png", "VisA", DETECTION, False, "A", None)]
        >>> found = choice_accuracy(count_choices(choices), "wrong")["VisA"]
        >>> found["Anomaly Detection"], found["Miss"], found["precision"]
        (0.5, 1.0, None)
    """
    times = np.ones((1, len(counts.images))) if weights is None else weights
    right, total = times @ counts.right, times @ (counts.parsed if unparsed == "left_out" else counts.asked)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = _table(counts.kinds, right, total)
    if weights is not None:
        return table
    return {
        source: {name: None if np.isnan(value[0]) else float(value[0]) for name, value in row.items()}
        for source, row in table.items()
    }


def _table(
    kinds: Sequence[tuple[str, str, bool]], right: NDArray[np.float64], total: NDArray[np.float64]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Compute the numbers of resamples: right and total answers are ``(R, K)``."""
    none = np.zeros(len(right))
    column = {kind: at for at, kind in enumerate(kinds)}

    def counted(kind: tuple[str, str, bool]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (right[:, column[kind]], total[:, column[kind]]) if kind in column else (none, none)

    subtasks = list(dict.fromkeys(subtask for _, subtask, _ in kinds))
    table: dict[str, dict[str, NDArray[np.float64]]] = {}
    for source in dict.fromkeys(source for source, _, _ in kinds):
        row = {name: np.divide(*counted((source, name, False))) for name in subtasks if name != DETECTION}
        detection = {}
        if DETECTION in subtasks:
            (kept, normal), (found, anomalous) = (counted((source, DETECTION, one)) for one in (True, False))
            row[DETECTION] = (kept / normal + found / anomalous) / 2
            recall, alarms = found / anomalous, found + normal - kept
            detection = {"Overkill": 1 - kept / normal, "Miss": 1 - recall, "recall": recall}
            detection |= {"precision": found / alarms, "f1": 2 * found / (alarms + anomalous)}
        table[source] = {**row, "Average": _mean(list(row.values())), **detection}
    names = next(iter(table.values()), {})
    table["Average"] = {name: _mean([row[name] for row in table.values()]) for name in names}
    return table


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average the values that are defined; NaN where none is."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    return np.asarray(np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0))


def as_published(choices: Sequence[Choice]) -> dict[str, dict[str, float]]:
    """Compute the numbers as MMAD's own script does, as fractions: for comparison with published tables only.

    The script drops the record that follows an answer without a letter, and counts a subtask without an answer as 0.

    Returns:
        Source -> name -> number, as ``choice_accuracy``, without "recall", "precision" and "f1".

    Example:
        >>> choices = [Choice("a.png", "VisA", DETECTION, True, "B", None)]
        >>> choices += [Choice("b.png", "VisA", DETECTION, False, "A", "A")]
        >>> as_published(choices)["VisA"]
        {'Anomaly Detection': 0.0, 'Average': 0.0, 'Overkill': 1.0, 'Miss': 1.0}
    """
    kept, lost = [], False
    for one in choices:
        if lost:
            lost = False
        elif one.answer is None:
            lost = True
        else:
            kept.append(one)
    kinds = list(dict.fromkeys((one.source, one.subtask) for one in choices))
    sources, subtasks = (list(dict.fromkeys(one[part] for one in kinds)) for part in (0, 1))
    table: dict[str, dict[str, float]] = {}
    for source in sources:
        own = [one for one in kept if one.source == source]
        row = {name: _share([one for one in own if one.subtask == name]) for name in subtasks}
        detection = {}
        if DETECTION in subtasks:
            normal, anomalous = (
                _share([one for one in own if one.subtask == DETECTION and one.normal == kind])
                for kind in (True, False)
            )
            row[DETECTION] = (normal + anomalous) / 2
            detection = {"Overkill": 1 - normal, "Miss": 1 - anomalous}
        table[source] = {**row, "Average": sum(row.values()) / len(row), **detection}
    table["Average"] = {
        name: sum(row[name] for row in table.values()) / len(table) for name in next(iter(table.values()), {})
    }
    return table


def _share(choices: Sequence[Choice]) -> float:
    """Return the share of right answers; 0 of none."""
    return sum(one.answer == one.correct for one in choices) / len(choices) if choices else 0.0
