"""The methods of each model side by side, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard.by_model_formats import explanations, heads_of, notes_of, row_cells
from lvlm_ad.report.board_page import report_links
from lvlm_ad.report.page import render

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Column, Entry, ModelTable

METHOD_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js")


def model_page(
    tables: Sequence[ModelTable], columns: Sequence[Column], runs: Path | None = None, folder: Path | None = None
) -> str:
    """Return tables of one model's methods as one self-contained HTML file.

    Args:
        tables: as ``model_tables`` makes them.
        columns: as ``metrics_by_model`` returns them.
        runs: the folder of the runs; a row leads to its report there if it has one. None: no links.
        folder: where the page will be; None: in ``runs``.

    Example:
        >>> model_page([], ()).startswith("<!doctype html>")
        True
    """
    return render(
        "by_model.html",
        METHOD_SCRIPTS,
        title="lvlm-ad: methods of each model",
        made="",
        **method_values(tables, columns, lambda entries: report_links(entries, runs, folder)),
    )


def method_values(
    tables: Sequence[ModelTable],
    columns: Sequence[Column],
    links_of: Callable[[Sequence[Entry]], Mapping[str, str]],
) -> dict[str, Any]:
    """Return what ``methods.html`` needs; ``links_of`` gives for rows: run -> the address to which its row leads."""
    shown = []
    for table in tables:
        links = links_of([row.entry for row in table.rows])
        rows = [
            {"name": row.name, "page": links.get(row.entry.run), "cells": row_cells(table, row, columns)}
            for row in table.rows
        ]
        shown.append({"title": table.title, "heads": heads_of(table, columns), "rows": rows, "notes": notes_of(table)})
    return {"tables": shown, "explanations": explanations(tables, columns, "Under")}
