"""Writes a leaderboard: Markdown, CSV, JSON, LaTeX, and lines for the terminal."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import RunError
from lvlm_ad.leaderboard.board import Board, Entry, Group
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FORMATS", "HEADERS", "cells", "plain", "read_json", "usd"]

HEADERS = (
    "#",
    "Model",
    "I-AUROC",
    "I-AP",
    "I-F1",
    "P-AUROC",
    "P-AP",
    "P-F1",
    "PRO",
    "Answered",
    "USD",
    "USD/image",
    "USD/point",
)
"""Column heads of tables; I is image, P is pixel, F1 is F1-max, PRO is AUPRO at a false-positive rate up to 0.3."""

_COSTS = ("cost_usd", "usd_per_image", "usd_per_point")
_LEGEND = (
    "Percent. I: image, P: pixel, F1: F1-max, PRO: AUPRO up to a false-positive rate of 0.3. "
    "±: half of the 95 % interval over test images. Rank: 1 + the number of rows that are surely better, their "
    "intervals apart. "
    "A point is one percent of I-AUROC above 50."
)


def plain(text: str) -> str:
    """Drop control characters: names and notes may come from a stranger's run folder."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", " ", text)


def cells(entry: Entry, sort: str) -> list[str]:
    """Return a row's cells in the order of ``HEADERS``; fractions as percent with one decimal, as papers print them.

    Behind the value of the metric ``sort`` stands half of its interval.
    """
    place = {"ranked": str(entry.rank or "-"), "frame": "frame", "apart": "-", "published": "publ."}[entry.kind]
    metrics = [_percent(entry.metrics[name]) for name in METRIC_NAMES]
    if sort in entry.intervals:
        low, high = entry.intervals[sort]
        metrics[METRIC_NAMES.index(sort)] += f" ±{50 * (high - low):.1f}"
    coverage = "" if entry.coverage is None else _coverage(entry.coverage)
    if entry.kind == "published":
        return [place, plain(entry.name), *metrics, coverage, "", "", ""]
    point = "-" if entry.usd_per_point is None and entry.cost_usd is not None else usd(entry.usd_per_point)
    return [place, plain(entry.name), *metrics, coverage, usd(entry.cost_usd), usd(entry.usd_per_image), point]


def usd(value: float | None) -> str:
    """Write an amount with two digits that say something: 12.34, 0.012, 0.00045."""
    if value is None:
        return "?"
    return f"{value:.2f}" if value >= 1 or value == 0 else format(Decimal(f"{value:.2g}"), "f")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _coverage(value: float) -> str:
    # Rounding must not claim that every image was answered.
    return "100 %" if value == 1 else f"{min(100 * value, 99.9):.1f} %"


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
        lines += [_md_row([_md(cell) for cell in cells(entry, board.sort)]) for entry in group.entries]
        notes = [f"- {_md(entry.name)}: {_md('; '.join(entry.notes))}" for entry in group.entries if entry.notes]
        parts.append("\n".join([*lines, *(["", *notes] if notes else [])]))
    return "\n\n".join([*parts, _LEGEND]) + "\n"


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


def tex(board: Board) -> str:
    """Return the leaderboard as LaTeX tables; best ranked values bold, second underlined.

    They take the packages booktabs and graphicx.
    """
    return "\n".join(_tex_table(group, board.sort) for group in board.groups)


def _tex_table(group: Group, sort: str) -> str:
    ranked = [entry for entry in group.entries if entry.kind == "ranked"]
    best = {}
    for name in METRIC_NAMES:
        values = {value for entry in ranked if (value := entry.metrics[name]) is not None}
        best[name] = sorted(values, reverse=True)[:2]
    lines = [
        r"\begin{table}",
        rf"  \caption{{{_tex(group.title)}}}",
        # Thirteen columns are wider than a page's text.
        r"  \resizebox{\textwidth}{!}{%",
        r"  \begin{tabular}{llrrrrrrrrrrr}",
        r"    \toprule",
        f"    {' & '.join(_tex(head) for head in HEADERS)} \\\\",
        r"    \midrule",
    ]
    previous = ""
    for entry in group.entries:
        if entry.kind == "published" and previous not in {"", "published"}:
            lines.append(r"    \midrule")
        previous = entry.kind
        row = [_tex(cell) for cell in cells(entry, sort)]
        if entry.kind == "ranked" and len(ranked) > 1:
            for at, name in enumerate(METRIC_NAMES, start=2):
                marks = dict(zip(best[name], (r"\textbf", r"\underline"), strict=False))
                value = entry.metrics[name]
                mark = None if value is None else marks.get(value)
                row[at] = f"{mark}{{{row[at]}}}" if mark else row[at]
        lines.append(f"    {' & '.join(row)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}}"]
    notes = [f"{_tex(entry.name)}: {_tex('; '.join(entry.notes))}." for entry in group.entries if entry.notes]
    if notes:
        lines.append(rf"  \par\footnotesize {' '.join(notes)}")
    return "\n".join([*lines, r"\end{table}", ""])


_LATIN_1_ENDS = 0x100

_TEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "·": r"\textperiodcentered{}",
    "±": r"\textpm{}",
    "µ": r"\textmu{}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _tex(text: str) -> str:
    return "".join(_tex_character(character) for character in plain(text))


def _tex_character(character: str) -> str:
    """Return a character as every LaTeX sets it; what not every one can set, as its code point."""
    if character in _TEX_CHARACTERS:
        return _TEX_CHARACTERS[character]
    parts = unicodedata.normalize("NFD", character)
    # Letters with a mark are known to LaTeX as they are, those of Latin-1 to every one.
    known = character.isascii() or (parts[0].isascii() and ord(character) < _LATIN_1_ENDS)
    return character if known else f"[U+{ord(character):04X}]"


FORMATS: dict[str, Callable[[Board], str]] = {"csv": csv_text, "json": json_text, "md": markdown, "tex": tex}
"""File formats by name."""
