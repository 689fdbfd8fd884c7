"""Writes the tables of one model's methods as Markdown, CSV, JSON and LaTeX; ``MODEL_FORMATS`` names the functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.compare import SIGNIFICANT
from lvlm_ad.leaderboard.by_model import USES
from lvlm_ad.leaderboard.category_formats import tex_frame
from lvlm_ad.leaderboard.columns import UNKNOWN, Column, heads_in_words, shortened, signed
from lvlm_ad.leaderboard.metric_columns import MetricColumn, metric_notes

if TYPE_CHECKING:
    from lvlm_ad.compare import Difference
    from lvlm_ad.leaderboard.by_model import MethodRow, ModelTable, Use

__all__ = ["MODEL_FORMATS", "Cell", "explanations", "heads_of", "notes_of", "row_cells", "shown_metrics"]

_CSV_HEADS = "table method reference name value reference_value difference low high p p_holm run"


@dataclass(frozen=True)
class Cell:
    """One value of a method.

    Attributes:
        text: the value.
        difference: its difference to the reference; empty if there is none.
        interval: the difference's 95 % interval; empty if there is none.
        sure: whether the difference is significant, adjusted for all methods of the table.
        better: whether the difference is an improvement; None where it is neither better nor worse.
        value: the number that ``text`` shows.
    """

    text: str
    difference: str = ""
    interval: str = ""
    sure: bool = False
    better: bool | None = None
    value: float | None = None

    @property
    def whole(self) -> str:
        """Everything in one line, such as "91.0 (+2.9*, +0.1 to +5.7)"."""
        return f"{self.text} ({self.under})" if self.difference else self.text

    @property
    def under(self) -> str:
        """Difference and interval, such as "+2.9*, +0.1 to +5.7"."""
        return ", ".join(filter(None, [f"{self.difference}{'*' * self.sure}", self.interval]))


def shown_metrics(table: ModelTable, columns: Sequence[Column]) -> list[Column]:
    """Return the metrics that some row of a table has."""
    return [column for column in columns if any(column.value(row.entry) is not None for row in table.rows)]


def heads_of(table: ModelTable, columns: Sequence[Column]) -> list[str]:
    """Return the headings of a table's columns, from the method's name on."""
    return ["Method", *(column.head for column in shown_metrics(table, columns)), *(use.head for use in USES)]


def row_cells(table: ModelTable, row: MethodRow, columns: Sequence[Column]) -> list[Cell]:
    """Return a row's cells: its metrics and uses."""
    return [*(_metric(row, one) for one in shown_metrics(table, columns)), *(_amount(row, use) for use in USES)]


def _metric(row: MethodRow, column: Column) -> Cell:
    value, of = column.value(row.entry), row.difference(column.name)
    if of is None or of.difference is None:
        return Cell(column.text(row.entry), value=value)
    interval = "" if of.interval is None else " to ".join(map(signed, of.interval))
    sure = of.p_adjusted is not None and of.p_adjusted < SIGNIFICANT
    text = signed(of.difference)
    lower_is_better = isinstance(column, MetricColumn) and column.lower_is_better
    better = None if text[0] not in "+-" else (text[0] == "-") is lower_is_better
    return Cell(column.text(row.entry), text, interval, sure, better, value)


def _amount(row: MethodRow, use: Use) -> Cell:
    of = row.uses[use.name]
    text = UNKNOWN if of.first is None else use.write(of.first)
    if of.difference is None:
        return Cell(text, value=of.first)
    low, high = of.interval or (of.difference, of.difference)
    interval = "" if low == high else " to ".join(_signed(use, end) for end in (low, high))
    return Cell(text, _signed(use, of.difference), interval, value=of.first)


def _signed(use: Use, amount: float) -> str:
    text = use.write(abs(amount))
    return f"{'-' if amount < 0 else '+'}{text}" if amount else text


def explanations(tables: Sequence[ModelTable], columns: Sequence[Column], place: str = "After") -> list[str]:
    """Explain headings and differences, for what stands below the tables; ``place`` is where a difference stands."""
    shown = [column for column in columns if any(column in shown_metrics(table, columns) for table in tables)]
    return [
        heads_in_words(shown),
        *metric_notes(shown),
        "Questions, tokens, USD and seconds are means per image.",
        f"{place} a value: its difference to the first row, with its 95 % interval, over the same images.",
        f"*: p below {SIGNIFICANT}, adjusted by Holm's method for all methods of the table.",
    ]


def notes_of(table: ModelTable) -> list[str]:
    """Return a table's notes, a sentence each; rows first."""
    return [f"{row.name}: {'; '.join(row.notes)}" for row in table.rows if row.notes] + list(table.notes)


def markdown(tables: Sequence[ModelTable], columns: Sequence[Column]) -> str:
    """Return tables as Markdown."""
    parts = []
    for table in tables:
        heads = heads_of(table, columns)
        lines = [
            f"### {escape.markdown(table.title)}",
            "",
            escape.markdown_row(heads),
            escape.markdown_row(["---", *["---:"] * (len(heads) - 1)]),
        ]
        for row in table.rows:
            cells = [cell.whole for cell in row_cells(table, row, columns)]
            lines.append(escape.markdown_row(map(escape.markdown, [row.name, *cells])))
        notes = [f"- {escape.markdown(note)}" for note in notes_of(table)]
        parts.append("\n".join([*lines, *(["", *notes] if notes else [])]))
    return "\n\n".join([*parts, escape.markdown(" ".join(explanations(tables, columns)))]) + "\n"


def csv_text(tables: Sequence[ModelTable], columns: Sequence[Column]) -> str:
    """Return tables as CSV: a line for each method and value, fractions in 0..1, empty where undefined."""
    lines: list[list[Any]] = [_CSV_HEADS.split()]
    for table in tables:
        reference = table.rows[0].entry
        for row in table.rows:
            values: list[tuple[str, float | None, float | None, Difference | None]] = [
                (one.name, one.value(row.entry), one.value(reference), row.difference(one.name)) for one in columns
            ]
            values += [(name, of.first, of.second, of) for name, of in row.uses.items()]
            for name, value, other, of in values:
                ends = (of and of.interval) or (None, None)
                numbers = [of and of.difference, *ends, of and of.p_value, of and of.p_adjusted]
                about = [table.title, row.name, table.reference, name]
                lines.append([*about, value, other, *numbers, row.entry.run])
    return escape.csv_lines(lines)


def json_text(tables: Sequence[ModelTable], columns: Sequence[Column]) -> str:  # noqa: ARG001 - JSON is always whole
    """Return tables as JSON, whatever the columns: fractions in 0..1, null where undefined; without the images."""
    found = [asdict(table) for table in tables]
    for row in (row for table in found for row in table["rows"]):
        if row["comparison"] is not None:
            del row["comparison"]["images"]
    return f"{escape.json_text({'tables': found})}\n"


def tex(tables: Sequence[ModelTable], columns: Sequence[Column]) -> str:
    """Return LaTeX tables, which need the packages booktabs and graphicx."""
    return "\n".join(_tex_table(table, columns) for table in tables)


def _tex_table(table: ModelTable, columns: Sequence[Column]) -> str:
    heads = heads_of(table, columns)
    rows = [_tex_row(table, row, columns) for row in table.rows]
    notes = [*explanations([table], columns), *(f"{note}." for note in notes_of(table))]
    head = [f"{' & '.join(map(escape.latex, heads))} \\\\"]
    return tex_frame(escape.breakable_latex(table.title), len(heads) - 1, head, rows, notes, mean_last=False)


def _tex_row(table: ModelTable, row: MethodRow, columns: Sequence[Column]) -> str:
    cells = [escape.latex_start(shortened(row.name, 48))]
    for cell in row_cells(table, row, columns):
        text = escape.latex(cell.text)
        if cell.difference:
            # A hyphen is too short for a minus.
            text += rf" {{\scriptsize {escape.latex(cell.under).replace('-', '$-$')}}}"
        cells.append(text)
    return " & ".join(cells)


MODEL_FORMATS: dict[str, Callable[[Sequence[ModelTable], Sequence[Column]], str]] = {
    "csv": csv_text,
    "json": json_text,
    "md": markdown,
    "tex": tex,
}
"""File formats by name."""
