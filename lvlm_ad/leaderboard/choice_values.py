"""The accuracies of multiple-choice questions that a row of a leaderboard shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.evaluate.choices import AVERAGE
from lvlm_ad.metrics.choices import DETECTION

__all__ = [
    "ACCURACY",
    "CHOICE_METRICS",
    "RANKING",
    "SUBTASKS",
    "accuracy_title",
    "choice_intervals",
    "choice_note",
    "choice_values",
    "values_by_source",
]

ACCURACY = "choice_accuracy"
"""The metric that ranks rows that have it: the mean over sources and subtasks; an answer without a choice is wrong."""

SUBTASKS: Mapping[str, str] = {
    "choice_detection": DETECTION,
    "choice_defect_class": "Defect Classification",
    "choice_localization": "Defect Localization",
    "choice_description": "Defect Description",
    "choice_analysis": "Defect Analysis",
    "choice_object_class": "Object Classification",
    "choice_object_analysis": "Object Analysis",
}
"""Metric -> the subtask whose mean over sources it is."""

_OF_ALL = {ACCURACY: "accuracy", "choice_left_out": "left_out", "choice_published": "as_published"}

CHOICE_METRICS = (*_OF_ALL, "choice_unread", *SUBTASKS)
"""All of them, in the order of tables."""

RANKING = (ACCURACY, *SUBTASKS)
"""Those that may rank rows: not answering gains nothing in them, and they have intervals."""


def accuracy_title(metric: str) -> str:
    """Return what sentences call a metric of ``RANKING``.

    Example:
        >>> accuracy_title("choice_accuracy"), accuracy_title("choice_object_class")
        ('accuracy', 'accuracy in Object Classification')
    """
    return f"accuracy in {SUBTASKS[metric]}" if metric in SUBTASKS else "accuracy"


def choice_values(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return a run's values of ``CHOICE_METRICS``; empty if it answered no questions.

    Args:
        metrics: the content of metrics.json.
    """
    if not (choices := metrics.get("choices")):
        return {}
    values = _values(choices["sources"][AVERAGE])
    return values | {"choice_unread": sum(choices["unread"].values()) / choices["questions"]}


def values_by_source(metrics: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return source -> accuracy -> a run's value; empty if it answered no questions.

    Args:
        metrics: the content of metrics.json.
    """
    sources = metrics["choices"]["sources"] if metrics.get("choices") else {}
    return {name: _values(row) for name, row in sources.items() if name != AVERAGE}


def _values(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the accuracies of a source, or of the mean over sources."""
    values = {name: row[AVERAGE].get(key) for name, key in _OF_ALL.items()}
    return values | {name: row.get(of, {}).get("accuracy") for name, of in SUBTASKS.items()}


def choice_intervals(metrics: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of those values that have one."""
    average = metrics["choices"]["sources"][AVERAGE] if metrics.get("choices") else {}
    ends = {name: average.get(of, {}) for name, of in SUBTASKS.items()}
    found = {name: one["interval"]["accuracy"] for name, one in ends.items() if "accuracy" in one.get("interval", {})}
    if average and "accuracy" in average[AVERAGE]["interval"]:
        found[ACCURACY] = average[AVERAGE]["interval"]["accuracy"]
    return {name: (low, high) for name, (low, high) in found.items()}


def choice_note(metrics: Mapping[str, Any]) -> str:
    """Say how many answers chose no option, and why; empty if all chose one.

    Example:
        >>> choice_note({"choices": {"questions": 48, "unread": {"refused": 4, "unparsable": 0}}})
        '4 of 48 questions have no choice: 4 refused'
    """
    choices = metrics.get("choices") or {"questions": 0, "unread": {}}
    counts = ", ".join(f"{count} {status}" for status, count in choices["unread"].items() if count)
    return (
        f"{sum(choices['unread'].values())} of {choices['questions']} questions have no choice: {counts}"
        if counts
        else ""
    )
