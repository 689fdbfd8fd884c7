"""Columns of tables of published results: conditions, and metrics of yes/no answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.columns import COLUMNS, Column, percent
from lvlm_ad.leaderboard.metric_columns import MetricColumn
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Group
    from lvlm_ad.leaderboard.entries import Entry

__all__ = ["ConditionColumn", "chosen_published", "published_columns"]


@dataclass(frozen=True)
class ConditionColumn(Column):
    """A condition in which the rows of a table of published results differ; a cell is text."""

    @property
    def is_text(self) -> bool:
        """Whether cells are text; numbers of reference images are not."""
        return self.name != "shots"

    def value(self, entry: Entry) -> str:
        """Return the condition as text; empty if it is not known."""
        return str(entry.conditions.get(self.name, ""))


# A narrow screen shows the first columns beside the name.
_BEFORE = (ConditionColumn("trained_on", "Trained on", "trained\non", str, drop=2),)
_AFTER = (
    ConditionColumn("shots", "Shots", "shots", str, drop=3),
    ConditionColumn("method", "Method", "method", str, drop=1),
    ConditionColumn("source", "Source", "source", str),
)
_YES_NO_METRICS = (
    MetricColumn(
        "balanced_accuracy",
        "Bal. acc.",
        "bal.\nacc.",
        percent,
        about="balanced accuracy, mean of the accuracies on normal and on anomalous images",
    ),
    MetricColumn("recall", "Recall", "recall", percent, drop=6, about="share of anomalous images that are called so"),
    MetricColumn("precision", "Precision", "preci-\nsion", percent, drop=5, about="share of such calls that are right"),
    MetricColumn("f1", "F1", "F1", percent, drop=4, about="harmonic mean of recall and precision"),
)
_METRICS: tuple[Column, ...] = (*(one for one in COLUMNS if one.name in METRIC_NAMES), *_YES_NO_METRICS)


def published_columns(groups: Sequence[Group]) -> tuple[Column, ...]:
    """Return rank, name, training data, the metrics that a row of the tables has, and the other conditions."""
    entries = [entry for group in groups for entry in group.entries]
    known = [one for one in _METRICS if any(entry.metrics.get(one.name) is not None for entry in entries)]
    return (*COLUMNS[:2], *_BEFORE, *known, *_AFTER)


def chosen_published(names: str) -> tuple[Column, ...]:
    """Return rank, name and the columns that a user names, separated by commas.

    Args:
        names: such as "trained_on,image_auroc,source"; "" for the usual columns, which depend on the table.

    Raises:
        ConfigError: tables of published results have no such column; the message suggests the nearest name.

    Example:
        >>> [column.head for column in chosen_published("shots,f1")]
        ['#', 'Model', 'Shots', 'F1']
    """
    known = {column.name: column for column in (*_BEFORE, *_METRICS, *_AFTER)}
    wanted = list(dict.fromkeys(name.strip().lower().replace("-", "_") for name in names.split(",") if name.strip()))
    for name in wanted:
        if name not in known:
            raise ConfigError(f"Published results have no column {name!r:.80}.{nearest(name, known)}")
    return (*COLUMNS[:2], *(known[name] for name in wanted)) if wanted else COLUMNS
