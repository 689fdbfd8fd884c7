"""Writes tables by category as LaTeX, CSV and Markdown; ``CATEGORY_FORMATS`` names the functions."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.leaderboard.columns import shortened

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.category_table import CategoryTable, Cell

_PAGE = 105
"""Characters in a line of a page; a wider table is split by models."""
_NAME_LINE = 14
"""Characters in a line of a model's name above its column."""
_LONGEST_NAME = 4 * _NAME_LINE
_BETWEEN = 2
"""Characters that the space between two columns takes."""

_TEX_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
_MD_MARKS = {"best": "**%s**", "second": "<ins>%s</ins>", "": "%s"}


def markdown(tables: Sequence[CategoryTable]) -> str:
    """Return tables as Markdown."""
    parts = []
    for table in tables:
        lines = [
            f"### {escape.markdown(table.title)}",
            "",
            escape.markdown_row(["", *map(escape.markdown, table.heads)]),
            escape.markdown_row(["---", *["---:"] * len(table.heads)]),
            *(
                escape.markdown_row(
                    [escape.markdown(name), *("/".join(_MD_MARKS[one.mark] % one.text for one in of) for of in cells)]
                )
                for name, cells in table.rows
            ),
            "",
            escape.markdown(" ".join([f"{table.unit}.", *table.notes()])),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def csv_text(tables: Sequence[CategoryTable]) -> str:
    """Return tables as one CSV: a line for each category, a column for each model and metric, fractions in 0..1.

    Models of several tables have columns of their own, which are empty in the lines of the other tables.
    """
    heads = list(dict.fromkeys(head for table in tables for head in _csv_heads(table)))
    lines: list[list[Any]] = [["group", "category", *heads]]
    for table in tables:
        for name, cells in table.rows:
            values = dict(zip(_csv_heads(table), (cell.value for of in cells for cell in of), strict=True))
            lines.append([table.title, name, *(values.get(head) for head in heads)])
    return escape.csv_lines(lines)


def _csv_heads(table: CategoryTable) -> list[str]:
    """Name the columns; copies of a run have the same name and are told apart by their folders."""
    counts = Counter(model.name for model in table.models)
    names = [model.name if counts[model.name] == 1 else f"{model.name} {model.run}" for model in table.models]
    return [f"{name} {column.name}" for name in names for column in table.metrics]


def tex(tables: Sequence[CategoryTable]) -> str:
    """Return tables as LaTeX, which needs the packages booktabs and graphicx; a wide table is split by models."""
    return "\n".join(_tex_table(part, number) for table in tables for number, part in _parts(table))


def _parts(table: CategoryTable) -> Iterator[tuple[str, CategoryTable]]:
    """Split a table into parts that fit on a page, equally many models in each; marks stay those of the whole."""
    widest = max((len("/".join(cell.text for cell in of)) for _, cells in table.rows for of in cells), default=0)
    column = max(widest, _NAME_LINE) + _BETWEEN
    names = max(len(shortened(name)) for name, _ in table.rows)
    count = max(1, math.ceil(len(table.models) / max(1, (_PAGE - names) // column)))
    size = math.ceil(len(table.models) / count)
    for start in range(0, max(1, len(table.models)), max(1, size)):
        chosen = slice(start, start + size)
        rows = tuple((name, cells[chosen]) for name, cells in table.rows)
        number = f"Part {start // size + 1} of {count}. " if count > 1 else ""
        yield number, replace(table, models=table.models[chosen], rows=rows)


def _tex_table(table: CategoryTable, number: str) -> str:
    rows = [
        f"{escape.latex_start(shortened(name))} & {' & '.join(map(_tex_cell, cells))}" for name, cells in table.rows
    ]
    caption = escape.breakable_latex(f"{number}{table.unit}. {table.title}")
    head = [f"& {' & '.join(map(_tex_head, table.heads))} \\\\"]
    return tex_frame(caption, len(table.models), head, rows, table.notes())


def tex_frame(
    caption: str,
    columns: int,
    head: Sequence[str],
    rows: Sequence[str],
    notes: Sequence[str],
    *,
    mean_last: bool = True,
) -> str:
    """Write a table as LaTeX.

    All but the notes is LaTeX already. ``columns`` is how many columns follow the names of the rows; ``mean_last``
    separates the last row, the mean, from the others by a rule.
    """
    body = [rf"    {row} \\" for row in rows]
    if mean_last and len(body) > 1:
        body.insert(-1, r"    \midrule")
    lines = [
        r"\begin{table*}",
        r"  \centering\footnotesize",
        # Most classes leave no space between a table and a caption above it.
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{caption}.}}",
        r"  \setlength{\tabcolsep}{4pt}",
        # Only a table that is wider than the page is made smaller.
        r"  \resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{l{'r' * columns}}}",
        r"    \toprule",
        *(f"    {line}" for line in head),
        r"    \midrule",
        *body,
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"  \par\smallskip\raggedright {' '.join(map(escape.breakable_latex, notes))}",
        r"\end{table*}",
    ]
    return "\n".join([*lines, ""])


def _tex_head(name: str) -> str:
    """Write a model's name in short lines, so that it is no wider than its column."""
    lines = textwrap.wrap(shortened(name, _LONGEST_NAME), _NAME_LINE) or [""]
    return r"\shortstack[r]{" + r" \\".join(map(escape.latex_start, lines)) + "}"


def _tex_cell(cells: Sequence[Cell]) -> str:
    return "/".join(_TEX_MARKS[one.mark] % escape.latex(one.text) for one in cells)


CATEGORY_FORMATS: dict[str, Callable[[Sequence[CategoryTable]], str]] = {"csv": csv_text, "md": markdown, "tex": tex}
"""File formats by name."""
