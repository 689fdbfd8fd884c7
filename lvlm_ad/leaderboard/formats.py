"""Writes a leaderboard as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, cells, legend, printable
from lvlm_ad.leaderboard.latex import tex
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Board

__all__ = ["FORMATS"]


def markdown(board: Board) -> str:
    """Return the leaderboard as Markdown, with a table for each group."""
    blank = [""] * len(NUMBERS)
    parts = []
    for group in board.groups:
        lines = [
            f"### {_escape_md(group.title)}",
            "",
            _md_row([column.head for column in COLUMNS]),
            _md_row(["---", "---", *["---:"] * len(NUMBERS)]),
        ]
        for heading, entries in group.sections():
            if heading:
                lines.append(_md_row(["", f"*{heading}*", *blank]))
            lines += [_md_row([_escape_md(cell) for cell in cells(entry, board.sort)]) for entry in entries]
        notes = [
            f"- {_escape_md(entry.name)}: {_escape_md('; '.join(entry.notes))}"
            for entry in group.entries
            if entry.notes
        ]
        parts.append("\n".join([*lines, *(["", *notes] if notes else [])]))
    return "\n\n".join([*parts, legend(board.groups, board.sort)]) + "\n"


def _md_row(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _escape_md(text: str) -> str:
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped)


def csv_text(board: Board) -> str:
    """Return the leaderboard as CSV: one line per row, fractions in 0..1, empty cells where undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [f"{name}_{end}" for name in METRIC_NAMES for end in ("low", "high")]
    numbers = [column.name for column in NUMBERS]
    writer.writerow(["group", "rank", "kind", "model", *numbers, "notes", "run", *ends])
    for group in board.groups:
        for entry in group.entries:
            values = [column.value(entry) for column in NUMBERS]
            intervals = [end for name in METRIC_NAMES for end in entry.intervals.get(name, (None, None))]
            about = ["; ".join(entry.notes), entry.run]
            line = [group.title, entry.rank, entry.kind, entry.name, *values, *about, *intervals]
            writer.writerow([_csv_cell(value) for value in line])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None else value
    # A spreadsheet would run a stranger's text as a formula.
    return f"'{printable(value)}" if value.startswith(("=", "+", "-", "@")) else printable(value)


def json_text(board: Board) -> str:
    """Return the leaderboard as JSON: fractions in 0..1, null where undefined."""
    groups = [
        {"title": group.title, "conditions": group.conditions, "entries": [asdict(entry) for entry in group.entries]}
        for group in board.groups
    ]
    return json.dumps({"sort": board.sort, "groups": groups}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Board], str]] = {"csv": csv_text, "json": json_text, "md": markdown, "tex": tex}
"""File formats by name."""
