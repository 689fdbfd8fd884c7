"""Writes a leaderboard to files: Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import RunError
from lvlm_ad.leaderboard.board import Board, Entry, Group
from lvlm_ad.leaderboard.cells import HEADERS, cells, legend, plain
from lvlm_ad.leaderboard.latex import tex
from lvlm_ad.leaderboard.sections import sections
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FORMATS", "read_json"]

_COSTS = ("cost_usd", "usd_per_image", "usd_per_point")


def markdown(board: Board) -> str:
    """Return the leaderboard as Markdown, a table a group."""
    parts = []
    for group in board.groups:
        lines = [
            f"### {_md(group.title)}",
            "",
            _md_row(HEADERS),
            _md_row(["---", "---", *["---:"] * (len(HEADERS) - 2)]),
        ]
        for section in sections(group):
            if section.heading:
                lines.append(_md_row(["", f"*{section.heading}*", *[""] * (len(HEADERS) - 2)]))
            lines += [_md_row([_md(cell) for cell in cells(entry, board.sort)]) for entry in section.entries]
        notes = [f"- {_md(entry.name)}: {_md('; '.join(entry.notes))}" for entry in group.entries if entry.notes]
        parts.append("\n".join([*lines, *(["", *notes] if notes else [])]))
    return "\n\n".join([*parts, legend(board.groups, board.sort)]) + "\n"


def _md_row(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _md(text: str) -> str:
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped)


def csv_text(board: Board) -> str:
    """Return the leaderboard as CSV, one line a row, fractions in 0..1, empty where undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [f"{name}_{end}" for name in METRIC_NAMES for end in ("low", "high")]
    writer.writerow(["group", "rank", "kind", "model", *METRIC_NAMES, "coverage", *_COSTS, "notes", "run", *ends])
    for group in board.groups:
        for entry in group.entries:
            metrics = [entry.metrics[name] for name in METRIC_NAMES]
            texts = [plain(text) for text in (entry.name, "; ".join(entry.notes), entry.run)]
            line = [plain(group.title), entry.rank, entry.kind, texts[0], *metrics, entry.coverage]
            line += [getattr(entry, name) for name in _COSTS]
            intervals = [end for name in METRIC_NAMES for end in entry.intervals.get(name, (None, None))]
            writer.writerow(["" if cell is None else _no_formula(cell) for cell in [*line, *texts[1:], *intervals]])
    return out.getvalue()


def _no_formula(cell: Any) -> Any:
    """Keep a spreadsheet from reading a stranger's text as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def json_text(board: Board) -> str:
    """Return the leaderboard as JSON, fractions in 0..1, null where undefined."""
    groups = [
        {"title": group.title, "conditions": group.conditions, "entries": [asdict(entry) for entry in group.entries]}
        for group in board.groups
    ]
    return json.dumps({"sort": board.sort, "groups": groups}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(text: str) -> Board:
    """Return the leaderboard that ``json_text`` wrote.

    Raises:
        RunError: the text is no such leaderboard.
    """
    try:
        found = json.loads(text)
        groups = [
            Group(one["title"], one["conditions"], tuple(_entry(entry) for entry in one["entries"]))
            for one in found["groups"]
        ]
        return Board(tuple(groups), found["sort"])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RunError(f"This is no leaderboard as JSON: {error!r:.200}.") from error


def _entry(fields: dict[str, Any]) -> Entry:
    metrics = {name: fields["metrics"][name] for name in METRIC_NAMES}
    ends = {name: (float(low), float(high)) for name, (low, high) in fields["intervals"].items()}
    return Entry(**{**fields, "metrics": metrics, "intervals": ends, "notes": tuple(fields["notes"])})


FORMATS: dict[str, Callable[[Board], str]] = {"csv": csv_text, "json": json_text, "md": markdown, "tex": tex}
"""File formats by name."""
