"""Writes a leaderboard as LaTeX tables."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.cells import HEADERS, cells, interval, legend, plain
from lvlm_ad.leaderboard.sections import sections
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.leaderboard.board import Board, Entry, Group

__all__ = ["tex"]

_NAME_KEPT = 28
"""Characters of a name: the table is scaled to the page's width, and a long name would leave the rest too small."""

_WORD_KEPT = 16
"""Characters of a word in notes after which a line may end: addresses and hashes are long."""

_MARKS = (r"\textbf", r"\underline")
"""Of the best ranked value and of the second."""


def tex(board: Board) -> str:
    """Return the leaderboard as LaTeX tables; best ranked values bold, second underlined.

    They take the packages booktabs and graphicx, and span both columns of a page that has two.
    """
    return "\n".join(_table(group, board.sort) for group in board.groups)


def _table(group: Group, sort: str) -> str:
    best = _best(group)
    lines = [
        r"\begin{table*}",
        # Classes put the room between caption and table below captions only where those stand below.
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{_broken(group.title)}}}",
        # Thirteen columns are wider than a page's text; what is between them need not be.
        r"  \setlength{\tabcolsep}{3pt}",
        r"  \resizebox{\textwidth}{!}{%",
        rf"  \begin{{tabular}}{{ll{'r' * (len(HEADERS) - 2)}}}",
        r"    \toprule",
        f"    {' & '.join(_tex(head) for head in HEADERS)} \\\\",
    ]
    for section in sections(group):
        lines.append(r"    \midrule")
        if section.heading:
            lines.append(rf"    & \multicolumn{{{len(HEADERS) - 1}}}{{l}}{{\emph{{{_tex(section.heading)}}}}} \\")
        lines += [f"    {' & '.join(_row(entry, best, sort))} \\\\" for entry in section.entries]
    notes = [f"{_tex(_cut(entry.name))}: {_broken('; '.join(entry.notes))}." for entry in group.entries if entry.notes]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"  \par\smallskip\footnotesize\raggedright {' '.join([_tex(legend([group], sort)), *notes])}",
    ]
    return "\n".join([*lines, r"\end{table*}", ""])


def _best(group: Group) -> dict[str, list[float]]:
    """Return each metric's best and second value among ranked rows; none where there is one row."""
    ranked = [entry for entry in group.entries if entry.kind == "ranked"]
    best = {}
    for name in METRIC_NAMES:
        values = {value for entry in ranked if (value := entry.metrics[name]) is not None}
        best[name] = sorted(values, reverse=True)[:2] if len(ranked) > 1 else []
    return best


def _row(entry: Entry, best: Mapping[str, Sequence[float]], sort: str) -> list[str]:
    row = [_tex(cell) for cell in cells(entry)]
    row[1] = _tex(_cut(entry.name))
    for at, name in enumerate(METRIC_NAMES, start=2):
        value = entry.metrics[name]
        if entry.kind == "ranked" and value in best[name]:
            row[at] = f"{_MARKS[best[name].index(value)]}{{{row[at]}}}"
        if name == sort and name in entry.intervals:
            row[at] += rf" {{\scriptsize {_tex(interval(entry, name))}}}"
    return row


def _cut(name: str) -> str:
    """Leave out the middle of a long name; what tells names apart is often at their end."""
    half = _NAME_KEPT // 2
    return name if len(name) <= _NAME_KEPT else f"{name[:half]}...{name[-half:]}"


def _broken(text: str) -> str:
    """Write text whose long words may be broken."""
    words = re.split(r"(\s+)", plain(text))
    parts = [[word[at : at + _WORD_KEPT] for at in range(0, len(word), _WORD_KEPT)] for word in words]
    return "".join(r"\allowbreak{}".join(_tex(part) for part in word) for word in parts)


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
    # No line ends between a number and its per cent sign.
    return "".join(_tex_character(character) for character in plain(text)).replace(r" \%", r"~\%")


def _tex_character(character: str) -> str:
    """Return a character as every LaTeX sets it; what not every one can set, as its code point."""
    if character in _TEX_CHARACTERS:
        return _TEX_CHARACTERS[character]
    parts = unicodedata.normalize("NFD", character)
    # Letters with a mark are known to LaTeX as they are, those of Latin-1 to every one.
    known = character.isascii() or (parts[0].isascii() and ord(character) < _LATIN_1_ENDS)
    return character if known else f"[U+{ord(character):04X}]"
