"""Columns of the metrics beside the usual seven, and the notes that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import Column
from lvlm_ad.leaderboard.entries import LOWER_IS_BETTER

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.entries import Entry

__all__ = ["MetricColumn", "metric_notes"]


@dataclass(frozen=True)
class MetricColumn(Column):
    """A metric that only runs with some methods or some data sets have.

    Attributes:
        about: what it is, for the note below a table.
        usual: whether a table shows it unless columns are chosen.
    """

    about: str = ""
    usual: bool = True

    @property
    def lower_is_better(self) -> bool:
        """Whether a low value is a good one."""
        return self.name in LOWER_IS_BETTER

    def value(self, entry: Entry) -> float | None:
        """Return a row's value; None if its run has no such metric, or the value is undefined."""
        return entry.metrics.get(self.name)


def metric_notes(columns: Sequence[Column]) -> list[str]:
    r"""Explain the columns of metrics beside the seven; columns with the same explanation share a note.

    Example:
        >>> column = MetricColumn("found", "Defects found", "defects\nfound", str, about="share of defects found")
        >>> metric_notes([column])
        ['Defects found: share of defects found.']
    """
    heads: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column, MetricColumn) and column.about:
            heads.setdefault(column.about, []).append(column.head)
    return [f"{', '.join(names)}: {about}." for about, names in heads.items()]
