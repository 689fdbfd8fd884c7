"""The verdict of a stability study: can it choose between two versions of a model that are 2 points apart?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.metrics.stability import images_for_auroc
from lvlm_ad.studies.changes import changed_points
from lvlm_ad.studies.stability_levels import FACTORS
from lvlm_ad.studies.wording import incomplete, joined
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.studies.readings import Readings
    from lvlm_ad.studies.runner import StudyResults
    from lvlm_ad.studies.stability_changes import OtherWays
    from lvlm_ad.studies.stability_record import AnsweringFigures, AurocNoise, StabilityFigures

__all__ = [
    "WANTED",
    "Asked",
    "asked_twice",
    "difference_half_width",
    "images_for_asking",
    "lost_answers",
    "verdict",
]

WANTED = 0.02
"""The difference of image AUROC that a study should detect: 2 points."""

_AGAIN = "asking again"


@dataclass(frozen=True)
class Asked:
    """What a study asked, as far as its verdict depends on it.

    Attributes:
        auroc: image AUROC of the base; None: undefined.
        good: how many images are good.
        anomalous: how many are anomalous.
        categories: of how many categories they are.
        answering: how many images were answered one time and not another when asked again; None: unknown.
        varied: what was varied and answered, asking again included, such as ``("asking again", "marks")``.
        missing: what was to be varied and has conditions that were not, or not all, asked; likewise in words.
        twice: how many images were answered twice or more; None: all of them.
    """

    auroc: float | None
    good: int
    anomalous: int
    categories: int = 1
    answering: AnsweringFigures | None = None
    varied: tuple[str, ...] = (_AGAIN,)
    missing: tuple[str, ...] = ()
    twice: int | None = None

    @property
    def images(self) -> int:
        """How many images there are."""
        return self.good + self.anomalous

    @classmethod
    def of(cls, results: StudyResults, readings: Readings, figures: StabilityFigures) -> Asked:
        """Read from a study's results what it asked; ``readings`` are its answers, ``figures`` what was measured."""
        answered, unasked = set(), set()
        for one in results.results:
            name = one.condition.factor.removesuffix(" again")
            name = name if name in FACTORS else _AGAIN if name == "repeat" else "the base"
            records = [] if one.run is None else one.run.predictions
            if any(record.usable for record in records):
                answered.add(name)
            if not records or any(record.status in UNANSWERED for record in records):
                unasked.add(name)
        value = float(readings.metric("image_auroc")[0])
        order = ("the base", _AGAIN, *FACTORS)
        return cls(
            auroc=None if math.isnan(value) else value,
            good=int((~readings.labels).sum()),
            anomalous=int(readings.labels.sum()),
            categories=len(set(readings.categories.tolist())),
            answering=figures.repeats["all"].answering,
            varied=tuple(one for one in order[1:] if one in answered),
            missing=tuple(one for one in order if one in unasked),
            twice=figures.repeats["all"].images,
        )


def verdict(noise: AurocNoise, asked: Asked, ways: OtherWays, wanted: float = WANTED) -> str:
    """Say whether a difference of image AUROC between two versions of a model can be believed.

    Two versions may seem to differ for three reasons that are not the versions: they were asked at another time, in
    another way, or about images that happen to suit one of them. The first two are compared with the difference
    wanted, then the third. Where too few images give image AUROC no interval, that comes before all else.

    Args:
        noise: the errors of image AUROC.
        asked: what the study asked.
        ways: what other ways of asking change.
        wanted: the difference, in 0..1.

    Example:
        >>> from lvlm_ad.studies.stability_changes import OtherWays
        >>> from lvlm_ad.studies.stability_record import AurocNoise
        >>> noise = AurocNoise(asking_sd=0.01, asking=0.028, sampling=0.05, factor=None)
        >>> said = verdict(noise, Asked(auroc=0.9, good=50, anomalous=50), OtherWays())
        >>> said.partition(": ")[0]
        'Too unstable to tell two versions 2 points apart with 100 images'
    """
    return incomplete(_nothing(noise, asked, ways) or _judged(noise, asked, ways, wanted), asked.missing)


def asked_twice(asking: float) -> str:
    """Say how far image AUROC differs when the same question is asked twice.

    Args:
        asking: as in ``AurocNoise``, in 0..1.

    Example:
        >>> asked_twice(0.028)
        'asked twice, image AUROC differs by less than 2.8 points in 95 of 100 cases'
    """
    if not asking:
        return "asking again did not change image AUROC in this study"
    return f"asked twice, image AUROC differs by less than {100 * asking:.1f} points in 95 of 100 cases"


def images_for_asking(asking: float, images: int, wanted: float = WANTED) -> int:
    """Say about how many images make what asking again changes smaller than the difference wanted.

    What asking again changes is a mean over images, so its SD falls about as 1/sqrt(images).

    Args:
        asking: as in ``AurocNoise``, in 0..1.
        images: how many it comes from.
        wanted: the difference, in 0..1.

    Returns:
        Rounded up to two digits.

    Example:
        >>> images_for_asking(0.107, 30)
        860
    """
    return _rounded_up(images * (asking / wanted) ** 2)


def difference_half_width(noise: AurocNoise) -> float | None:
    """Return the half width of the interval of a difference of two versions that are asked about different images.

    It is that of one version times the root of 2. About the same images it is narrower, but only both versions' answers
    say by how much.

    Args:
        noise: the errors of image AUROC.

    Returns:
        In 0..1; None without an interval.

    Example:
        >>> from lvlm_ad.studies.stability_record import AurocNoise
        >>> round(difference_half_width(AurocNoise(asking_sd=None, asking=None, sampling=0.05, factor=None)), 3)
        0.071
    """
    return None if noise.sampling is None else math.sqrt(2) * noise.sampling


def _nothing(noise: AurocNoise, asked: Asked, ways: OtherWays) -> str:
    """Say why nothing can be said; empty if something can."""
    if not asked.good or not asked.anomalous:
        which = "anomalous" if asked.good else "good"
        return f"Nothing can be said of image AUROC: there are no {which} images, and it needs both kinds."
    if asked.auroc is None or (noise.asking is None and ways.sure is None):
        yet = " yet" if asked.missing else ""
        return f"Nothing can be said{yet}: the base has no two usable answers about good and anomalous images."
    return ""


def _judged(noise: AurocNoise, asked: Asked, ways: OtherWays, wanted: float) -> str:
    """Compare the errors with the difference wanted."""
    apart, change = f"two versions {100 * wanted:g} points apart", _changes(noise, asked, ways)
    half = difference_half_width(noise)
    if half is None:
        each = images_for_auroc(min(asked.auroc or 0.0, 0.999), wanted / math.sqrt(2), asked.categories)
        fewest = _rounded_up(2 * asked.categories * each)
        return (
            f"Too few images to say whether {apart} can be told: with {asked.images} images, image AUROC has no "
            f"interval. Ask about {fewest} or more (--images {fewest})."
        )
    again = (noise.asking or 0.0) >= wanted
    lost = lost_answers(asked.answering, wanted)
    if again or lost or (ways.sure is not None and ways.sure.size >= wanted):
        degree = "Too unstable" if again or ways.least >= wanted else "Perhaps too unstable"
        unless = "" if again or lost else ", unless both are asked in the same way"
        if again:
            twice = asked.images if asked.twice is None else asked.twice
            apart = f"{apart} with {asked.images} images"
            more = images_for_asking(noise.asking or 0.0, twice, wanted)
            change = f"{change}; with about {more} images, asking again would change less than {100 * wanted:g} points"
        return f"{degree} to tell {apart}{unless}: {change}."
    images = f"{asked.images} images give the difference of two versions to ±{100 * half:.1f} points"
    if half > wanted:
        needed = _rounded_up(asked.images * (half / wanted) ** 2)
        return (
            f"Too few images to tell {apart}: {images} if each is asked about others, and about {needed} give "
            f"±{100 * wanted:g}; so far, {change}."
        )
    if (farthest := ways.farthest) is not None and farthest.most >= wanted:
        return (
            f"Too few images to tell {apart}: {farthest.words} may change image AUROC by as much "
            f"({changed_points(farthest.number)})."
        )
    return f"Stable enough to tell {apart}: {change}; {images}, even if each is asked about others."


def _changes(noise: AurocNoise, asked: Asked, ways: OtherWays) -> str:
    """Say what changes image AUROC, asking again and other ways."""
    lost = asked.answering.words if asked.answering else ""
    if not lost and not noise.asking and ways.nothing_changed:
        return f"{joined(asked.varied)} did not change image AUROC in this study"
    again = "" if noise.asking is None else asked_twice(noise.asking)
    if lost and again:
        again = f"{lost}; of those answered every time, {again}"
    return "; ".join(filter(None, [again or lost, ways.words, "" if lost else ways.lost]))


def lost_answers(answering: AnsweringFigures | None, wanted: float = WANTED) -> bool:
    """Return whether so many images were answered one time and not another that the difference wanted may be theirs.

    A bench scores an image without an answer as normal, so by default each such image changes its image AUROC.

    Args:
        answering: of the base and its repeats; None: unknown.
        wanted: the difference, in 0..1.

    Example:
        >>> lost_answers(None)
        False
    """
    return answering is not None and (answering.rate.value or 0.0) >= wanted


def _rounded_up(images: float) -> int:
    """Round a number of images up to two digits."""
    unit: int = 10 ** max(len(str(math.ceil(images))) - 2, 0)
    return math.ceil(images / unit) * unit
