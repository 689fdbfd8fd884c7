"""What became of the questions whose answers are not simply usable, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["outcomes"]

_STATUSES = ("refused", "unparsable", "truncated", *UNANSWERED)


def outcomes(answers: Mapping[str, int]) -> str:
    """Say how many images have no usable answer, and how answers ended; empty if all ended well.

    An answer that was cut off may hold a score all the same; it is counted by how it ended and is usable.

    Args:
        answers: of a run's metrics.
    """
    counts = ", ".join(f"{answers[name]} {name}" for name in _STATUSES if answers.get(name))
    missing = answers["total"] - answers["usable"]
    scored = sum(answers.get(name, 0) for name in _STATUSES) - missing
    if not counts:
        return ""
    if not missing:
        return f"{counts}, with a score all the same"
    rest = f"; {scored} of these with a score all the same" if scored > 0 else ""
    return f"{missing} of {answers['total']} images have no usable answer ({counts}{rest})"
