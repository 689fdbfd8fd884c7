"""Writes a leaderboard as LaTeX tables."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, interval, legend, printable

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Board, Group
    from lvlm_ad.leaderboard.entries import Entry

__all__ = ["tex"]

_NAME_KEPT = 28
"""Characters of a name: the table is scaled to the page, and a long name would make the rest too small."""

_WORD_KEPT = 16
"""Characters of a word in notes after which a line may break: addresses and hashes are long."""

_MARKS = {"best": r"\textbf", "second": r"\underline"}


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
    notes = [
        f"{_tex(_shortened(entry.name))}: {_breakable('; '.join(entry.notes))}."
        for entry in group.entries
        if entry.notes
    ]
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
    # No line break between a number and its per cent sign.
    return "".join(_tex_character(character) for character in printable(text)).replace(r" \%", r"~\%")


def _tex_character(character: str) -> str:
    """Return a character as every LaTeX engine can set it; others as their code point."""
    if character in _TEX_CHARACTERS:
        return _TEX_CHARACTERS[character]
    parts = unicodedata.normalize("NFD", character)
    # Every engine knows the accented letters of Latin-1.
    known = character.isascii() or (parts[0].isascii() and ord(character) < _LATIN_1_ENDS)
    return character if known else f"[U+{ord(character):04X}]"
