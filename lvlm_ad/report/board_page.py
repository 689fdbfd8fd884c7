"""The leaderboard as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lvlm_ad.leaderboard import COLUMNS
from lvlm_ad.leaderboard.columns import HEADS, INTERVALS, NO_INTERVAL, OWN_MAPS, REFERENCE_ROWS
from lvlm_ad.report.cost_plot import cost_plot
from lvlm_ad.report.page import render
from lvlm_ad.runs import METRIC_TITLES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board, Group

__all__ = ["board_page"]

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "filter.js")
_MARKS = "Bold: the best ranked row; underlined: the second. Click a heading to sort."
_BY_CATEGORY = ("image_auroc", "pixel_auroc", "pixel_aupro")
_KINDS = {"ranked": "ranked", "apart": "not ranked", "frame": "reference", "published": "published"}
"""Kind of row -> its name in the filter."""


def board_page(board: Board, runs: Path | None = None, folder: Path | None = None) -> str:
    """Return a leaderboard as one self-contained HTML file.

    Args:
        board: the leaderboard.
        runs: the folder of the runs; a row is linked to its report if there is one. None: no links.
        folder: where the page will be; None: in ``runs``.

    Example:
        >>> from lvlm_ad.leaderboard import make_board
        >>> board_page(make_board([])).startswith("<!doctype html>")
        True
    """
    return render(
        "leaderboard.html",
        _SCRIPTS,
        title="lvlm-ad leaderboard",
        made="",
        groups=[_group(group, board.sort, _links(group, runs, folder), at) for at, group in enumerate(board.groups)],
        columns=COLUMNS,
        explanations=[f"{HEADS} {_MARKS}", INTERVALS, REFERENCE_ROWS, OWN_MAPS],
    )


def _links(group: Group, runs: Path | None, folder: Path | None) -> dict[str, str]:
    """Return run -> address of its report, for reports that exist."""
    if runs is None:
        return {}
    pages = {entry.run: runs / entry.run / "report" / "index.html" for entry in group.entries if entry.run}
    start = (folder or runs).resolve()
    return {
        run: quote(os.path.relpath(page.resolve(), start).replace(os.sep, "/"))
        for run, page in pages.items()
        if page.is_file()
    }


def _group(group: Group, sort: str, links: Mapping[str, str], number: int) -> dict[str, Any]:
    kinds = {entry.kind for entry in group.entries}
    measured = [entry for entry in group.entries if entry.kind != "published"]
    plots = [cost_plot(measured, f"cost-{number}{'-narrow' * narrow}", narrow=narrow) for narrow in (False, True)]
    # A row's number ties it to its note and to its lines by category: all three are filtered together.
    numbers = {id(entry): at for at, entry in enumerate(group.entries)}
    return {
        "of": group,
        "links": links,
        "kinds": [(kind, name) for kind, name in _KINDS.items() if kind in kinds],
        "sections": [
            (heading, [(numbers[id(entry)], entry) for entry in entries]) for heading, entries in group.sections()
        ],
        "no_interval": NO_INTERVAL if group.lacks_interval(sort) else "",
        "notes": [(numbers[id(entry)], entry.name, "; ".join(entry.notes)) for entry in group.entries if entry.notes],
        "plots": [plot for plot in plots if plot is not None],
        "by_category": _by_category(group),
    }


def _by_category(group: Group) -> list[dict[str, Any]]:
    """Return tables of a metric by row and category; each cell has its value and its shade, 0 to 1."""
    categories = group.conditions["categories"]
    if len(categories) == 1:
        return []
    tables = []
    for metric in _BY_CATEGORY:
        rows = [
            (number, entry.name, [entry.categories.get(name, {}).get(metric) for name in categories])
            for number, entry in enumerate(group.entries)
            if entry.kind != "published"
        ]
        known = [value for _, _, values in rows for value in values if value is not None]
        if known:
            low, span = min(known), (max(known) - min(known)) or 1
            lines = [
                {
                    "number": number,
                    "name": name,
                    "cells": [(value, 0 if value is None else round((value - low) / span, 3)) for value in values],
                }
                for number, name, values in rows
            ]
            tables.append({"title": METRIC_TITLES[metric], "categories": categories, "rows": lines})
    return tables
