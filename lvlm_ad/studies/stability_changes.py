"""What other ways of asking change in a stability study: image AUROC, and the mean score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.studies.changes import Change, changed_points, simultaneous
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.studies.stability_record import LevelFigures, StabilityFigures

__all__ = ["OtherWays"]


@dataclass(frozen=True)
class OtherWays:
    """The changes at all levels of all factors, with intervals that hold together.

    Attributes:
        aurocs: of image AUROC.
        shifts: of the mean score, of levels that two images or more answered.
        lost: the level at which most images were answered by it alone, or by the base alone, in words; empty if none.
        flips: how often each level decides otherwise than the base; their intervals hold together, apart from the rest.
    """

    aurocs: tuple[Change, ...] = ()
    shifts: tuple[Change, ...] = ()
    lost: str = ""
    flips: tuple[Change, ...] = ()

    @classmethod
    def of(cls, figures: StabilityFigures) -> OtherWays:
        """Collect the changes of a study."""
        levels = [(f"{one.factor} ({level.level})", level) for one in figures.factors for level in one.levels]
        aurocs = [Change(words, _auroc(level), level.images) for words, level in levels]
        # What one image alone answered says nothing of others.
        shifts = [Change(words, level.shift, level.images) for words, level in levels if level.images > 1]
        found = simultaneous([one for one in (*aurocs, *shifts) if one.number.value is not None])
        count = sum(one.number.value is not None for one in aurocs)
        flips = [Change(words, level.flip_rate, level.images) for words, level in levels]
        flips = simultaneous([one for one in flips if one.number.value is not None])
        return cls(tuple(found[:count]), tuple(found[count:]), _lost(levels), tuple(flips))

    @property
    def sure(self) -> Change | None:
        """The largest change of image AUROC whose interval excludes 0; None: there is none."""
        return max((one for one in self.aurocs if one.sure), key=lambda one: one.size, default=None)

    @property
    def least(self) -> float:
        """How large a change of image AUROC there is at least, by the intervals; 0.0 if none is sure."""
        return max((one.least for one in self.aurocs), default=0.0)

    @property
    def farthest(self) -> Change | None:
        """The change of image AUROC that may be the largest, by the intervals; None without any."""
        return max(self.aurocs, key=lambda one: (one.most, one.size), default=None)

    @property
    def nothing_changed(self) -> bool:
        """Whether image AUROC was the same at every level, and the same images were answered."""
        return not self.lost and not any(one.size for one in self.aurocs)

    @property
    def words(self) -> str:
        """What can be said of image AUROC, with the number of changes; empty without any."""
        if not self.aurocs:
            return ""
        count = len(self.aurocs)
        largest = max(self.aurocs, key=lambda one: one.size)
        if (sure := self.sure) is not None:
            said = f"{sure.words} changes image AUROC by {changed_points(sure.number)}"
            return said if count == 1 else f"{said}, the largest sure change of {count}"
        if count == 1:
            return f"{largest.words} does not surely change image AUROC: {changed_points(largest.number)}"
        return (
            f"none of {count} other ways of asking surely changes image AUROC, the largest change is "
            f"{changed_points(largest.number)} by {largest.words}"
        )


def _lost(levels: Sequence[tuple[str, LevelFigures]]) -> str:
    counted = [(level.answering, words) for words, level in levels if level.answering and level.answering.sometimes]
    if not counted:
        return ""
    most, words = max(counted, key=lambda one: one[0].rate.value or 0.0)
    which = "" if len(counted) == 1 else f", the most of {len(levels)} ways of asking"
    return (
        f"{most.sometimes} of {most.images} images were answered either by the base or by {words}, not by both{which}"
    )


def _auroc(level: LevelFigures) -> Number:
    """Return the change of image AUROC; studies of before have none with an interval."""
    return level.auroc_difference or Number(value=level.auroc_change)
