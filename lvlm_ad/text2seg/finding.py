"""What an answer, or a conversation, says about an image: an image score, and places with scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lvlm_ad.regions.shapes import Region

if TYPE_CHECKING:
    from lvlm_ad.regions.shapes import Shape
    from lvlm_ad.text2seg.scores import Scores, Status

__all__ = ["Chosen", "Finding", "Source"]

Source = Literal["", "probability", "text"]
"""Where a yes or no comes from: the probabilities of its token, or its text."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The option of a multiple-choice question that an answer chose.

    Attributes:
        option: its index; None if the answer commits to none.
        status: as ``Scores.status``.
    """

    option: int | None
    status: Status = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a method found in one image.

    Attributes:
        image: image anomaly score in [0, 1], higher is more anomalous; None if there is none.
        shapes: the places that have a score; everywhere else the map is 0.
        status: as ``Scores.status``.
        notes: what was wrong, one short sentence each.
        flags: what was wrong with places, by name, sorted; see ``lvlm_ad.text2seg.places``.
        source: where a yes or no comes from; empty for other findings.
        mass: probability of yes and no together, if the image score comes from it; else None.
        spread: standard deviation of the image scores of several answers; None if there are fewer than two.
        expected: how many of the scores are expected values over token probabilities.
        choices: for each of the view's questions the option that was chosen; empty if they were not asked.

    Example:
        >>> Finding(0.9, (Region(3, 0.7),)).usable
        True
    """

    image: float | None
    shapes: tuple[Shape, ...] = ()
    status: Status = "ok"
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    source: Source = ""
    mass: float | None = None
    spread: float | None = None
    expected: int = 0
    choices: tuple[Chosen, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is an image score, so that the image can be measured."""
        return self.image is not None

    @classmethod
    def of(cls, scores: Scores) -> Finding:
        """Make a finding of the scores of regions."""
        shapes = tuple(Region(number, score) for number, score in scores.regions.items())
        return cls(scores.image, shapes, scores.status, scores.notes, expected=scores.expected)
