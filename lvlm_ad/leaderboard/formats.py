"""Writes a leaderboard as Markdown, CSV, JSON and LaTeX; ``FORMATS`` names the functions."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, cells, interval, legend, printable
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Board, Entry, Group

_NAME_KEPT = 28
"""Characters of a name: the table is scaled to the page, and a long name would make the rest too small."""

_WORD_KEPT = 16
"""Characters of a word in notes after which a line may break: addresses and hashes are long."""

_MARKS = {"best": r"\textbf", "second": r"\underline"}

_LATIN_1_END = 0xFF
"""Every LaTeX engine knows the accented letters up to here."""

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
        notes = [f"- {_escape_md(name)}: {_escape_md(note)}" for _, name, note in group.notes()]
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
    values = {"sort": board.sort, **asdict(board)}
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def tex(board: Board) -> str:
    """Return the leaderboard as LaTeX tables; the best ranked value is bold, the second underlined.

    The tables need the packages booktabs and graphicx, and span both columns of a two-column page.
    """
    return "\n".join(_table(group, board.sort) for group in board.groups)


def _table(group: Group, sort: str) -> str:
    lines = [
        r"\begin{table*}",
        # Most classes leave no space between a table and a caption above it.
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{_breakable(group.title)}}}",
        r"  \setlength{\tabcolsep}{3pt}",
        r"  \resizebox{\textwidth}{!}{%",
        rf"  \begin{{tabular}}{{ll{'r' * len(NUMBERS)}}}",
        r"    \toprule",
        f"    {' & '.join(_tex(column.head) for column in COLUMNS)} \\\\",
    ]
    for heading, entries in group.sections():
        lines.append(r"    \midrule")
        if heading:
            lines.append(rf"    & \multicolumn{{{len(COLUMNS) - 1}}}{{l}}{{\emph{{{_tex(heading)}}}}} \\")
        lines += [f"    {' & '.join(_row(group, entry, sort))} \\\\" for entry in entries]
    notes = [f"{_tex(_shortened(name))}: {_breakable(note)}." for _, name, note in group.notes()]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"  \par\smallskip\footnotesize\raggedright {' '.join([_tex(legend([group], sort)), *notes])}",
        r"\end{table*}",
    ]
    return "\n".join([*lines, ""])


def _row(group: Group, entry: Entry, sort: str) -> list[str]:
    row = []
    for column in COLUMNS:
        text = _tex(_shortened(entry.name) if column.name == "name" else column.text(entry))
        if place := group.place(entry, column.name):
            text = rf"{_MARKS[place]}{{{text}}}"
        if column.name == sort and sort in entry.intervals:
            text += rf" {{\scriptsize {_tex(interval(entry, sort))}}}"
        row.append(text)
    return row


def _shortened(name: str) -> str:
    """Leave out the middle of a long name; long names often differ at their end."""
    half = _NAME_KEPT // 2
    return name if len(name) <= _NAME_KEPT else f"{name[:half]}...{name[-half:]}"


def _breakable(text: str) -> str:
    """Escape text, and let lines break within long words."""
    parts = re.sub(rf"(\S{{{_WORD_KEPT}}})(?=\S)", "\\1\0", printable(text)).split("\0")
    return r"\allowbreak{}".join(_tex(part) for part in parts)


def _tex(text: str) -> str:
    # No line break between a number and its per cent sign.
    return "".join(_tex_character(character) for character in printable(text)).replace(r" \%", r"~\%")


def _tex_character(character: str) -> str:
    """Return a character as every LaTeX engine can set it: ASCII and accented letters; others as their code point."""
    if character in _TEX_CHARACTERS:
        return _TEX_CHARACTERS[character]
    accented = unicodedata.normalize("NFD", character)[0].isascii() and ord(character) <= _LATIN_1_END
    known = character.isascii() or accented
    return character if known else f"[U+{ord(character):04X}]"


FORMATS: dict[str, Callable[[Board], str]] = {"csv": csv_text, "json": json_text, "md": markdown, "tex": tex}
"""File formats by name."""
