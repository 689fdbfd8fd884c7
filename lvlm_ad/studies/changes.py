"""Changes that a study's sentences choose from: their intervals hold together, so the largest is no find of chance.

A study compares many ways of asking, and its sentences name the largest change. Of 20 changes that are 0 in truth, one
has a plain 95 % interval without 0. So each interval is widened for the number of all changes that the sentences choose
from (Bonferroni): with 95 % all of them hold together. *Surely* in a sentence means that this interval excludes 0. A
change that is exactly the same for all images has no interval; it is sure with enough images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from lvlm_ad.metrics.stability.measured import ALIKE, SAME
from lvlm_ad.studies.wording import bracketed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.studies.record import Number

__all__ = ["Change", "changed_points", "in_points", "simultaneous"]

_LEVEL = 0.05

_ENOUGH_ALIKE = 10
"""Images whose equal changes are sure: chance gives 10 the same sign with 2 (1/2)^10 = 0.002, below 0.05 / 20."""


@dataclass(frozen=True)
class Change:
    """A change that a sentence may name.

    Attributes:
        words: what changes, such as "marks (wide)".
        number: by how much.
        images: from how many images.
    """

    words: str
    number: Number
    images: int

    @property
    def size(self) -> float:
        """How large the change is, without its sign."""
        return abs(self.number.value or 0.0)

    @property
    def equal(self) -> bool:
        """Whether it is the same for each of several images, and not 0: then it has no interval, and is exact."""
        return self.number.interval is None and self.number.reason == ALIKE and self.images > 1 and self.size > SAME

    @property
    def sure(self) -> bool:
        """Whether the interval excludes 0, or the change is the same for each of 10 images or more."""
        return self.least > 0

    @property
    def least(self) -> float:
        """How large the change is at least, by its interval or because it is the same for all images; else 0.0."""
        if self.equal and self.images >= _ENOUGH_ALIKE:
            return self.size
        low, high = self.number.interval or (0.0, 0.0)
        return max(low, -high, 0.0)

    @property
    def most(self) -> float:
        """How large the change may be, by its interval; infinite without one, unless it is the same for all images."""
        if self.number.interval is None:
            return self.size if self.sure else float("inf")
        return max(map(abs, self.number.interval))


def simultaneous(changes: Sequence[Change]) -> list[Change]:
    """Return changes with intervals that hold all together with 95 %.

    Student's t with one degree of freedom fewer than images.

    Args:
        changes: of fractions, with intervals of 95 % each. Those without an interval, or without a value, stay so.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> one = Change("marks", Number(value=0.04, interval=(0.02, 0.07)), 100)
        >>> [[round(end, 3) for end in found.number.interval] for found in simultaneous([one, one])]
        [[0.017, 0.074], [0.017, 0.074]]
    """
    tested = sum(one.number.interval is not None and one.images > 1 for one in changes)
    return [_widened(one, tested) for one in changes]


def _widened(change: Change, tested: int) -> Change:
    value, ends = change.number.value, change.number.interval
    if value is None or ends is None or change.images < 2:  # noqa: PLR2004 - one image has no spread
        return replace(change, number=change.number.model_copy(update={"interval": None}))
    freedom = change.images - 1
    factor = float(stdtrit(freedom, 1 - _LEVEL / (2 * tested)) / stdtrit(freedom, 1 - _LEVEL / 2))
    low, high = (min(max(value + factor * (end - value), -1.0), 1.0) for end in ends)
    return replace(change, number=change.number.model_copy(update={"interval": (low, high)}))


def changed_points(number: Number) -> str:
    """Write a change of a fraction in points with its interval, or say why it has none.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> changed_points(Number(value=0.021, interval=(0.003, 0.039))), changed_points(Number(value=-0.1))
        ('+2.1 points [+0.3, +3.9]', '-10.0 points (no interval: too few images)')
        >>> changed_points(Number(value=0.15, reason="all images alike"))
        '+15.0 points (all images alike)'
    """
    if number.interval is None and number.reason == ALIKE:
        ends = f" ({ALIKE})"
    elif number.interval is None:
        ends = f" (no interval: {number.reason or 'too few images'})"
    else:
        ends = bracketed(number.interval, sign="+")
    return f"{in_points(number)}{ends}"


def in_points(number: Number) -> str:
    """Write a change of a fraction in points, without an interval.

    Example:
        >>> from lvlm_ad.studies import Number
        >>> in_points(Number(value=0.021))
        '+2.1 points'
    """
    return f"{100 * (number.value or 0.0):+z.1f} points"
