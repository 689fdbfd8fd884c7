"""Two studies side by side in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.cli import shell
from lvlm_ad.cli.study_tables import NONE, table
from lvlm_ad.escape import escaped
from lvlm_ad.leaderboard import usd

if TYPE_CHECKING:
    from lvlm_ad.studies import StudyComparison, StudyDifference

_DIGITS = {"percent": 1, "score": 3, "seconds": 2}


def show_comparison(found: StudyComparison) -> None:
    """Print the verdict, a row for each difference, and notes."""
    console = shell.table_console(shell.BOARD_WIDTH)
    console.print(escaped(found.verdict))
    console.print()
    rows = table("figure", *map(escaped, found.names), "difference", "95 % interval", "images")
    for one in found.differences:
        rows.add_row(*map(escaped, _row(one)))
    console.print(rows)
    for note in found.notes:
        console.print(escaped(note))


def _row(one: StudyDifference) -> tuple[str, ...]:
    ends = one.difference.interval
    interval = one.difference.reason or NONE
    if ends is not None:
        low, high = (_text(one, end, "+") for end in ends)
        interval = NONE if low == high and one.unit != "usd" else f"{low} to {high}"
    difference = f"{_text(one, one.difference.value, '+')}{'*' * one.sure}{'~' * (not one.paired)}"
    name = ", ".join(filter(None, [one.name, one.part, "%" if one.unit == "percent" else ""]))
    return name, _text(one, one.first), _text(one, one.second), difference, interval, str(one.images)


def _text(one: StudyDifference, value: float | None, sign: str = "") -> str:
    if value is None:
        return NONE
    if one.unit == "usd":
        # One digit more than the larger amount has: what is smaller makes no difference to anybody.
        digits = len(usd(max(one.first or 0.0, one.second or 0.0)).partition(".")[2]) + 1
        return f"{value:+.{digits}f}" if sign else usd(value)
    sign = sign if value else ""
    return f"{(100 if one.unit == 'percent' else 1) * value:{sign}z.{_DIGITS[one.unit]}f}"
