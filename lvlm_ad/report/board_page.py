"""The leaderboard as a page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lvlm_ad import __version__
from lvlm_ad.leaderboard import HEADERS, NO_INTERVAL, cells, lacks_intervals, sections
from lvlm_ad.report.cost import cost_plot
from lvlm_ad.report.page import percent, render
from lvlm_ad.report.run_page import HEADS
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvlm_ad.leaderboard import Board, Entry, Group

__all__ = ["board_page"]

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "filter.js")
_BY_CATEGORY = ("image_auroc", "pixel_auroc", "pixel_aupro")
_KINDS = {"ranked": "ranked", "apart": "apart, not ranked", "frame": "frame", "published": "published"}
"""Kinds of row, as the filter calls them."""
_FIRST_METRIC = 2
"""Cells before the metrics: place and name."""


def board_page(board: Board, runs: Path | None = None, folder: Path | None = None) -> str:
    """Return a leaderboard as one HTML file that holds all it needs.

    Args:
        board: the rows.
        runs: the folder of the runs; rows whose report is there are linked to it. None: no links.
        folder: where the page will lie; None: in ``runs``.
    """
    return render(
        "leaderboard.html",
        _SCRIPTS,
        title="lvlm-ad leaderboard",
        version=__version__,
        made="",
        groups=[
            _group(group, board.sort, _links(group, runs, folder), number) for number, group in enumerate(board.groups)
        ],
        heads=HEADERS,
    )


def _links(group: Group, runs: Path | None, folder: Path | None) -> dict[str, str]:
    """Return the addresses of the reports that there are, by run."""
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
    measured = [entry for entry in group.entries if entry.kind != "published"]
    numbers = {id(entry): number for number, entry in enumerate(group.entries)}
    there = {entry.kind for entry in group.entries}
    plots = [cost_plot(measured, f"cost-{number}{'-narrow' * narrow}", narrow=narrow) for narrow in (False, True)]
    return {
        "title": group.title,
        "kinds": [(kind, words) for kind, words in _KINDS.items() if kind in there],
        "sections": [
            {
                "heading": section.heading,
                "rows": [{"number": numbers[id(entry)], **_row(entry, group, links)} for entry in section.entries],
            }
            for section in sections(group)
        ],
        "lacking": NO_INTERVAL if lacks_intervals(group, sort) else "",
        "notes": [(numbers[id(entry)], entry.name, "; ".join(entry.notes)) for entry in group.entries if entry.notes],
        "plots": [plot for plot in plots if plot is not None],
        "heat": _heat(group),
    }


def _row(entry: Entry, group: Group, links: Mapping[str, str]) -> dict[str, Any]:
    texts = cells(entry)
    found = []
    for name in METRIC_NAMES:
        value = entry.metrics[name]
        found.append(
            {
                "text": percent(value),
                "sort": "" if value is None else value,
                "ends": entry.intervals.get(name),
                "mark": _mark(entry, group, name),
            }
        )
    sorts = (entry.coverage, entry.cost_usd, entry.usd_per_image, entry.usd_per_point)
    for text, value in zip(texts[_FIRST_METRIC + len(METRIC_NAMES) :], sorts, strict=True):
        found.append({"text": text, "sort": "" if value is None else value, "ends": None, "mark": ""})
    return {
        "kind": entry.kind,
        "rank": entry.rank,
        "place": texts[0],
        "name": entry.name,
        "words": "; ".join(entry.notes),
        "page": links.get(entry.run, ""),
        "cells": found,
    }


def _mark(entry: Entry, group: Group, metric: str) -> str:
    """Say whether a value is the best or second among ranked rows; a single row is not called best."""
    ranked = [one for one in group.entries if one.kind == "ranked"]
    own = entry.metrics[metric]
    if entry.kind != "ranked" or len(ranked) == 1 or own is None:
        return ""
    values = sorted({value for one in ranked if (value := one.metrics[metric]) is not None}, reverse=True)
    place = values.index(own)
    return ("best", "second")[place] if place <= 1 else ""


def _heat(group: Group) -> list[dict[str, Any]]:
    """Return tables of a metric by row and category; the shade goes from the lowest value to the highest."""
    categories = group.conditions["categories"]
    entries = [(number, entry) for number, entry in enumerate(group.entries) if entry.kind != "published"]
    if len(categories) == 1:
        return []
    tables = []
    for metric in _BY_CATEGORY:
        rows = [
            (number, entry.name, [entry.categories.get(name, {}).get(metric) for name in categories])
            for number, entry in entries
        ]
        known = [value for _, _, values in rows for value in values if value is not None]
        if not known:
            continue
        low, high = min(known), max(known)
        shade = [
            {
                "number": number,
                "name": name,
                "shown": values,
                "shares": [0 if value is None else round((value - low) / ((high - low) or 1), 3) for value in values],
            }
            for number, name, values in rows
        ]
        tables.append({"title": HEADS[metric], "categories": categories, "rows": shade})
    return tables
