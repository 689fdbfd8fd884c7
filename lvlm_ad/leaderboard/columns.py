"""The columns of the leaderboard, for every format: terminal, Markdown, CSV, LaTeX and HTML.

To add a column, add a field to ``Entry``, fill it in ``make_entry`` (entries.py), and add a ``Column`` to ``COLUMNS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lvlm_ad.runs import METRIC_NAMES, is_metric

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Group
    from lvlm_ad.leaderboard.entries import Entry

UNKNOWN = "\N{EN DASH}"
"""In a cell: unknown or undefined."""


def percent(value: float | None) -> str:
    """Write a fraction as percent with one decimal; a dash if it is undefined."""
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def signed(difference: float | None) -> str:
    """Write a difference of fractions in percentage points with its sign; a dash if it is undefined."""
    if difference is None:
        return UNKNOWN
    text = f"{100 * difference:+.1f}"
    return text[1:] if float(text) == 0 else text


def _coverage(value: float | None) -> str:
    # Rounding must not claim that every image was answered.
    return UNKNOWN if value is None else "100 %" if value == 1 else f"{min(100 * value, 99.9):.1f} %"


def usd(value: float | None) -> str:
    """Write an amount in USD with two significant digits, and with cents from 1 USD on; a dash if it is unknown.

    Example:
        >>> usd(12.345), usd(0.01234)
        ('12.35', '0.012')
    """
    if value is None:
        return UNKNOWN
    return f"{value:z.2f}" if value >= 1 or value == 0 else format(Decimal(f"{value:.2g}"), "f")


def _rank(ends: tuple[int, int] | None) -> str:
    """Write a range of ranks, or the rank if there is only one; a dash without a rank."""
    return UNKNOWN if ends is None else "\N{EN DASH}".join(map(str, dict.fromkeys(ends)))


@dataclass(frozen=True)
class Column:
    """One column of the leaderboard.

    Attributes:
        name: a field of ``Entry`` or a key of ``Entry.metrics``; also the column's name in CSV.
        head: the heading of tables.
        terminal_head: the heading in the terminal: two lines, as narrow as possible.
        write: turns the value into a cell's text.
        drop: a terminal that is too narrow leaves out the column with drop 1 first, then 2 and so on; 0: never.
        paid: whether the column is left out in the terminal when no row costs anything.
        bracketed: whether the interval always follows the value; otherwise it does only in the column that ranks.
    """

    name: str
    head: str
    terminal_head: str
    write: Callable[[Any], str]
    drop: int = 0
    paid: bool = False
    bracketed: bool = False

    @property
    def is_text(self) -> bool:
        """Whether cells are text, which is aligned at the left."""
        return self.name in {"rank", "name"}

    def value(self, entry: Entry) -> Any:
        """Return what the column shows of a row; a number is a fraction or USD, None is unknown or undefined."""
        return entry.metrics[self.name] if self.name in METRIC_NAMES else getattr(entry, self.name)

    def ends(self, entry: Entry) -> tuple[float, float] | None:
        """Return the ends of the value's 95 % interval; None without one."""
        return entry.intervals.get(self.name)

    def interval(self, entry: Entry) -> str:
        """Return the interval as text; empty without one."""
        ends = self.ends(entry)
        return "" if ends is None else "\N{EN DASH}".join(_end(end, _digits(ends)) for end in ends)

    def text(self, entry: Entry) -> str:
        """Return the cell's text. Published rows have no coverage and no cost: those cells are empty."""
        value = self.value(entry)
        if self.name == "rank" and entry.kind in {"frame", "published"}:
            return "ref." if entry.kind == "frame" else "publ."
        if value is None and entry.kind == "published" and not is_metric(self.name):
            return ""
        return self.write(value)

    def has_brackets(self, entry: Entry, sort: str) -> bool:
        """Return whether an interval stands beside the row's value, in a table that ``sort`` ranks."""
        return (self.bracketed or self.name == sort) and self.ends(entry) is not None


class _DifferenceColumn(Column):
    """The difference to the best row, in percentage points with signs."""

    def ends(self, entry: Entry) -> tuple[float, float] | None:
        """Return the ends of the difference's interval."""
        return entry.difference_interval

    def interval(self, entry: Entry) -> str:
        """Return the interval in percentage points; the signs say whether it contains 0."""
        ends = entry.difference_interval
        return "" if ends is None else " to ".join(f"{100 * end:+.{_digits(ends)}f}" for end in ends)


COLUMNS = (
    Column("rank", "#", "#", _rank),
    Column("name", "Model", "Model", str),
    Column("image_auroc", "I-AUROC", "image\nAUROC", percent),
    Column("image_ap", "I-AP", "image\nAP", percent, drop=6),
    Column("image_f1_max", "I-F1", "image\nF1", percent, drop=4),
    Column("pixel_auroc", "P-AUROC", "pixel\nAUROC", percent, drop=8),
    Column("pixel_ap", "P-AP", "pixel\nAP", percent, drop=5),
    Column("pixel_f1_max", "P-F1", "pixel\nF1", percent, drop=3),
    Column("pixel_aupro", "PRO", "pixel\nPRO", percent, drop=7),
    _DifferenceColumn("difference", "To best", "to\nbest", signed, drop=2, bracketed=True),
    Column("coverage", "Answered", "ans.\n%", _coverage),
    Column("cost_usd", "USD", "cost\nUSD", usd, drop=9),
    Column("usd_per_image", "USD/image", "USD/\nimage", usd, drop=2, paid=True),
    Column("usd_per_point", "USD/point", "USD/\npoint", usd, drop=1, paid=True),
)
"""All columns, in their order."""

NUMBERS = COLUMNS[2:]
"""The columns after rank and name."""

_HEADS = {
    "difference": "To best: difference to the best row that can be ranked, with its 95 % interval, which holds for "
    "this pair alone.",
    "usd_per_image": "USD/image: cost per image asked about.",
    "usd_per_point": "USD/point: cost per percentage point of I-AUROC above 50 (chance); a dash if its interval "
    "includes 50.",
}
"""Column -> what its heading means."""

MARKS = "In each column, the best value of the ranked rows is bold and the second best is underlined."

REFERENCE_ROWS = (
    "Reference rows are there for comparison: chance guesses, contrast looks for unusual pixels without a "
    "model, and oracle scores each region by the ground truth. They are not ranked."
)

OWN_MAPS = (
    "A row marked (dense) is measured on the baseline's own anomaly map, pixel by pixel. It is not ranked, because "
    "ranked rows score whole regions."
)

INTERVALS = (
    "A 95 % interval shows how much a value would vary with other test images of the same categories. Where a measured "
    "value has none, the run's metrics file says why."
)

RANKS = (
    "A rank of 2\N{EN DASH}4 means that the row is second, third or fourth best; these images cannot show which. One "
    "row ranks below another only if the other is surely better: the 95 % interval of their difference on the same "
    "images, corrected for all pairs of the table, excludes 0."
)

_NARROW = 0.03
"""A narrower interval is written with a decimal."""

_NAME_KEPT = 28
"""Characters of a name in a sentence or in LaTeX, where a table is scaled to the page."""


def cells(entry: Entry, sort: str = "", columns: Sequence[Column] = COLUMNS) -> list[str]:
    """Return a row's texts in the order of the columns; an interval follows its value, in brackets."""
    return [
        column.text(entry) + (f" ({column.interval(entry)})" if column.has_brackets(entry, sort) else "")
        for column in columns
    ]


def _digits(ends: tuple[float, float]) -> int:
    """Return the decimals of an interval in percent: whole percent would hide the width of a narrow one."""
    return 0 if ends[1] - ends[0] >= _NARROW else 1


def _end(value: float, digits: int) -> str:
    # Only exactly 100 % is written "100".
    text = "100" if value == 1 else f"{100 * value:.{digits}f}"
    return text if float(text) < 100 or value == 1 else f"{min(100 * value, 99.9):.1f}"  # noqa: PLR2004 - percent


def shortened(name: str, kept: int = _NAME_KEPT) -> str:
    """Leave out the middle of a name longer than ``kept``; long names often differ at their end."""
    return name if len(name) <= kept else f"{name[: kept // 2]}...{name[-(kept // 2) :]}"


def ranks_in_words(entries: Sequence[Entry]) -> str:
    """Explain ranks; empty if there is none, or only those of rows that are ranked alone."""
    return RANKS if any(entry.rank not in {None, (1, 1)} for entry in entries) else ""


def heads_in_words(columns: Sequence[Column]) -> str:
    """Explain the headings of the columns that are shown."""
    metrics = "In percent. I: image, P: pixel, F1: F1-max, PRO: AUPRO up to a false-positive rate of 0.3, or as stated."
    return " ".join([metrics, *(_HEADS[column.name] for column in columns if column.name in _HEADS)])


def legend(groups: Sequence[Group], sort: str, columns: Sequence[Column], notes: Sequence[str]) -> str:
    """Explain columns, intervals, ranks and kinds of rows as far as the tables have them; ``notes`` come last."""
    entries = [entry for group in groups for entry in group.entries]
    parts = [heads_in_words(columns)]
    if any(sort in entry.intervals for entry in entries):
        parts.append(INTERVALS)
    parts += filter(None, [ranks_in_words(entries)])
    if any(entry.kind == "frame" for entry in entries):
        parts.append(REFERENCE_ROWS)
    if any("(dense" in entry.name for entry in entries):
        parts.append(OWN_MAPS)
    parts += notes
    return " ".join(parts)
