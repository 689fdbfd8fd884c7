"""Columns of the metrics that data sets have of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import Column, percent
from lvlm_ad.leaderboard.shape_columns import shape_notes
from lvlm_ad.runs import is_reported

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.entries import Entry

__all__ = ["ReportedColumn", "metric_notes", "reported_column", "reported_notes"]

_HEADS = {
    "pixel_aupro": ("PRO", "pixel\nPRO"),
    "au_spro": ("AU-sPRO", "AU-\nsPRO"),
    "image_auroc": ("I-AUROC", "image\nAUROC"),
    "sample_auroc": ("S-AUROC", "sample\nAUROC"),
    "segf1": ("SegF1", "seg-\nF1"),
    "classf1": ("ClassF1", "class-\nF1"),
}
"""Heading, and heading in the terminal, of a metric without its group and limit."""

_ABOUT = {
    "pixel_aupro": "AUPRO up to a false-positive rate of {limit}",
    "au_spro": "overlap with defects that need not be found whole, up to a false-positive rate of {limit}, at the size "
    "of the original pictures",
    "image_auroc": "image AUROC of these anomalies against all good images, and the mean of the groups",
    "sample_auroc": "image AUROC of objects, each with the highest label and score of its views",
    "segf1": "F1 of all pixels above the mean plus three standard deviations of normal validation maps",
    "classf1": "the same F1 over images, of which one is anomalous if its map has such a pixel",
}


@dataclass(frozen=True)
class ReportedColumn(Column):
    """A metric that a data set has of its own."""

    about: str = ""

    def value(self, entry: Entry) -> float | None:
        """Return a row's value; None if its data set has no such metric, or it is undefined."""
        return entry.metrics.get(self.name)


def reported_column(name: str) -> ReportedColumn:
    r"""Return the column of a metric.

    Example:
        >>> column = reported_column("au_spro_logical@0.05")
        >>> column.head, column.terminal_head
        ('AU-sPRO@0.05 (logical)', 'sPRO\nlogical')
    """
    plain, at, limit = name.partition("@")
    metric = next(one for one in _HEADS if plain.startswith(one))
    head, short = _HEADS[metric]
    group = plain[len(metric) + 1 :]
    if group:
        first = {"au_spro": "sPRO", "image_auroc": "AUROC"}[metric]
        short = f"{first}\n{re.sub('structural', 'struct.', group)}"
    elif limit:
        short = f"{head.removeprefix('AU-')}\n@{limit}"
    text = f"{head}{at}{limit}{f' ({group})' if group else ''}"
    is_part = bool(group) and group != "groups"
    return ReportedColumn(name, text, short, percent, 10 if is_part else 0, about=_ABOUT[metric].format(limit=limit))


def metric_notes(columns: Sequence[Column]) -> list[str]:
    """Explain the columns of metrics beside the seven, and of those of shapes; empty if there are none."""
    return [*reported_notes(columns), *shape_notes(columns)]


def reported_notes(columns: Sequence[Column]) -> list[str]:
    """Explain the columns of metrics beside the seven; empty if there are none."""
    about: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column, ReportedColumn) and is_reported(column.name):
            about.setdefault(column.about, []).append(column.head)
    return [f"{', '.join(heads)}: {text}." for text, heads in about.items()]
