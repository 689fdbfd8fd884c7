"""Words that the verdicts of several studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["incomplete", "joined"]


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
