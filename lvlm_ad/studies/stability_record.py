"""What ``study.json`` holds of a stability study: the classes of its figures."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lvlm_ad.metrics.stability.positions import SHUFFLES
from lvlm_ad.runs.fields import Amount, Count, Fraction
from lvlm_ad.studies.rates import Change, Rate, Spreading
from lvlm_ad.studies.record import Finite, LeftOut, Number, Record

__all__ = [
    "AnsweringFigures",
    "AurocNoise",
    "ComponentFigures",
    "FactorFigures",
    "LevelFigures",
    "PositionFigures",
    "RepeatFigures",
    "Spread",
    "StabilityFigures",
    "VoteFigures",
]


class AnsweringFigures(Record):
    """How many images were answered one time and not another; see ``lvlm_ad.metrics.stability.answering``."""

    images: Count
    """Those that were asked about twice or more, whatever came of it."""
    times: Count
    """How often an image was asked about at most."""
    always: Count
    """Images with a usable answer every time."""
    sometimes: Count
    """Images with a usable answer one time, and another time refused, unreadable, cut off or failed."""
    rate: Rate
    """``sometimes`` over ``images``; it grows with ``times``."""

    @property
    def words(self) -> str:
        """What can be said of it, such as "8 of 60 images were answered one time and not another"; empty if of none.

        Example:
            >>> rate = Number(value=0.5, interval=(0.09, 0.91))
            >>> AnsweringFigures(images=2, times=3, always=1, sometimes=1, rate=rate).words
            '1 of 2 images was answered one time and not another'
        """
        were = "was" if self.sometimes == 1 else "were"
        return (
            f"{self.sometimes} of {self.images} images {were} answered one time and not another"
            if self.sometimes
            else ""
        )


class RepeatFigures(Record):
    """The base asked several times, about some of the images; see ``lvlm_ad.metrics.stability.repeats``."""

    images: Count
    """Those with two answers or more."""
    answers: Count
    """R, the most answers of an image."""
    flip_rate: Rate
    """The probability that two answers of one image disagree whether it is anomalous."""
    unstable_fraction: Fraction | None
    """Images whose answers do not all agree; it grows with R."""
    within_sd: Spreading | None
    """The standard deviation of an image's scores around its own mean."""
    icc: Change
    """ICC(1): which part of the variance of scores lies between images."""
    answering: AnsweringFigures | None = None
    """Which images were answered every time; None in a study.json that lacks it."""


class Spread(Record):
    """A metric under several conditions, each in 0..1; None where it is undefined."""

    each: list[Fraction | None]
    sd: Fraction | None
    """Their standard deviation, divisor R - 1; None for fewer than two."""
    range: Fraction | None
    """Largest minus smallest."""


class AurocNoise(Record):
    """How much image AUROC changes when asked again, in another way, or about other images; not to be added up."""

    asking_sd: Spreading | None
    """The standard deviation between two times of asking about the same images."""
    asking: Spreading | None
    """95 % of differences between two times of asking are below this."""
    sampling: Spreading | None
    """Half width of the 95 % interval over the choice of images, of one version of the model. The interval of a
    difference of two versions that are asked about different images is 1.4 times as wide."""
    factor: Fraction | None
    """The largest change against the base at a level of any factor; it includes the noise of asking again."""
    level: str = ""
    """That level, in words."""


class LevelFigures(Record):
    """One level of a factor against the base, on the images that both answered."""

    condition: str
    level: str
    images: Count
    """Those with an answer at this level; 0: the level was not answered."""
    missing: Count
    shift: Change
    """The mean change of the image score."""
    shift_good: Change
    shift_anomalous: Change
    flip_rate: Rate
    """How often base and level disagree whether an image is anomalous; repeats of the base alone disagree, too."""
    map_difference: Rate
    """The mean |difference| of a pixel's score."""
    auroc_change: Annotated[float, Field(ge=-1, le=1)] | None
    """Of image AUROC, on the images that both answered."""
    auroc_difference: Change | None = None
    """The same with the interval of paired images; None in a study.json that lacks it."""
    answering: AnsweringFigures | None = None
    """Which images were answered by the base and at this level, or by one alone; None in a study.json that lacks it."""


class FactorFigures(Record):
    """What a factor does to scores; variances within an image, see ``lvlm_ad.metrics.stability.one_factor``."""

    factor: str
    total: Rate
    """Over the levels, each asked once; it includes the variance of asking again."""
    excess: Change
    """Total minus that of repeats; an estimate below 0 means that the levels varied less than repeats did."""
    share: Rate
    """Excess / (repeats + excess), with an excess below 0 as 0."""
    shift_variance: Fraction | None
    """The variance of the levels' mean scores."""
    levels: list[LevelFigures]
    metrics: dict[str, Spread]
    """Each metric over base and levels."""

    @property
    def answered(self) -> list[LevelFigures]:
        """The levels with an answer."""
        return [one for one in self.levels if one.images]


class ComponentFigures(Record):
    """The components of variance of a factor whose levels were asked several times each."""

    factor: str
    images: Count
    answers: Count
    """R at each level."""
    image: Change
    condition: Change
    interaction: Change
    repeat: Rate


class VoteFigures(Record):
    """What asking k times would give, computed from the stored answers."""

    k: Count
    """The price is k times that of one answer."""
    how: str
    """mean or median of the k scores."""
    auroc: Fraction | None
    gain: Change
    """``auroc`` minus that of one answer."""
    one_subset: bool
    """Whether k is the number of answers: ``auroc`` is then a single value, not a mean over subsets."""
    usd_per_image: Amount | None
    """k times the mean cost of one answer, as if every answer cost the same; None: unknown."""


class PositionFigures(Record):
    """Whether a region is named for its number, its pixels being the same."""

    images: Count
    numberings: Count
    """How many were answered, that of the base included."""
    numbers: list[int]
    frequency: list[Fraction]
    """Of each number how often a region that bears it is named."""
    effect: list[Number]
    """Of each number how much more often a region is named with it than with the average number (least squares)."""
    range: Number
    slope: Number
    """Change of the frequency from one number to the next."""
    p_value: Fraction | None
    """The probability, if numbers do not matter, of such a range of effects that are not adjusted for few numberings,
    from 999 shuffles: 0.001 means at most that."""
    adjusted_p_value: Fraction | None = None
    """The same of ``range``; None also in studies of versions that did not test it."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.numbers) == len(self.frequency) == len(self.effect):
            raise ValueError("numbers, frequency and effect must be equally long")
        return self

    @property
    def chance(self) -> str:
        """The p-value of ``range`` in words, such as "0.023"; empty without one."""
        p_value = self.adjusted_p_value
        if p_value is None:
            return ""
        return f"{p_value:.3f}" if p_value > 1 / (SHUFFLES + 1) else f"at most {p_value:.3f}"


class StabilityFigures(Record):
    """The figures of a stability study; fractions in 0..1. Every interval is over the choice of images."""

    threshold: Finite
    """An image is called anomalous if its score is at least this."""
    repeats: dict[str, RepeatFigures]
    """By "all", "good" and "anomalous"."""
    map_test_retest: Rate
    """Mean |difference| of a pixel's score between two times of asking."""
    metrics: dict[str, Spread]
    """Each metric over the repeats."""
    auroc: AurocNoise
    factors: list[FactorFigures]
    components: ComponentFigures | None = None
    votes: list[VoteFigures]
    positions: PositionFigures | None = None
    undefined: list[LeftOut]
    """Figures that could not be computed."""
