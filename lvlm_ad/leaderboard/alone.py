"""Which runs can be written at all: one whose values no table can hold must not keep the others from being shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.board import make_board
from lvlm_ad.leaderboard.formats import FORMATS
from lvlm_ad.runs import each_alone

if TYPE_CHECKING:
    from lvlm_ad.runs import Run


def writable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Write each run alone, in every format.

    Returns:
        The runs of which that is possible, and a message for each of the others.

    Example:
        >>> writable([])
        ([], [])
    """

    def write(run: Run) -> Run:
        for form in FORMATS.values():
            form(make_board([run])).encode()
        return run

    return each_alone(runs, write)
