"""Tables of a study's figures, as its page and its LaTeX file show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard import signed, usd
from lvlm_ad.leaderboard.columns import UNKNOWN
from lvlm_ad.runs import metric_title

if TYPE_CHECKING:
    from lvlm_ad.studies.record import Number

__all__ = [
    "Cell",
    "StudyTable",
    "amount",
    "count",
    "decimal",
    "metric_heading",
    "percent",
    "points",
    "seconds",
    "text_cell",
    "variance",
]


_MANY_ROWS = 30


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it shows.
        ends: the 95 % interval, such as "1.2 to 3.4"; empty without one, or if both ends are written alike.
        value: the number that ``text`` shows, as in ``study.json``; None where there is none.
        reason: why there is no value or no interval.
    """

    text: str
    ends: str = ""
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class StudyTable:
    """A table of figures.

    Attributes:
        title: its heading.
        note: what its numbers mean, in plain sentences.
        heads: headings of all columns, that of the rows' names first.
        rows: of each row its name and its cells.
        numbers: of each row the number that plots have for it; empty if they have none.
    """

    title: str
    note: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    numbers: tuple[int, ...] = ()

    @property
    def long(self) -> bool:
        """Whether it has so many rows that the page shows them only when asked."""
        return len(self.rows) > _MANY_ROWS

    @property
    def reasons(self) -> str:
        """Why values or intervals are missing, in one sentence; empty if none is."""
        reasons = dict.fromkeys(cell.reason for _, cells in self.rows for cell in cells if cell.reason)
        return f"Without a value or an interval: {'; '.join(reasons)}." if reasons else ""


def metric_heading(metric: str) -> str:
    """Return what a study calls a metric.

    Example:
        >>> metric_heading("pixel_ap"), metric_heading("pixel_aupro")
        ('Pixel AP', 'AUPRO')
    """
    name = metric_title(metric)
    return f"AU{name}" if name.startswith("PRO") else name


def percent(number: Number) -> Cell:
    """Show a fraction in percent.

    Args:
        number: in 0..1.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> cell = percent(Number(value=0.5, interval=(0.25, 0.75)))
        >>> cell.text, cell.ends
        ('50.0', '25.0 to 75.0')
    """
    return _cell(number, lambda value: f"{100 * value:z.1f}")


def points(number: Number | float | None) -> Cell:
    """Show a difference of fractions in percentage points, with its sign.

    Args:
        number: in -1..1; None: unknown.

    Example:
        >>> points(0.02).text
        '+2.0'
    """
    return _cell(number, signed)


def decimal(number: Number | float | None, digits: int = 3) -> Cell:
    """Show a number.

    Args:
        number: any number; None: unknown.
        digits: how many after the decimal point.

    Example:
        >>> decimal(0.25).text
        '0.250'
    """
    return _cell(number, lambda value: f"{value:z.{digits}f}")


def variance(number: Number) -> Cell:
    """Show an estimate of a variance; one below 0 as 0.

    Args:
        number: the estimate.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> variance(Number(value=-0.01)).text
        '0.00000'
    """
    return replace(decimal(number.shown, 5), value=number.value)


def amount(number: Number | float | None) -> Cell:
    """Show an amount in USD."""
    return _cell(number, usd)


def seconds(number: Number | float | None) -> Cell:
    """Show seconds.

    Example:
        >>> seconds(1.5).text
        '1.50'
    """
    return decimal(number, 2)


def count(number: int) -> Cell:
    """Show a count.

    Example:
        >>> count(3).text
        '3'
    """
    return Cell(str(number), value=float(number))


def text_cell(text: str) -> Cell:
    """Show a text, which has no number.

    Example:
        >>> text_cell("off").value is None
        True
    """
    return Cell(text)


def _cell(number: Number | float | None, write: Callable[[float], str]) -> Cell:
    """Write a number with its interval, or a plain one, which has none."""
    if number is None or isinstance(number, float):
        return Cell(UNKNOWN) if number is None else Cell(write(number), value=number)
    if number.value is None:
        return Cell(UNKNOWN, reason=number.reason)
    low, high = map(write, number.interval or (0.0, 0.0))
    # Where all resamples agree, an interval says nothing more than its value.
    ends = "" if low == high else f"{low} to {high}"
    return Cell(write(number.value), ends, number.value, number.reason)
