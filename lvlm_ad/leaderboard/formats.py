"""Writes a leaderboard as Markdown, CSV, JSON and LaTeX; ``FORMATS`` names the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.leaderboard.board import make_board
from lvlm_ad.leaderboard.choice_columns import CHOICES
from lvlm_ad.leaderboard.columns import COLUMNS, MARKS, Column, cells, legend, shortened
from lvlm_ad.leaderboard.decision_columns import decision_notes
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.leaderboard.shown_columns import shown_columns
from lvlm_ad.runs import each_separately, is_metric

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Board, Group
    from lvlm_ad.leaderboard.entries import Entry
    from lvlm_ad.runs import Run

_MARKS = {"best": r"\textbf", "second": r"\underline"}


def markdown(board: Board, columns: Sequence[Column] = COLUMNS) -> str:
    """Return the leaderboard as Markdown, with a table for each group."""
    parts = []
    for group in board.groups:
        shown = shown_columns([group], columns)
        blank = [""] * (len(shown) - 2)
        lines = [
            f"### {escape.markdown(group.title)}",
            "",
            escape.markdown_row([column.head for column in shown]),
            escape.markdown_row(["---" if column.is_text else "---:" for column in shown]),
        ]
        for heading, entries in group.sections():
            if heading:
                lines.append(escape.markdown_row(["", f"*{heading}*", *blank]))
            lines += [escape.markdown_row(map(escape.markdown, cells(entry, board.sort, shown))) for entry in entries]
        notes = [f"- {escape.markdown(name)}: {escape.markdown(note)}" for _, name, note in group.notes()]
        notes += [f"- {escape.markdown(source)}" for source in group.sources]
        ranking = ["", escape.markdown(group.ranking)] if group.ranking else []
        parts.append("\n".join([*lines, *ranking, *(["", *notes] if notes else [])]))
    shown = shown_columns(board.groups, columns)
    notes = [*metric_notes(shown), *decision_notes([one for group in board.groups for one in group.entries], columns)]
    return "\n\n".join([*parts, escape.markdown(legend(board.groups, board.sort, shown, notes))]) + "\n"


def csv_text(
    board: Board,
    columns: Sequence[Column] = COLUMNS,
    *,
    before: Sequence[str] = (),
    facts: Callable[[Group, Entry], Sequence[Any]] = lambda _group, _entry: (),
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the leaderboard as CSV: one line per row, fractions in 0..1, empty cells where undefined.

    Args:
        board: the leaderboard.
        columns: its columns.
        before: the names of further columns, which come first.
        facts: returns their cells of a table's row.
        kinds: kind of a row -> what the column "kind" says, where that differs.
    """
    numbers = shown_columns(board.groups, columns)[2:]
    named = {*SHAPES, *CHOICES}
    with_ends = [one for one in numbers if is_metric(one.name) or one.name in named or one.bracketed]
    ends = [f"{column.name}_{end}" for column in with_ends for end in ("low", "high")]
    first = ["group", "rank", "rank_low", "rank_high", "kind", "model"]
    lines: list[list[Any]] = [[*before, *first, *(column.name for column in numbers), "notes", "run", *ends]]
    for group in board.groups:
        for entry in group.entries:
            values = [column.value(entry) for column in numbers]
            intervals = [end for column in with_ends for end in column.ends(entry) or (None, None)]
            about = ["; ".join(entry.notes), entry.run]
            rank = "-".join(map(str, dict.fromkeys(entry.rank or ())))
            about_rank = [group.title, rank, *(entry.rank or (None, None))]
            kind = kinds.get(entry.kind, entry.kind)
            lines.append([*facts(group, entry), *about_rank, kind, entry.name, *values, *about, *intervals])
    return escape.csv_lines(lines)


def json_text(board: Board, columns: Sequence[Column] = COLUMNS) -> str:  # noqa: ARG001 - JSON is always whole
    """Return the leaderboard as JSON, whatever the columns: fractions in 0..1, null where undefined."""
    return f"{escape.json_text({'sort': board.sort, **asdict(board)})}\n"


def tex(board: Board, columns: Sequence[Column] = COLUMNS) -> str:
    """Return the leaderboard as LaTeX tables; the best ranked value is bold, the second underlined.

    The tables need the packages booktabs and graphicx, and span both columns of a two-column page.
    """
    return "\n".join(_table(group, board.sort, shown_columns([group], columns)) for group in board.groups)


def _table(group: Group, sort: str, columns: Sequence[Column]) -> str:
    lines = [
        r"\begin{table*}",
        r"  \centering",
        # Most classes leave no space between a table and a caption above it.
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{escape.breakable_latex(group.title)}}}",
        r"  \setlength{\tabcolsep}{3pt}",
        r"  \resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{{''.join('l' if column.is_text else 'r' for column in columns)}}}",
        r"    \toprule",
        f"    {' & '.join(escape.latex(column.head) for column in columns)} \\\\",
    ]
    for heading, entries in group.sections():
        lines.append(r"    \midrule")
        if heading:
            lines.append(rf"    & \multicolumn{{{len(columns) - 1}}}{{l}}{{\emph{{{escape.latex(heading)}}}}} \\")
        lines += [f"    {' & '.join(_row(group, entry, sort, columns))} \\\\" for entry in entries]
    notes = [f"{escape.latex(shortened(name))}: {escape.breakable_latex(note)}." for _, name, note in group.notes()]
    notes += map(escape.breakable_latex, group.sources)
    marks = any(group.place(entry, column.name) for entry in group.entries for column in columns)
    below = [
        *filter(None, [group.ranking]),
        legend([group], sort, columns, [*metric_notes(columns), *decision_notes(group.entries, columns)]),
        *([MARKS] if marks else []),
    ]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"  \par\smallskip\footnotesize\raggedright {' '.join([*map(escape.latex, below), *notes])}",
        r"\end{table*}",
    ]
    return "\n".join([*lines, ""])


def _row(group: Group, entry: Entry, sort: str, columns: Sequence[Column]) -> list[str]:
    row = []
    for column in columns:
        text = escape.latex(shortened(entry.name) if column.name == "name" else column.text(entry))
        if place := group.place(entry, column.name):
            text = rf"{_MARKS[place]}{{{text}}}"
        if column.has_brackets(entry, sort):
            text += rf" {{\scriptsize {escape.latex(column.interval(entry))}}}"
        row.append(text)
    return row


FORMATS: dict[str, Callable[..., str]] = {"csv": csv_text, "json": json_text, "md": markdown, "tex": tex}
"""File formats by name."""


def writable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Write each run separately, in every format: a run with values that no table can hold must not hide the others.

    Returns:
        The runs that can be written, and a message for each of the others.

    Example:
        >>> writable([])
        ([], [])
    """

    def write(run: Run) -> Run:
        for form in FORMATS.values():
            form(make_board([run])).encode()
        return run

    return each_separately(runs, write)
