"""What Text2Segmentation reads from an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["UNANSWERED", "Scores", "Status"]

Status = Literal["ok", "partial", "refused", "unparsable", "truncated", "failed", "unasked"]

UNANSWERED: tuple[Status, ...] = ("failed", "unasked")
"""No answer is there; the same command asks again."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores in one answer.

    Attributes:
        image: image anomaly score in [0, 1], higher is more anomalous; None where the answer holds none.
        regions: region number (from 1) -> score in [0, 1]; regions not named are absent.
        status: "ok"; "partial" (usable, something in it was wrong or missing, see notes); "refused"; "unparsable";
            "truncated" (cut off; what was readable is kept); "failed" (no answer came);
            "unasked" (the question was not asked, for want of money or since it waits in a batch).
        notes: what was wrong, one short sentence each.
        expected: how many of these scores are expected values; the others are as written.
    """

    image: float | None
    regions: Mapping[int, float] = field(default_factory=dict)
    status: Status = "ok"
    notes: tuple[str, ...] = ()
    expected: int = 0

    @property
    def usable(self) -> bool:
        """Whether the image has scores to be measured by."""
        return self.image is not None
