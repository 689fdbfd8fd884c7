"""Simulated test sets, what is true of them, and the rule for intervals of older versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from lvlm_ad.evaluate.images import Images
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.curves import Steps, ap, aupro, auroc, f1_max, steps_of
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Z = 1.959964
LEVELS = 11
"""Image scores in tenths: 0, 0.1, .. 1."""

_EDGES = np.concatenate([[-np.inf], (np.arange(LEVELS - 1) + 0.5 - 2) / 3, [np.inf]])
"""Between which normal numbers a score of so many tenths lies."""


def shift_of(value: float) -> float:
    """Return how far the scores of defective images lie above good ones, in standard deviations, for an AUROC."""
    return float(np.sqrt(2) * ndtri(value))


def tenths(normal: Array) -> Array:
    """Turn normal numbers into scores of a language model: whole tenths of 0..1, many of them 0 and 1."""
    return np.clip(np.round(3 * normal + 2), 0, 10) / 10


def drawn_scores(draw: np.random.Generator, value: float, shape: tuple[int, ...], defective: int) -> Array:
    """Draw scores ``(..., n)`` of an AUROC of about ``value``; the first ``defective`` of n images have a defect."""
    kind = np.arange(shape[-1]) < defective
    return tenths(draw.normal(size=shape) + shift_of(value) * kind)


def paired_scores(draw: np.random.Generator, values: list[float], sizes: list[tuple[int, int]]) -> list[tuple]:
    """Draw for each category labels ``(n,)`` and scores ``(J, n)`` of J rows that share half of their variance."""
    categories = []
    for defective, good in sizes:
        labels = np.arange(defective + good) < defective
        shared, own = draw.normal(size=labels.size), draw.normal(size=(len(values), labels.size))
        shifts = np.array([shift_of(value) for value in values])[:, None]
        categories.append((labels, tenths(np.sqrt(0.5) * (shared + own) + shifts * labels)))
    return categories


def truth_of(value: float, prevalence: float = 0.5) -> dict[str, float]:
    """Return what AUROC, AP and F1-max are on infinitely many such images."""
    defective, good = (np.diff(ndtr(_EDGES - shift)) for shift in (shift_of(value), 0.0))
    counts = [np.round(share * 1e12).astype(np.int64) for share in (defective * prevalence, good * (1 - prevalence))]
    return metrics_of(steps_of(np.arange(LEVELS), *counts))


def metrics_of(steps: Steps) -> dict[str, float]:
    """Return the metrics of image scores."""
    return {"auroc": float(auroc(steps)), "ap": float(ap(steps)), "f1_max": float(f1_max(steps)[0])}


def old_draws(draw: np.random.Generator, labels: NDArray[np.bool_], scores: Array, resamples: int) -> dict[str, Array]:
    """Draw the metrics of stratified resamples of scores in tenths."""
    counts = [np.bincount(np.rint(10 * scores[kind]).astype(int), minlength=LEVELS) for kind in (labels, ~labels)]
    # Images are drawn with replacement: so are their scores. Highest score first.
    positives, negatives = (draw.multinomial(one.sum(), one / one.sum(), size=resamples)[:, ::-1] for one in counts)
    reached = negatives.cumsum(axis=1)
    steps = Steps(np.arange(LEVELS), positives, reached - negatives, reached, reached[:, -1])
    return {"auroc": auroc(steps), "ap": ap(steps), "f1_max": f1_max(steps)[0]}


def old_edge(metric: str, defective: int, good: int) -> float:
    """Return how near to 0 and 1 the older rule let a metric come."""
    parts = {"ap": defective * (defective + 1), "f1_max": 2 * defective + 1}.get(metric, defective * good)
    return 0.5 / max(2, parts)


def old_interval(point: float, draws: Array, edge: float) -> tuple[float, float]:
    """Return the interval of older versions: normal on log odds, of zero width if all resamples agree."""
    if not np.ptp(draws):
        return point, point
    odds = logit(np.clip([point, *draws], edge, 1 - edge))
    half = Z * float(odds[1:].std())
    return min(float(expit(odds[0] - half)), point), max(float(expit(odds[0] + half)), point)


_PIXELS = 100_000
_PIXEL_LEVELS = np.linspace(-3.0, 6.0, 20)
"""Between which normal numbers each of 21 pixel scores lies."""


def drawn_pixels(draw: np.random.Generator, defective: int, good: int, seen: int = 0) -> CategoryImages:
    """Draw images that differ in difficulty: image i shifts all its pixels by N(0, 0.5), its defect by N(2.5, 1) more.

    A defect, one region in each defective image, covers exp(N(-4, 1)) of it, at most nine tenths. With the same
    ``seen`` above 0, images have the same shifts and areas, and only their defects stand out differently.
    """
    images = np.random.default_rng(seen) if seen else draw
    histograms = []
    for index in range(defective + good):
        shift = images.normal(0, 0.5)
        area = int(_PIXELS * min(0.9, np.exp(images.normal(-4, 1)))) if index < defective else 0
        normal = _counted(_PIXELS - area, shift)
        anomalous = _counted(area, shift + draw.normal(2.5, 1))
        overlap = anomalous / max(1, anomalous.sum())
        scores = np.arange(_PIXEL_LEVELS.size + 1) / _PIXEL_LEVELS.size
        histograms.append(ScoreHistogram.of(scores, normal, anomalous, overlap, int(anomalous.any())))
    labels = np.arange(defective + good) < defective
    return CategoryImages(labels, labels * 1.0, ScoreHistograms.of(histograms))


def _counted(pixels: int, shift: float) -> NDArray[np.int64]:
    """Count pixels by score; each score has as many as it has on average."""
    reached = np.concatenate([[0.0], ndtr(_PIXEL_LEVELS - shift), [1.0]])
    return np.diff(np.round(pixels * reached).astype(np.int64))


def pixel_truth(draw: np.random.Generator, images: int) -> dict[str, float]:
    """Return the pixel metrics of many images, half of them defective."""
    steps = drawn_pixels(draw, images // 2, images // 2).histograms.steps()
    return {**metrics_of(steps), "aupro": float(aupro(steps, 0.3))}


def some_images(draw: np.random.Generator, defective: int, good: int, value: float) -> Images:
    """Draw a category with image scores in tenths, and pixels."""
    drawn = drawn_pixels(draw, defective, good)
    scores = drawn_scores(draw, value, (defective + good,), defective)
    return _images(drawn.labels, scores, list(drawn.histograms or ()))


def extreme_images(size: tuple[int, int], kind: str) -> Images:
    """Make a category whose scores and maps are all "right", all "wrong" or all "alike"."""
    labels = np.arange(sum(size)) < size[0]
    flip = {"right": labels, "wrong": ~labels, "alike": np.zeros_like(labels)}[kind]
    histograms = []
    for label in labels:
        normal, anomalous = (90, 10) if label else (100, 0)
        high = {"right": (0, 1), "wrong": (1, 0), "alike": (0, 0)}[kind]
        columns = [
            [count * (level == at) for level in (0, 1)] for count, at in zip((normal, anomalous), high, strict=True)
        ]
        overlap = np.array(columns[1]) / max(1, anomalous)
        histograms.append(ScoreHistogram.of(np.array([0.0, 1.0]), *map(np.array, columns), overlap, int(label)))
    return _images(labels, flip * 1.0, histograms)


def _images(labels: NDArray[np.bool_], scores: Array, histograms: list[ScoreHistogram | None]) -> Images:
    images = Images()
    for label, score, histogram in zip(labels, scores, histograms, strict=True):
        images.add(bool(label), float(score), histogram)
    return images
