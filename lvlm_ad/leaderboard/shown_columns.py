"""Which columns a table shows unless the user chooses: the usual ones, and those of metrics that its rows have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.choice_columns import CHOICES
from lvlm_ad.leaderboard.choice_values import ACCURACY
from lvlm_ad.leaderboard.columns import COLUMNS, Column
from lvlm_ad.leaderboard.published_columns import published_columns
from lvlm_ad.leaderboard.reported_columns import reported_column
from lvlm_ad.leaderboard.shape_columns import SHAPES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Group

__all__ = ["shown_columns"]

_AT = [column.name for column in COLUMNS].index("difference")


def shown_columns(groups: Sequence[Group], columns: Sequence[Column] = COLUMNS) -> tuple[Column, ...]:
    """Return the columns of tables; the usual ones include the metrics of shapes and of questions if a row has them.

    Accuracies of questions come first, then the metrics that the data set's authors report, then the rest of the seven.
    In a table with questions, metrics of pixels are left out unless a row that answered questions has them.
    Tables of published results have columns of their own.
    """
    if tuple(columns) != COLUMNS:
        return tuple(columns)
    if any(group.conditions.get("published") for group in groups):
        return published_columns(groups)
    entries = [entry for group in groups for entry in group.entries]
    places = [one for one in SHAPES.values() if one.usual and any(one.value(entry) is not None for entry in entries)]
    choices = [one for one in CHOICES.values() if any(one.value(entry) is not None for entry in entries)]
    measured: list[Mapping[str, float | None]] = []
    for group in groups:
        metrics = [entry.metrics for entry in group.entries]
        measured += [one for one in metrics if ACCURACY in one] or metrics
    usual = {column.name: column for column in COLUMNS[2:_AT]}
    names = dict.fromkeys(name for entry in entries for name in entry.reported)
    first = [usual.pop(name) if name in usual else reported_column(name) for name in names]
    numbers = [
        column
        for column in (*first, *usual.values())
        if not choices
        or not column.name.startswith("pixel")
        or any(one.get(column.name) is not None for one in measured)
    ]
    return (*COLUMNS[:2], *choices, *numbers, *places, *COLUMNS[_AT:])
