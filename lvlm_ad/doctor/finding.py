"""One thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Finding", "State"]

State = Literal["ok", "absent", "warning", "problem"]
"""``absent``: not here, and nobody may miss it. ``warning``: it will be missed, or slows things. ``problem``: something
does not work."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        about: the part it belongs to: "installed", "devices", "keys", "data sets" or "folder".
        name: what was looked at.
        state: how it is.
        text: what there is to know, one line.
        remedy: what mends it, in words; empty: nothing does, or nothing need.
        repair: mends it and says what was done; None: the user must.
    """

    about: str
    name: str
    state: State
    text: str
    remedy: str = ""
    repair: Callable[[], str] | None = field(default=None, compare=False, repr=False)
