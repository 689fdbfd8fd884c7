"""Simulated answers with known truths, for ``study_coverage.py``: figures of grounding, of costs and of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from lvlm_ad.metrics import count_cells
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.differences import square_and_add
from lvlm_ad.metrics.estimates import Estimate, estimate_category
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.hits import hit_rate
from lvlm_ad.metrics.stability import Measured, paired_shift, repeats
from lvlm_ad.regions import Regions
from lvlm_ad.studies import Number
from lvlm_ad.studies.aurocs import auroc_change, auroc_contrast
from lvlm_ad.studies.changes import Change, simultaneous
from lvlm_ad.studies.costs import Costs
from lvlm_ad.studies.grounding_losses import loss_maps, loss_steps
from lvlm_ad.studies.paired_answers import PairedAnswers

if TYPE_CHECKING:
    from study_coverage_stability import Draw, Found

RESAMPLES = 300
"""For intervals of pixel metrics; a bench draws 1,000."""


def hits(draw: Draw, images: int) -> Found:
    """One to four defects an image, of one difficulty; where there are many, each is found less often."""
    found, defects = _hits(draw, images, draw.beta(2, 1, images))
    yield "hit rate", hit_rate(found, defects), _hit_rate()


def hits_of_two(draw: Draw, images: int) -> Found:
    """Two models about the same images, which are hard for both; compared as if the images were different ones."""
    ease = draw.beta(2, 1, images)
    rates = [hit_rate(*_hits(draw, images, factor * ease)) for factor in (1.0, 0.8)]
    (one, first), (other, second) = ((rate.value or 0.0, rate.interval or (0.0, 1.0)) for rate in rates)
    difference = Measured(one - other, square_and_add(one, first, other, second, 0.0))
    yield "difference of two studies' hit rates (~)", difference, 0.2 * _hit_rate()


def _hits(draw: Draw, images: int, ease: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many defects each image has that are found, and how many it has."""
    defects = draw.integers(1, 5, images)
    return draw.binomial(defects, ease * (1.1 - 0.1 * defects)), defects


def _hit_rate() -> float:
    """Return the share of defects found: ease has the mean 2/3, and each number of defects is as frequent."""
    defects = np.arange(1, 5)
    return float(2 / 3 * (defects * (1.1 - 0.1 * defects)).sum() / defects.sum())


def losses(draw: Draw, images: int, of: str) -> Found:
    """Pixel AP lost by division, naming and scores: n good and n defective images of 16 regions.

    Answers "perfect" name every defective region and nothing else, with its fraction of defective pixels as its score.
    """
    steps = loss_steps("pixel_ap", _by_step(draw, images, of))
    for step, truth in zip(steps[1:], _lost(of), strict=True):
        yield f"pixel AP lost by {step.step}", _measured(step.lost), truth


@cache
def _lost(of: str) -> list[float]:
    """Return what is lost on many images."""
    found = loss_steps("pixel_ap", _by_step(np.random.default_rng(1), 4000, of, resamples=0))
    return [0.0 if one.lost.value is None else one.lost.value for one in found[1:]]


def _by_step(draw: Draw, images: int, of: str, resamples: int = RESAMPLES) -> dict[Any, dict[str, Estimate]]:
    """Return the estimate of pixel AP of each step."""
    labels = np.arange(2 * images) < images
    regions = Regions.from_labels(np.arange(1, 17).reshape(4, 4).repeat(6, axis=0).repeat(6, axis=1))
    histograms: dict[str, list[ScoreHistogram]] = {}
    for label in labels:
        mask = np.zeros((24, 24), dtype=bool)
        if label:
            height, width, top, left = *draw.integers(3, 13, 2), *draw.integers(0, 12, 2)
            mask[top : top + height, left : left + width] = True
        counts = count_cells(regions.cells, mask, regions.n_cells)
        for step, scores in loss_maps(regions, mask, _named(draw, regions, mask, of)).items():
            histograms.setdefault(step, []).append(histogram_of_cells(counts, scores))
    return {step: _estimates(labels, ScoreHistograms.of(each), resamples) for step, each in histograms.items()}


def _named(draw: Draw, regions: Regions, mask: np.ndarray, of: str) -> Mapping[int, float]:
    """Return the scores of the regions that an answer names."""
    shares = regions.pool(mask.astype(np.float64))
    if of == "perfect":
        return {at + 1: float(share) for at, share in enumerate(shares) if share > 0}
    # Images differ in how well their defect is seen; a wrong region is named now and then.
    chance = np.where(shares > 0, np.clip(draw.beta(3, 1) * (0.4 + shares), 0, 1), 0.03)
    chosen = np.flatnonzero(draw.random(shares.size) < chance)
    scores = np.clip(np.round(10 * (0.4 + 0.4 * shares + draw.normal(0, 0.2, shares.size))), 1, 10) / 10
    return {int(at) + 1: float(scores[at]) for at in chosen}


def _estimates(labels: np.ndarray, histograms: ScoreHistograms, resamples: int) -> dict[str, Estimate]:
    images = CategoryImages(labels, labels * 1.0, histograms)
    ap = pixel_metrics_from_histograms(histograms, 0.3).ap
    return {"one": estimate_category(images, {"pixel_ap": ap}, resamples, "one")["pixel_ap"]}


def _measured(number: Number) -> Measured:
    return Measured(number.value, number.interval, number.reason)


def corruptions(draw: Draw, images: int, categories: int) -> Found:
    """Image AUROC falls from 0.95 to 0.75 over five severities; an image is as hard under all of them."""
    aurocs = np.linspace(0.95, 0.75, 6)
    readings = _readings(draw, images, categories, aurocs)
    severity = np.arange(6) - 2.5
    slope = severity / (severity @ severity)
    against_base = np.append(1.0, np.full(5, -0.2))
    for name, weights in (("change per severity", slope), ("drop", against_base)):
        found = auroc_contrast(readings, range(6), weights.tolist())
        yield f"image AUROC: {name}", _measured(found), float(weights @ aurocs)


def _readings(draw: Draw, images: int, categories: int, aurocs: Sequence[float]) -> Any:
    """Return scores under conditions of these AUROCs, which share half of their variance."""
    labels = np.tile(np.arange(2 * images) < images, categories)
    shifts = np.sqrt(2) * ndtri(np.asarray(aurocs)) * labels[:, None]
    noise = draw.normal(size=(labels.size, 1)) + draw.normal(size=(labels.size, len(aurocs)))
    names = np.repeat([f"category {at}" for at in range(categories)], 2 * images)
    return SimpleNamespace(
        labels=labels, categories=names, scores=ndtr(noise / np.sqrt(2) + shifts), parts=[""] * labels.size
    )


def family(draw: Draw, images: int, of: str) -> Found:
    """Twelve ways of asking against one base; the intervals that hold together must all contain their truth."""
    if of == "shifts":
        base, effects = draw.normal(0.5, 0.2, (images, 1)), np.linspace(-0.05, 0.05, 12)
        moved = base + effects + draw.normal(0, 0.1, (images, 12))
        truths = effects.tolist()
        numbers = [Number.of(paired_shift(one, base[:, 0])) for one in moved.T]
    elif of == "image AUROC":
        aurocs = np.append(0.85, np.linspace(0.8, 0.9, 12))
        readings = _readings(draw, images // 2, 1, aurocs)
        numbers = [auroc_change(readings, column) for column in range(1, 13)]
        truths = (aurocs[1:] - 0.85).tolist()
    else:
        chance = draw.beta(0.25, 0.25, (images, 1))
        answers = draw.random((images, 13)) < chance
        numbers = [Number.of(repeats(answers[:, [0, at]], 1).flip_rate) for at in range(1, 13)]
        truths = [1 / 6] * 12
    found = simultaneous([Change("", number, images) for number in numbers])
    yield f"12 {of} together", _nearest_to_a_miss([one.number for one in found], truths), 0.0


def _nearest_to_a_miss(numbers: Sequence[Number], truths: Sequence[float]) -> Measured:
    """Return, minus its truth, the number whose interval misses its truth by most, or contains it most narrowly."""
    moved = [
        Measured(one.value - truth, (one.interval[0] - truth, one.interval[1] - truth))
        for one, truth in zip(numbers, truths, strict=True)
        if one.value is not None and one.interval is not None
    ]
    if len(moved) < len(numbers):
        return Measured(None, None, "one of them has no interval")
    return max(moved, key=lambda one: max(one.interval[0], -one.interval[1]))  # type: ignore[index]


def two_studies(draw: Draw, images: int) -> Found:
    """Two models, asked three times each about the same images; the second one's scores vary half as much again."""
    centre = draw.normal(0.5, 0.2, (images, 1))
    scores = [centre + draw.normal(0, sd, (images, 3)) for sd in (0.1, 0.15)]
    names, labels = ("first", "second", "third"), np.arange(images) % 2 > 0
    answers = PairedAnswers(
        (_runs(names, scores[0]), _runs(names, scores[1])), names, labels, np.full(images, "one"), ("",) * images
    )
    flips = answers.flips([names, names], [0.5, 0.5], label=None).difference
    yield "difference of two studies' flip rates", _measured(flips), _flips(0.1) - _flips(0.15)
    yield "difference of two studies' SD of score", _measured(answers.spread([names, names]).difference), -0.05


def _runs(names: Sequence[str], scores: np.ndarray) -> dict[str, Any]:
    """Return what a comparison reads of runs, one for each column of the scores."""
    records = [[SimpleNamespace(image_score=score) for score in column] for column in scores.T.tolist()]
    return {name: SimpleNamespace(predictions=one) for name, one in zip(names, records, strict=True)}


@cache
def _flips(sd: float) -> float:
    """Return the probability that two answers lie on both sides of 0.5: centres are normal around it, SD 0.2."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    above = ndtr(0.2 * nodes / sd)
    return float(weights @ (2 * above * (1 - above)) / weights.sum())


def costs(draw: Draw, images: int) -> Found:
    """A fixed price of the question, and answers whose length is log-normal, SD 0.5 of its logarithm."""
    values = 0.01 + 0.01 * draw.lognormal(0, 0.5, (images, 1))
    yield "USD an image", _measured(Costs(values, ("",)).mean(0)), 0.01 + 0.01 * float(np.exp(0.125))
