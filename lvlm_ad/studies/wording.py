"""Words that the verdicts of several studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.metrics.intervals import Interval

__all__ = ["bracketed", "incomplete", "joined"]


def bracketed(interval: Interval | None, digits: int = 1, sign: str = "", factor: float = 100.0) -> str:
    """Write an interval as it follows its value, with a space before it; empty without one.

    Args:
        interval: both ends.
        digits: how many after the decimal point.
        sign: "+" for ends that always have a sign.
        factor: what the ends are multiplied by: 100 for fractions in percent or points.

    Example:
        >>> bracketed((0.003, 0.039), sign="+"), bracketed((0.25, 0.75), 0), bracketed(None)
        (' [+0.3, +3.9]', ' [25, 75]', '')
    """
    return "" if interval is None else f" [{', '.join(f'{factor * end:{sign}z.{digits}f}' for end in interval)}]"


def joined(names: Sequence[str]) -> str:
    """Name all of some things, one or more.

    Example:
        >>> joined(["blur"]), joined(["blur", "dark", "noise"])
        ('blur', 'blur, dark and noise')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def incomplete(sentence: str, missing: Sequence[str]) -> str:
    """Say before a verdict what was not, or not wholly, asked, or failed.

    Example:
        >>> incomplete("Nothing is known.", ["marks"]), incomplete("Nothing is known.", [])
        ('Incomplete, answers are missing for marks: nothing is known.', 'Nothing is known.')
    """
    if not missing:
        return sentence
    return f"Incomplete, answers are missing for {joined(missing)}: {sentence[0].lower()}{sentence[1:]}"
