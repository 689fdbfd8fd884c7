"""What ``study.json`` holds of an efficiency study: the classes of its figures."""

from __future__ import annotations

from typing import Literal

from lvlm_ad.runs.fields import Amount, Count, Fraction
from lvlm_ad.studies.rates import Change, Rate
from lvlm_ad.studies.record import Finite, LeftOut, Number, Record
from lvlm_ad.studies.stability_record import VoteFigures

__all__ = [
    "Cost",
    "EfficiencyFigures",
    "FrontFigures",
    "FrontRow",
    "FrontStep",
    "Metric",
    "PairFigures",
    "PairGroup",
    "RowFigures",
    "VoteGains",
]

Metric = Literal["image_auroc", "pixel_ap"]
Cost = Literal["usd", "seconds", "tokens"]


class RowFigures(Record):
    """The quality and the price of one combination of model, method, image size and votes."""

    condition: str
    """The name of its condition."""
    words: str
    """What it is, for sentences."""
    model: str
    method: str
    image_size: Count
    votes: Count
    answered: Count
    missing: Count
    """Images without a usable answer; they are left out of quality, and their answers still cost."""
    image_auroc: Rate
    """Is there a defect? On the images that all compared combinations answered."""
    pixel_ap: Rate
    """Where is it? On the same images."""
    usd_per_image: Number
    """Over the images that were asked about, whether or not an answer was of use."""
    seconds: Number
    """Mean over images of the time of all answers about an image."""
    median_seconds: Amount | None
    p95_seconds: Amount | None
    """The time that 95 % of images do not exceed."""
    input_tokens: Finite | None
    """Mean of an image."""
    output_tokens: Finite | None


class FrontRow(Record):
    """A combination on or off the front of one metric over one cost."""

    condition: str
    quality: Finite
    cost: Finite | None
    """Mean of the images whose cost is known for all compared combinations; None: unknown."""
    reason: str = ""
    """Why it is unknown."""
    on_front: bool | None
    """Whether it is on the Pareto front as measured: none that costs no more is better, and none that is as good costs
    less. None without a cost."""
    possible: bool | None
    """Whether no combination is surely better and costs no more."""
    probability: Fraction | None
    """The share of bootstrap samples of the images in which it is on the front, with costs held fixed."""
    standing: Literal["on", "open", "off"] | None
    """By the probability: off below 0.05, on above 0.95."""


class FrontStep(Record):
    """From one combination on the front to the next more expensive one; the first begins at chance and 0."""

    condition: str
    gain: Change
    """Of the metric; of the first combination: above chance."""
    extra_cost: Finite
    cost_per_point: Number
    """Of each percentage point. None unless the gain is surely above 0: divided by a gain that may be 0, a cost means
    nothing."""


class FrontFigures(Record):
    """One metric over one cost."""

    metric: Metric
    cost: Cost
    images: Count
    """Those on which costs are compared."""
    rows: list[FrontRow]
    """The cheapest first."""
    steps: list[FrontStep]


class PairGroup(Record):
    """Some images, and what closer looks do there."""

    kind: Literal["all", "size", "category"]
    name: str
    """The size of the defects, as a share of the image's pixels, or the category."""
    anomalous: Count
    """How many of the images are anomalous; those of a size are measured against all good ones."""
    image_auroc: Change
    """Gain."""
    pixel_ap: Change
    """Gain."""
    extra_usd: Number
    """Difference in USD per image; for a size of defects, per anomalous image."""
    usd_per_point: Number
    """Of image AUROC; None unless the gain is surely above 0."""


class PairFigures(Record):
    """Closer looks (zoom) against the method regions, with the same model at the same size."""

    first: str
    """The condition with closer looks."""
    second: str
    groups: list[PairGroup]


class VoteGains(Record):
    """What several answers give that are averaged, and their price."""

    condition: str
    """The condition with one answer."""
    votes: list[VoteFigures]


class EfficiencyFigures(Record):
    """The figures of an efficiency study; fractions in 0..1. Every interval is over the choice of images."""

    images: Count
    """Those that all compared combinations answered."""
    rows: list[RowFigures]
    fronts: list[FrontFigures]
    zoom: list[PairFigures]
    votes: list[VoteGains]
    not_compared: list[LeftOut]
    """Combinations that answered fewer than half of the images, or nothing."""
