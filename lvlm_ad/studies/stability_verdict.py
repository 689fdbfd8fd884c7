"""The verdict of a stability study: can it choose between two versions of a model that are 2 points apart?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.metrics.stability import images_for_auroc
from lvlm_ad.studies.stability_levels import FACTORS

if TYPE_CHECKING:
    from lvlm_ad.studies.readings import Readings
    from lvlm_ad.studies.runner import StudyResults
    from lvlm_ad.studies.stability_record import AurocNoise, StabilityFigures

__all__ = ["WANTED", "Asked", "findings", "verdict"]

WANTED = 0.02
"""The difference of image AUROC that is to be told: 2 points."""

_AGAIN = "asking again"


@dataclass(frozen=True)
class Asked:
    """What a study asked, as far as its verdict depends on it.

    Attributes:
        auroc: image AUROC of the base; None: undefined.
        good: how many images are good.
        anomalous: how many are anomalous.
        categories: of how many categories they are.
        varied: what was varied and answered, asking again included, such as ``("asking again", "marks")``.
        missing: what was to be varied and has conditions that were not, or not all, asked; likewise in words.
    """

    auroc: float | None
    good: int
    anomalous: int
    categories: int = 1
    varied: tuple[str, ...] = (_AGAIN,)
    missing: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many images there are."""
        return self.good + self.anomalous

    @classmethod
    def of(cls, results: StudyResults, readings: Readings) -> Asked:
        """Read from a study's results what it asked; ``readings`` are its answers."""
        answered, unasked = set(), set()
        for one in results.results:
            name = one.condition.factor.removesuffix(" again")
            name = name if name in FACTORS else _AGAIN if name == "repeat" else "the base"
            records = [] if one.run is None else one.run.predictions
            if any(record.usable for record in records):
                answered.add(name)
            if not records or any(record.status == "unasked" for record in records):
                unasked.add(name)
        value = float(readings.metric("image_auroc")[0])
        order = ("the base", _AGAIN, *FACTORS)
        return cls(
            auroc=None if math.isnan(value) else value,
            good=int((~readings.labels).sum()),
            anomalous=int(readings.labels.sum()),
            categories=len(set(readings.categories.tolist())),
            varied=tuple(one for one in order[1:] if one in answered),
            missing=tuple(one for one in order if one in unasked),
        )


def verdict(noise: AurocNoise, asked: Asked, wanted: float = WANTED) -> str:
    """Say in a sentence whether a difference of image AUROC between two versions of a model can be believed.

    Two versions may seem to differ for three reasons that are not the versions: they were asked at another time, in
    another way, or about images that happen to suit one of them. The first two are compared with the difference
    wanted, then the third. Where too few images give image AUROC no interval, that comes before all else.

    Args:
        noise: the errors of image AUROC.
        asked: what the study asked.
        wanted: the difference, in 0..1.

    Example:
        >>> from lvlm_ad.studies.stability_record import AurocNoise
        >>> noise = AurocNoise(asking_sd=0.01, asking=0.028, sampling=0.05, factor=None)
        >>> verdict(noise, Asked(auroc=0.9, good=50, anomalous=50))
        'Too unstable to tell two versions 2 points apart: asking again changes image AUROC by up to 2.8 points.'
    """
    sentence = _nothing(noise, asked) or _judged(noise, asked, wanted)
    if not asked.missing:
        return sentence
    return f"Incomplete, not all was asked of {_listed(asked.missing)}: {sentence[0].lower()}{sentence[1:]}"


def findings(figures: StabilityFigures) -> list[str]:
    """Say in a sentence which way of asking shifts scores most; nothing without a level that two images answered.

    Example, with a study that was read::

        findings(figures_of(study))
    """
    # What one image alone answered says nothing of others.
    levels = [
        (one.factor, level)
        for one in figures.factors
        for level in one.levels
        if level.shift.value is not None and level.images > 1
    ]
    if not levels:
        return []
    factor, level = max(levels, key=lambda one: abs(one[1].shift.value or 0.0))
    value, ends = 100 * (level.shift.value or 0.0), level.shift.interval
    if not value:
        return ["No other way of asking shifts scores on average."]
    interval = f" [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]" if ends else f" (no interval: {level.shift.reason})"
    return [f"Scores shift most with {factor} ({level.level}): by {value:+.1f} points of 0 to 100{interval}."]


def _nothing(noise: AurocNoise, asked: Asked) -> str:
    """Say why nothing can be said; empty if something can."""
    if not asked.good or not asked.anomalous:
        which = "anomalous" if asked.good else "good"
        return f"Nothing can be said of image AUROC: there are no {which} images, and it needs both kinds."
    if asked.auroc is None or (noise.asking is None and noise.proven is None):
        return "Nothing can be said yet: the base was not answered twice about good and anomalous images."
    return ""


def _judged(noise: AurocNoise, asked: Asked, wanted: float) -> str:
    """Compare the errors with the difference wanted."""
    task, change = f"to tell two versions {100 * wanted:g} points apart", _largest_change(noise, asked)
    few = f"with {asked.images} images, image AUROC has no interval"
    if noise.sampling is None:
        return f"Too few images to say whether two versions {100 * wanted:g} points apart can be told: {few}; {change}."
    if max(noise.asking or 0.0, noise.proven or 0.0) >= wanted:
        return f"Too unstable {task}: {change}."
    if noise.sampling > wanted:
        auroc = min(asked.auroc or 0.0, 0.999)
        needed = 2 * asked.categories * images_for_auroc(auroc, wanted, asked.categories)
        return (
            f"Too few images {task}: {asked.images} give image AUROC to ±{100 * noise.sampling:.1f} points, and about "
            f"{needed} are needed; so far, {change}."
        )
    if (noise.factor or 0.0) >= wanted:
        return (
            f"Too few images {task}: another way of asking changes image AUROC by {100 * (noise.factor or 0):.1f} "
            "points, which may be chance."
        )
    return f"Stable enough {task}: {change}, and {asked.images} images give it to ±{100 * noise.sampling:.1f} points."


def _largest_change(noise: AurocNoise, asked: Asked) -> str:
    """Say what changes image AUROC most; a level is named only if its change is more than chance."""
    asking = "" if noise.asking is None else f"{100 * noise.asking:.1f} points"
    if noise.proven is not None:
        # What a level changes includes what asking again changes, so the reader needs both.
        also = f" (asking again: by up to {asking})" if asking else ""
        return f"{noise.proven_level} changes image AUROC by {100 * noise.proven:.1f} points{also}"
    if noise.asking:
        return f"asking again changes image AUROC by up to {asking}"
    if noise.factor:
        return "asking again does not change image AUROC, and no other way of asking surely does"
    return f"{_listed(asked.varied)} {'do' if len(asked.varied) > 1 else 'does'} not change image AUROC"


def _listed(names: tuple[str, ...]) -> str:
    """Join names in words."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
