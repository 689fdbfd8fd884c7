"""Simulated answers with known components, for ``study_coverage.py``: the figures of a study of stability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from scipy.special import ndtr

from lvlm_ad.metrics import stability
from lvlm_ad.metrics.stability import Measured
from lvlm_ad.studies.stability_repeats import mean_of_independent

_EFFECTS = 0.05
"""The SD of the levels' effects in the shared cases."""

Draw = np.random.Generator
Found = Iterator[tuple[str, Measured, float]]


def flip_rate(draw: Draw, images: int, repeats: int) -> Found:
    """Images alarm with probabilities from Beta(1/4, 1/4); two answers disagree with probability 1/6."""
    chance = draw.beta(0.25, 0.25, (images, 1))
    found = stability.repeats(draw.random((images, repeats)) < chance, threshold=1)
    yield "flip rate", found.flip_rate, 1 / 6


def rare_flips(draw: Draw, images: int, repeats: int) -> Found:
    """One image in ten flips a coin, the others never change."""
    chance = np.where(draw.random((images, 1)) < 0.1, 0.5, 0.0)  # noqa: PLR2004 - one in ten
    found = stability.repeats(draw.random((images, repeats)) < chance, threshold=1)
    yield "flip rate", found.flip_rate, 0.05


def answering(draw: Draw, images: int, repeats: int) -> Found:
    """One image in five is refused half of the time, the others never."""
    refused = (draw.random((images, 1)) < 0.2) & (draw.random((images, repeats)) < 0.5)  # noqa: PLR2004 - see above
    found = stability.answering(~refused, np.ones_like(refused))
    yield "answered one time and not another", found.rate, 0.2 * (1 - 2 * 0.5**repeats)


def icc(draw: Draw, images: int, repeats: int) -> Found:
    """Normal scores, SD 0.2 between and 0.1 within images."""
    scores = draw.normal(0, 0.2, (images, 1)) + draw.normal(0, 0.1, (images, repeats))
    yield "ICC", stability.icc(scores), 0.8


def components(draw: Draw, images: int, levels: int, effects: float, scores: str) -> Found:
    """The recipe variance_components of the shared cases, with other levels too; ``effects`` is the levels' SD.

    Scores "uneven": images disagree about the last level three times as much as about the others.
    """
    found = stability.variance_components(_crossed(draw, images, levels, effects, scores))
    yield "component condition", found.condition, _level_variance(levels, effects, scores)
    if scores == "normal" and effects == _EFFECTS:  # the others do not depend on the effects
        yield "component image", found.image, 0.04
        yield "component interaction", found.interaction, 0.01
        yield "component repeat", found.repeat, 0.0225


def _crossed(draw: Draw, images: int, levels: int, effects: float, scores: str) -> np.ndarray:
    """Return scores ``(images, levels, 3)``."""
    offsets = np.linspace(-1, 1, levels) ** 3
    disagreement = np.full(levels, 0.1)
    if scores == "uneven":
        disagreement[-1] = 0.3
    image, both = draw.normal(0.5, 0.2, (images, 1)), draw.normal(0, disagreement, (images, levels))
    cells = image + both + offsets * effects / offsets.std(ddof=1)
    y = cells[:, :, None] + draw.normal(0, 0.15, (images, levels, 3))
    return np.clip(y.round(1), 0, 1) if scores == "tenths" else y


@cache
def _level_variance(levels: int, effects: float, scores: str) -> float:
    """Return the variance of the levels; of scores that are cut off at 0 and 1, from many images."""
    if scores != "tenths" or not effects:
        return effects**2
    y = _crossed(np.random.default_rng(0), 400_000, levels, effects, scores)
    return float(y.mean(axis=(0, 2)).var(ddof=1))


def one_factor(draw: Draw, images: int, factor: str, *, tenths: bool) -> Found:
    """Four levels shift each image on its own, SD 0.1, and all images by their level; repeats vary with SD 0.15.

    With the factor "none" the levels change nothing.
    """
    offsets = np.linspace(-0.06, 0.06, 4) * (factor != "none")
    own = draw.normal(0, 0.1, (images, 4)) * (factor != "none")
    centre = draw.normal(0.5, 0.15, (images, 1))
    base = centre + draw.normal(0, 0.15, (images, 3))
    moved = centre + offsets + own + draw.normal(0, 0.15, (images, 4))
    if tenths:
        # Rounding adds its own variance to every answer: 0.1 squared over 12.
        base, moved = base.round(1), moved.round(1)
    within = 0.0225 + (0.1**2 / 12 if tenths else 0)
    excess = 0.0 if factor == "none" else 0.01 + offsets.var(ddof=1)
    found = stability.one_factor(base, moved)
    yield "factor: repeat", found.repeat, within
    yield "factor: total", found.total, within + excess
    yield "factor: excess", found.excess, excess
    yield "factor: share", found.share, excess / (within + excess)
    yield "factor: shift of a level", found.shifts[0], float(offsets[0])


def positions(draw: Draw, images: int, regions: int, numberings: str, preference: str) -> Found:
    """Regions differ in how often they are named, and numbers add a preference.

    Numberings are "all" cyclic ones, or "four" permutations of each image, as in a study.
    """
    added = {
        "none": np.zeros(regions),
        "slope": np.linspace(0.1, -0.1, regions),
        "first": np.append(0.15, np.zeros(regions - 1)),
    }[preference]
    if numberings == "all":
        cyclic = 1 + (np.arange(regions)[:, None] + np.arange(regions)) % regions
        numbers = np.tile(cyclic, (images, 1, 1))
    else:
        numbers = 1 + draw.permuted(np.tile(np.arange(regions)[:, None], (images, 1, 4)), axis=1)
    chance = 0.1 + 0.7 * draw.beta(0.5, 2, (images, regions, 1)) + added[numbers - 1]
    found = stability.position_bias(numbers, draw.random(numbers.shape) < chance)
    effects = added - added.mean()
    yield "position: effect of 1", found.adjusted[0], float(effects[0])
    yield "position: range", found.adjusted_range, float(np.ptp(effects))
    centred = np.arange(regions) - (regions - 1) / 2
    yield "position: slope", found.slope, float(centred @ effects / (centred @ centred))


def votes(draw: Draw, images: int, categories: int, *, tenths: bool) -> Found:
    """Five answers around the image's own score; a vote of all answers averages their noise away."""
    labels = np.arange(2 * images) < images
    by_category = []
    for _ in range(categories):
        own = np.where(labels, 1.0, 0.0) + draw.normal(0, 0.6, 2 * images)
        scores = own[:, None] + draw.normal(0, 0.8, (2 * images, 5))
        if tenths:
            scores = np.clip(np.round(2 * scores + 4), 0, 10) / 10
        by_category.append(stability.votes(labels, scores))

    def auroc(k: int) -> float:
        return float(ndtr(1 / np.sqrt(2 * (0.36 + 0.64 / k))))

    for k in (2, 5):
        gain = mean_of_independent([found[k - 1].gain for found in by_category])
        yield f"gain of {k} votes", gain, _votes_truth(k) if tenths else auroc(k) - auroc(1)


@cache
def _votes_truth(k: int) -> float:
    """Return the gain on tenths, from many images."""
    draw, n = np.random.default_rng(0), 400_000
    scores = np.arange(2) + draw.normal(0, 0.6, (n, 2)) + draw.normal(0, 0.8, (k, n, 2))
    scores = np.clip(np.round(2 * scores + 4), 0, 10) / 10
    aurocs = []
    for part in (scores[:1], scores):
        good, bad = part.mean(axis=0).round(12).T
        good = np.sort(good)
        aurocs.append((np.searchsorted(good, bad) + np.searchsorted(good, bad, side="right")).mean() / (2 * n))
    return float(aurocs[1] - aurocs[0])


def shift(draw: Draw, images: int, *, skewed: bool) -> Found:
    """Marks raise the score by 0.05 on average; if skewed, by much on few images."""
    plain = draw.normal(0.5, 0.2, images)
    marked = plain + (draw.exponential(0.05, images) if skewed else draw.normal(0.05, 0.05, images))
    yield "paired shift", stability.paired_shift(marked, plain), 0.05


def maps(draw: Draw, images: int, repeats: int) -> Found:
    """Cells vary with an SD of each image's own; two uniform values of width w differ by w/3 on average."""
    width = draw.choice([0.0, 0.1, 0.3], images)
    stacks = width[:, None, None] * draw.random((images, repeats, 40))
    yield "map disagreement", stability.mean_map_disagreement(list(stacks)), 0.4 / 9


def grid(**values: Sequence[object]) -> list[dict]:
    """Return every combination of the values, the last one changing fastest."""
    settings: list[dict] = [{}]
    for name, each in values.items():
        settings = [{**setting, name: value} for setting in settings for value in each]
    return settings
