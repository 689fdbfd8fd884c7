"""Figures of the repeats of a base: decisions, scores, maps, metrics and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.errors import ConfigError
from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.intervals import Z
from lvlm_ad.metrics.stability import Measured, answering, repeats, votes
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.studies.aurocs import images_by_category
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.stability_record import AnsweringFigures, RepeatFigures, Spread, VoteFigures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.stability import Vote
    from lvlm_ad.studies.costs import Costs
    from lvlm_ad.studies.readings import Readings

__all__ = [
    "answering_figures",
    "asking_difference",
    "asking_sd",
    "check_repeats",
    "mean_of_independent",
    "metric_spreads",
    "repeat_figures",
    "vote_figures",
]

_DRAWS = 1000
"""How often each image's answer is drawn from its repeats."""


def check_repeats(readings: Readings, columns: Sequence[int]) -> None:
    """Refuse repeats that are one stored answer.

    Args:
        readings: the answers.
        columns: the conditions that ask the same question.

    Raises:
        ConfigError: two of the conditions have the same stored answer of an image.
    """
    for first, second in combinations(columns, 2):
        for image, keys in enumerate(zip(readings.keys(first), readings.keys(second), strict=True)):
            if keys[0] and keys[0] == keys[1]:
                names = [readings.conditions[one].name for one in (first, second)]
                raise ConfigError(
                    f"{names[0]} and {names[1]} have the same stored answer of {readings.ids[image]}, so it was not "
                    "asked again: the method's questions must have the option 'repeat'; see docs/methods.md."
                )


def repeat_figures(readings: Readings, columns: Sequence[int], threshold: float) -> dict[str, RepeatFigures]:
    """Compute how far the answers of repeats differ, for all images and within each label.

    Args:
        readings: the answers.
        columns: the conditions that ask the same question.
        threshold: an image is called anomalous if its score is at least this.

    Returns:
        The figures of "all", "good" and "anomalous" images; see ``lvlm_ad.metrics.stability.repeats``.
    """
    groups = {"all": np.ones(len(readings.ids), np.bool_), "good": ~readings.labels, "anomalous": readings.labels}
    figures = {}
    for name, rows in groups.items():
        found = repeats(readings.scores[rows][:, columns], threshold)
        figures[name] = RepeatFigures(
            images=found.images,
            answers=found.answers,
            flip_rate=Number.of(found.flip_rate),
            unstable_fraction=found.unstable_fraction,
            within_sd=found.within_sd,
            icc=Number.of(found.icc),
            answering=answering_figures(readings, columns, rows),
        )
    return figures


def answering_figures(
    readings: Readings, columns: Sequence[int], rows: NDArray[np.bool_] | slice = slice(None)
) -> AnsweringFigures:
    """Count the images that are answered under some conditions and not under others of those that asked about them.

    Args:
        readings: the answers.
        columns: the conditions.
        rows: which images; all of them by default.
    """
    scores, asked = readings.scores[rows][:, columns], readings.asked[rows][:, columns]
    found = answering(~np.isnan(scores), asked)
    return AnsweringFigures(
        images=found.images,
        times=found.times,
        always=found.always,
        sometimes=found.sometimes,
        rate=Number.of(found.rate),
    )


def metric_spreads(readings: Readings, columns: Sequence[int]) -> dict[str, Spread]:
    """Return how far each metric spreads over some conditions.

    Args:
        readings: the answers.
        columns: the conditions.

    Returns:
        Name -> its values and their spread, of the metrics that are defined under one of the conditions. Image AUROC is
        that of the images answered under all of them; other metrics are those of each run.
    """
    found = {name: readings.metric(name)[list(columns)] for name in METRIC_NAMES}
    # Pixel metrics of these images would need all maps again; for image AUROC the scores suffice.
    found["image_auroc"] = readings.auroc(columns)
    return {name: _spread(values) for name, values in found.items() if not np.isnan(values).all()}


def _spread(values: NDArray[np.float64]) -> Spread:
    known = values[~np.isnan(values)]
    several = known.size > 1
    return Spread(
        each=[None if math.isnan(one) else one for one in values.tolist()],
        sd=float((known - known[0]).std(ddof=1)) if several else None,
        range=float(np.ptp(known)) if several else None,
    )


def asking_sd(readings: Readings, columns: Sequence[int], seed: int = 0) -> float | None:
    """Compute the standard deviation of mean image AUROC between two times of asking about the same images.

    For each image one of its R answers is drawn, 1,000 times. Drawn with replacement from R answers, an image's score
    has the variance with divisor R, (R - 1)/R of the unbiased one, so the result is multiplied by sqrt(R/(R - 1))
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 5). It uses the repeats of every image;
    the plain standard deviation of R values of AUROC uses R numbers alone.

    Args:
        readings: the answers.
        columns: the R conditions that ask the same question.
        seed: of the draws.

    Returns:
        In 0..1, exactly 0.0 for a model that repeats itself; None for fewer than two repeats, or without both classes.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"),
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.1], [0.2, 0.2], [0.1, 0.1]]))
        >>> round(asking_sd(answers, [0, 1]), 2)
        0.27
    """
    answers = len(columns)
    scores = readings.scores[:, columns]
    rows = np.flatnonzero(~np.isnan(scores).any(axis=1))
    if answers < 2 or not rows.size:  # noqa: PLR2004 - one answer has no spread
        return None
    draw = np.random.default_rng(seed)
    drawn = np.empty((len(scores), _DRAWS))
    drawn[rows] = np.take_along_axis(scores[rows], draw.integers(answers, size=(rows.size, _DRAWS)), axis=1)
    found = []
    for at in images_by_category(readings, columns):
        labels = readings.labels[at]
        found.append(np.array([placements(labels, one)[labels].mean() for one in drawn[at].T]))
    if not found:
        return None
    means = np.mean(found, axis=0)
    return float((means - means[0]).std() * math.sqrt(answers / (answers - 1)))


def asking_difference(sd: float | None) -> float | None:
    """Return what 95 % of differences between two times of asking stay below: 1.96 sqrt(2) times the SD of one.

    Two independent normal numbers with the same SD differ with sqrt(2) times that SD.

    Args:
        sd: see ``asking_sd``; None: unknown.

    Example:
        >>> round(asking_difference(0.01), 4)
        0.0277
    """
    return None if sd is None else Z * math.sqrt(2) * sd


def vote_figures(readings: Readings, columns: Sequence[int], usd: Costs) -> list[VoteFigures]:
    """Compute what asking k times would give, as a mean over the categories with both classes.

    Images that lack an answer are left out, so that every k is about the same images.

    Args:
        readings: the answers.
        columns: the conditions that ask the same question.
        usd: what images cost; the price of one answer is the mean over the conditions whose cost is known.

    Returns:
        For the mean and then for the median, k = 1 to the number of conditions; empty if no category has both classes.
        The price of k answers is k times that of one, as if every answer cost the same.
    """
    known = [one for one in columns if not usd.reasons[one]]
    price = float(np.nanmean(usd.values[:, known])) if known else None
    groups = images_by_category(readings, columns)
    figures: list[VoteFigures] = []
    combined_by: tuple[Literal["mean", "median"], ...] = ("mean", "median")
    for how in combined_by:
        by_category = [votes(readings.labels[rows], readings.scores[rows][:, columns], how) for rows in groups]
        figures += [_vote(of_k, how, price) for of_k in zip(*by_category, strict=True)]
    return figures


def _vote(by_category: Sequence[Vote], how: str, usd: float | None) -> VoteFigures:
    aurocs = [one.auroc for one in by_category if one.auroc is not None]
    k = by_category[0].k
    return VoteFigures(
        k=k,
        how=how,
        auroc=float(np.mean(aurocs)) if aurocs else None,
        gain=Number.of(mean_of_independent([one.gain for one in by_category])),
        one_subset=by_category[0].one_subset,
        usd_per_image=None if usd is None else k * usd,
    )


def mean_of_independent(parts: Sequence[Measured]) -> Measured:
    """Return the mean of K independent numbers, with an interval that is symmetric only if theirs are.

    Each side of the interval is the root of the sum of the squared sides of the parts, over K: the method of variance
    estimates recovery (Zou and Donner, Stat. Med. 27:1693-1702, 2008).

    Args:
        parts: one or more. A part without a value is left out; if one has no interval, the mean has none.

    Example:
        >>> found = mean_of_independent([Measured(0.5, (0.25, 0.75)), Measured(0.25, (0.0, 0.5))])
        >>> found.value, [round(end, 3) for end in found.interval]
        (0.375, [0.198, 0.552])
    """
    known = [one for one in parts if one.value is not None]
    if not known:
        return parts[0]
    value = float(np.mean([one.value for one in known]))
    without = next((one for one in known if one.interval is None), None)
    if without is not None:
        return Measured(value, None, without.reason)
    below, above = (
        math.hypot(*(one.interval[side] - one.value for one in known)) / len(known)  # type: ignore[index,operator]
        for side in (0, 1)
    )
    return Measured(value, (value - below, value + above))
