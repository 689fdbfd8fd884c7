"""What ``study.json`` holds of a grounding study: the classes of its figures."""

from __future__ import annotations

from typing import Literal

from lvlm_ad.runs.fields import Amount, Count, Fraction
from lvlm_ad.studies.rates import Change, Rate
from lvlm_ad.studies.record import LeftOut, Record

__all__ = [
    "ContaminationFigures",
    "CorruptionFigures",
    "GroundingFigures",
    "HitFigures",
    "LossFigures",
    "LossStep",
    "MarkFigures",
    "MethodFigures",
    "PointFigures",
]


class HitFigures(Record):
    """How often defects of a size are hit: at least one of their pixels lies in a place that the answer names."""

    size: str
    """By the share of the image's pixels that the defect covers; "all" for every defect."""
    defects: Count
    """8-connected components of the masks, in the images' own pixels."""
    images: Count
    """Images with such a defect and a usable answer."""
    rate: Rate
    """Wilson's interval, see ``lvlm_ad.metrics.hits.hit_rate``."""


class MethodFigures(Record):
    """One way of asking."""

    condition: str
    method: str
    """In words, such as "regions, marked"."""
    images: Count
    """With a usable answer."""
    missing: Count
    auroc: Rate
    """Image AUROC."""
    pixel_ap: Rate
    pixel_aupro: Rate
    hits: list[HitFigures]
    """By size, then of all defects; empty where the method names no places."""
    false_share: Fraction | None
    """The mean fraction of normal pixels in named places: what the hits cost. None without places."""
    usd_per_image: Amount | None
    """None: unknown."""
    seconds: Amount | None
    """Median time of an image's answers when they were asked."""


class MarkFigures(Record):
    """Scores of marked regions minus those of another question about the same image."""

    condition: str
    """Where the picture was marked."""
    against: str
    """What it is compared with: the question for an image score alone, or the same question without marks."""
    good: Change
    """Mean change of the image score, Student's interval of paired differences."""
    anomalous: Change
    auroc: Change
    """Change of image AUROC."""


class LossStep(Record):
    """A map, and what it loses against the one before."""

    step: Literal["ideal", "division", "naming", "score"]
    """ideal: the ground truth. division: each region has the fraction of its pixels that is defective; no map that is
    constant on regions has a higher pixel AUROC. naming: of these only the regions that the answer names. score: the
    named regions have the model's own scores; wrong regions among them count here."""
    value: Rate
    lost: Change
    """Value of the step before minus this one; 0 for the ideal. The losses add up to 1 minus the last value.
    Where scores happen to split regions of equal fractions, a loss may be slightly below 0."""


class LossFigures(Record):
    """Where a method with regions loses quality."""

    condition: str
    method: str
    metric: Literal["pixel_ap", "pixel_aupro"]
    images: Count
    steps: list[LossStep]


class PointFigures(Record):
    """A point of a curve over the image's size or over the severity of a corruption."""

    condition: str
    level: Count
    """Pixels, or the severity; 0 is the base."""
    images: Count
    missing: Count
    auroc: Rate
    change: Change
    """Of image AUROC against the base, on the images that both answered."""
    pixel_ap: Rate
    hits: list[HitFigures]
    usd_per_image: Amount | None
    seconds: Amount | None


class CorruptionFigures(Record):
    """A corruption in increasing severity; level 0 is the base."""

    kind: str
    points: list[PointFigures]
    slope: Change
    """Change of image AUROC from one severity to the next, by least squares."""
    drop: Change
    """Image AUROC of the base minus the mean over severities, on the images answered under all of them."""


class ContaminationFigures(Record):
    """A condition under which a model that answers from the picture alone would guess, or do as before."""

    condition: Literal["without-image", "without-name", "mirrored"]
    images: Count
    missing: Count
    auroc: Rate
    change: Change
    """Of image AUROC against the base."""
    suspicious: bool | None
    """without-image: the interval of image AUROC does not contain 0.5, so something other than the picture tells
    good from anomalous images, or chance (1 in 20); mirrored: the interval of the change lies below 0, as it would if
    images are remembered, or show text or parts with a left and a right. None: undefined, or nothing to suspect."""


class GroundingFigures(Record):
    """The figures of a grounding study; fractions in 0..1. Every interval is over the choice of images."""

    methods: list[MethodFigures]
    """The base first."""
    marks: list[MarkFigures]
    losses: list[LossFigures]
    resolution: list[PointFigures]
    """By increasing size."""
    corruptions: list[CorruptionFigures]
    worst_corruption: str = ""
    """The kind with the largest drop; empty if none was asked or none lowers image AUROC."""
    contamination: list[ContaminationFigures]
    undefined: list[LeftOut]
    """Figures that could not be computed."""
