"""Writes the figures of a study as CSV and LaTeX; ``STUDY_FORMATS`` names the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.leaderboard.category_formats import tex_frame
from lvlm_ad.leaderboard.columns import shortened
from lvlm_ad.studies.efficiency_tables import efficiency_tables
from lvlm_ad.studies.grounding_tables import grounding_tables
from lvlm_ad.studies.stability_tables import stability_tables
from lvlm_ad.studies.values import figures_of, study_values

if TYPE_CHECKING:
    from lvlm_ad.studies.record import Study
    from lvlm_ad.studies.tables import Cell, StudyTable

__all__ = ["STUDY_FORMATS", "csv_text", "tables_of", "tex"]

_TABLES: Mapping[str, Callable[[Any], Sequence[StudyTable]]] = {
    "efficiency": efficiency_tables,
    "grounding": grounding_tables,
    "stability": stability_tables,
}
"""Kind of study -> its tables."""

_HEADS = ("figure", "part", "value", "low", "high", "n")

_ROW_KEPT = 60
"""Characters of a row's name."""


def tables_of(study: Study) -> Sequence[StudyTable]:
    """Return the tables of a study.

    Args:
        study: what its ``study.json`` holds.

    Raises:
        RunError: this version does not know its kind, or its figures are damaged.

    Example::

        [table.title for table in tables_of(Study.read(Path("runs/studies/mine")))]
    """
    figures = figures_of(study)
    return _TABLES[study.kind](figures)


def csv_text(study: Study) -> str:
    """Return every number of a study as CSV, a line for each, see ``StudyValue``; empty where undefined.

    Raises:
        RunError: as ``tables_of``.
    """
    rows = ((one.figure, one.part, one.value, one.low, one.high, one.n) for one in study_values(study))
    return escape.csv_lines([_HEADS, *rows])


def tex(study: Study) -> str:
    """Return the tables of a study as LaTeX, which needs the packages booktabs and graphicx.

    Raises:
        RunError: as ``tables_of``.
    """
    return "\n".join(_tex_table(study, one) for one in tables_of(study))


def _tex_table(study: Study, table: StudyTable) -> str:
    caption = f"{table.title}: {study.model}, {study.method}. {study.dataset}"
    head = [" & ".join(map(escape.latex, table.heads)) + r" \\"]
    rows = [
        " & ".join([escape.latex_start(shortened(name, _ROW_KEPT)), *map(_tex_cell, cells)])
        for name, cells in table.rows
    ]
    notes = [table.note, table.reasons, "In brackets: 95 % intervals over the choice of images."]
    return tex_frame(
        escape.breakable_latex(caption), len(table.heads) - 1, head, rows, list(filter(None, notes)), mean_last=False
    )


def _tex_cell(cell: Cell) -> str:
    ends = rf" {{\scriptsize ({escape.latex(cell.ends)})}}" if cell.ends else ""
    text = escape.latex(cell.text) + ends
    # A hyphen is too short for a minus; texts of others are in cells without a value.
    return text if cell.value is None else text.replace("-", "$-$")


STUDY_FORMATS: Mapping[str, Callable[[Study], str]] = {"csv": csv_text, "tex": tex}
"""File formats by name."""
