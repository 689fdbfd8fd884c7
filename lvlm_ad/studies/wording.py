"""Words that the verdicts of several studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["together"]


def together(names: Sequence[str]) -> str:
    """Name all of some things, one or more.

    Example:
        >>> together(["blur"]), together(["blur", "dark", "noise"])
        ('blur', 'blur, dark and noise')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
