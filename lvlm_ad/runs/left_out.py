"""Which runs of a folder a page does not show, in words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.errors import listed

if TYPE_CHECKING:
    from lvlm_ad.runs.run import Run

__all__ = ["UNREADABLE", "UNVERIFIED", "UNWRITABLE", "left_out_notes"]

UNREADABLE = "incomplete or damaged"
UNVERIFIED = "not verified: recomputing gave other numbers, or was not possible"
UNWRITABLE = "damaged: no table can hold their values"

_NAMED = 20
"""Runs that are named; more are counted."""


def left_out_notes(folders: Iterable[Path], shown: Iterable[Run], why: str) -> list[str]:
    """Say which runs are left out, by the names of their folders without paths, which a published page must not show.

    Args:
        folders: those of all runs.
        shown: the runs that are not left out.
        why: such as "incomplete or damaged".

    Returns:
        One sentence, or none if no run is left out.

    Example:
        >>> left_out_notes([Path("/secret/a"), Path("/secret/b")], [], UNREADABLE)
        ['2 runs are left out (incomplete or damaged): a, b.']
    """
    names = sorted({folder.name for folder in folders} - {run.dir.name for run in shown})
    count = "1 run is" if len(names) == 1 else f"{len(names)} runs are"
    return [f"{count} left out ({why}): {listed(names, _NAMED)}."] if names else []
