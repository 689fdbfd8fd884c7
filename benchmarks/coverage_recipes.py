"""The recipes of ``coverage.py``: what is simulated, what is counted, and the range that it must lie in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
import simulated
from process import measured

from lvlm_ad.decisions import conformal
from lvlm_ad.evaluate.measure import measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.metrics import ranks
from lvlm_ad.metrics.bootstrap import (
    CategoryImages,
    bootstrap,
    draw_weights,
    metrics_from_counts,
    smoothed_bootstrap,
)
from lvlm_ad.metrics.differences import mean_auroc_difference, resampled_difference
from lvlm_ad.metrics.estimates import estimate_category, estimate_mean
from lvlm_ad.metrics.intervals import AurocInterval, Interval, Z, auroc_interval, mean_auroc_interval
from lvlm_ad.metrics.resampled_intervals import pixel_interval, smoothed_interval

Size = tuple[int, int]
Range = tuple[float, float]


class Result(NamedTuple):
    """What one setting of a recipe gave.

    Attributes:
        group: settings that are shown in one line.
        now: the share or number that is judged.
        before: the same by the rule of older versions.
        width: of the intervals, on average.
        width_before: likewise.
        error: the standard error of ``now``; 0 where nothing is drawn.
    """

    group: str
    now: float
    before: float | None = None
    width: float | None = None
    width_before: float | None = None
    error: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A simulation.

    Attributes:
        measure: from a random generator, the number of sets and a setting to results.
        settings: of the simulation.
        sets: simulated test sets a setting.
        quick: with ``--quick``.
        accept: the range of each result; by group if groups differ. A group without one is shown for comparison.
        mean: the range of the mean over results.
    """

    measure: Callable[..., Iterator[Result]]
    settings: Sequence[tuple]
    sets: int
    quick: int
    accept: Range | Mapping[str, Range]
    mean: Range | None = None


class Tally:
    """Counts which intervals contain the true value."""

    def __init__(self, truth: float) -> None:
        self.truth = truth
        self.held: list[bool] = []
        self.widths: list[float] = []

    def add(self, interval: Interval | None) -> None:
        """Add an interval; where there is none, nothing is claimed and nothing counted."""
        if interval is not None:
            self.held.append(interval[0] - 1e-12 <= self.truth <= interval[1] + 1e-12)
            self.widths.append(interval[1] - interval[0])

    @staticmethod
    def result(group: str, now: Tally, before: Tally) -> Result:
        """Return the shares and the mean widths."""
        means = (float(np.mean(one)) for one in (now.held, before.held, now.widths, before.widths))
        return Result(group, *means, error_of(sum(now.held), len(now.held)))


def error_of(successes: int, sets: int) -> float:
    """Return the standard error of a share, above 0 also if it is 0 or 1 (Agresti and Coull, 1998)."""
    share = (successes + 2) / (sets + 4)
    return float(np.sqrt(share * (1 - share) / (sets + 4)))


def auroc(draw: np.random.Generator, sets: int, categories: int, size: Size, value: float) -> Iterator[Result]:
    """Cover the mean image AUROC of categories alike."""
    now, before = (Tally(simulated.truth_of(value)["auroc"]) for _ in range(2))
    labels = np.arange(sum(size)) < size[0]
    for index in range(sets):
        scores = simulated.drawn_scores(draw, value, (categories, labels.size), size[0])
        found = [auroc_interval(labels, one) for one in scores]
        now.add(mean_of(found, size))
        if index < sets // 4 or sets < 400:  # noqa: PLR2004 - resampling is slow, and the older rule far off
            draws = np.mean([simulated.old_draws(draw, labels, one, 200)["auroc"] for one in scores], axis=0)
            point = float(np.mean([one.auroc for one in found]))
            before.add(simulated.old_interval(point, draws, simulated.old_edge("auroc", *size) / categories))
    yield Tally.result(f"{size[0]}+{size[1]}, K={categories}", now, before)


def mean_of(found: Sequence[AurocInterval], size: Size) -> Interval | None:
    """Return the interval of the mean over categories of one size."""
    aurocs, factors = [one.auroc or 0.0 for one in found], [one.factor for one in found]
    return mean_auroc_interval(aurocs, [size[0]] * len(found), [size[1]] * len(found), factors)


def difference(draw: np.random.Generator, sets: int, categories: int, size: Size, pair: Range) -> Iterator[Result]:
    """Cover the difference of two rows' mean image AUROC; the older rule was a paired bootstrap."""
    truths = [simulated.truth_of(value)["auroc"] for value in pair]
    now, before = Tally(truths[0] - truths[1]), Tally(truths[0] - truths[1])
    for index in range(sets):
        sampled = simulated.paired_scores(draw, list(pair), [size] * categories)
        labels, scores = [one for one, _ in sampled], [one for _, one in sampled]
        found = mean_auroc_difference(labels, [one[0] for one in scores], [one[1] for one in scores])
        now.add(found.interval)
        if index < sets // 4 or sets < 400:  # noqa: PLR2004 - as above
            half = simulated.Z * np.mean([_paired_draws(draw, *one) for one in sampled], axis=0).std()
            before.add((found.difference - half, found.difference + half))
    yield Tally.result(f"{size[0]}+{size[1]}, K={categories}", now, before)


def other_differences(draw: np.random.Generator, sets: int, size: Size) -> Iterator[Result]:
    """Cover the difference of two equally good rows in metrics that are resampled; before: a paired bootstrap."""
    names = {"image_ap": "AP", "image_f1_max": "F1-max", "pixel_auroc": "pixel AUROC", "pixel_ap": "pixel AP"}
    now, before = ({metric: Tally(0.0) for metric in names} for _ in range(2))
    for index in range(sets):
        (labels, scores), *_ = simulated.paired_scores(draw, [0.85, 0.85], [size])
        pair = []
        for own in scores:
            images = replace(simulated.drawn_pixels(draw, *size, seen=index + 1), scores=own, labels=labels)
            pair.append(estimate_category(images, metrics_from_counts(images), 300, str(index)))
        for metric in names:
            one, other = (estimates[metric] for estimates in pair)
            now[metric].add(resampled_difference(metric, {"a": one}, {"a": other})[0])
            half = simulated.Z * float((one.draws - other.draws).std())
            before[metric].add((one.value - other.value - half, one.value - other.value + half))
    for metric, name in names.items():
        yield Tally.result(f"{name}, {size[0]}+{size[1]}", now[metric], before[metric])


def _paired_draws(draw: np.random.Generator, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    weights = draw_weights(labels, 200, draw)
    positives, negatives = scores[:, labels, None], scores[:, None, ~labels]
    won = (positives > negatives) + (positives == negatives) / 2
    lead = (won[0] - won[1]) / won[0].size
    return np.einsum("ri,ij,rj->r", weights[:, labels], lead, weights[:, ~labels], optimize=True)


def image_metrics(draw: np.random.Generator, sets: int, size: Size, value: float) -> Iterator[Result]:
    """Cover image AP and F1-max of one category."""
    truth = simulated.truth_of(value)
    names = {"ap": "AP", "f1_max": "F1-max"}
    now, before = ({metric: Tally(truth[metric]) for metric in names} for _ in range(2))
    labels = np.arange(sum(size)) < size[0]
    for index in range(sets):
        scores = simulated.drawn_scores(draw, value, labels.shape, size[0])
        images = CategoryImages(labels, scores, None)
        points = metrics_from_counts(images)
        smoothed = smoothed_bootstrap(images, 300, index)
        plain = simulated.old_draws(draw, labels, scores, 300)
        for metric in names:
            point = points[f"image_{metric}"] or 0.0
            now[metric].add(smoothed_interval(metric, point, smoothed[metric], plain[metric], size[0])[0])
            before[metric].add(simulated.old_interval(point, plain[metric], simulated.old_edge(metric, *size)))
    for metric, name in names.items():
        yield Tally.result(f"{name}, {size[0]}+{size[1]}", now[metric], before[metric])


def means_of_image_metrics(draw: np.random.Generator, sets: int, size: Size, value: float) -> Iterator[Result]:
    """Cover the mean image AP and F1-max of 15 categories."""
    truth = simulated.truth_of(value)
    names = {"ap": "AP", "f1_max": "F1-max"}
    now, before = ({metric: Tally(truth[metric]) for metric in names} for _ in range(2))
    labels = np.arange(sum(size)) < size[0]
    for index in range(sets):
        found = {}
        for category in range(15):
            scores = simulated.drawn_scores(draw, value, labels.shape, size[0])
            images = CategoryImages(labels, scores, None)
            found[str(category)] = estimate_category(images, metrics_from_counts(images), 200, f"{index}/{category}")
        for metric in names:
            estimates = {category: one[f"image_{metric}"] for category, one in found.items()}
            mean = estimate_mean(f"image_{metric}", estimates)
            now[metric].add(mean.interval)
            draws = np.mean([one.draws for one in estimates.values()], axis=0)
            before[metric].add(simulated.old_interval(mean.value, draws, simulated.old_edge(metric, *size) / 15))
    for metric, name in names.items():
        yield Tally.result(f"{name}, {size[0]}+{size[1]}, K=15", now[metric], before[metric])


def pixels(draw: np.random.Generator, sets: int, size: Size) -> Iterator[Result]:
    """Cover pixel AUROC, AP, F1-max and AUPRO of one category."""
    names = {"auroc": "AUROC", "ap": "AP", "f1_max": "F1-max", "aupro": "AUPRO"}
    truth = simulated.pixel_truth(np.random.default_rng(0), 60_000)
    now, before = ({metric: Tally(truth[metric]) for metric in names} for _ in range(2))
    for index in range(sets):
        images = simulated.drawn_pixels(draw, *size)
        points = metrics_from_counts(images)
        samples = bootstrap(images, points, 300, index)
        defects = [one.anomalous.sum() for one in images.histograms or () if one.n_regions]
        for metric in names:
            point, draws = points[f"pixel_{metric}"] or 0.0, samples[f"pixel_{metric}"]
            weights = np.ones(size[0]) if metric == "aupro" else defects
            now[metric].add(pixel_interval(point, draws, weights)[1])
            before[metric].add(simulated.old_interval(point, draws, 1e-9))
    for metric, name in names.items():
        yield Tally.result(f"{name}, {size[0]}+{size[1]}", now[metric], before[metric])


def told_apart(draw: np.random.Generator, sets: int, values: list[float], sizes: list[Size]) -> Iterator[Result]:
    """Count the sets in which any two equally good rows are separated; before: intervals that do not overlap."""
    found = [_separated(draw, values, sizes) for _ in range(sets)]
    now, _, before = (sum(one[rule] > 0 for one in found) for rule in range(3))
    group = f"{len(sizes)} x ({sizes[0][0]}+{sizes[0][1]}), AUROC {values[0]:g}"
    yield Result(group, now / sets, before / sets, error=error_of(now, sets))


def pairs_found(draw: np.random.Generator, sets: int, values: list[float], sizes: list[Size]) -> Iterator[Result]:
    """Count the separated pairs of unequal rows: by paired differences, and by intervals that do not overlap."""
    pairs = len(values) * (len(values) - 1) // 2
    found = np.array([_separated(draw, values, sizes) for _ in range(sets)]) / pairs
    before = float(found[:, 2].mean())
    for group, shares in zip(("paired evidence", "intervals that do not overlap"), found.T, strict=False):
        yield Result(group, float(shares.mean()), before, error=float(shares.std() / np.sqrt(sets)))


def _separated(draw: np.random.Generator, values: list[float], sizes: list[Size]) -> tuple[int, int, int]:
    """Count separated pairs: as ranks do, by intervals that do not overlap, and by those of the older rule."""
    categories = simulated.paired_scores(draw, values, sizes)
    intervals, older = [], []
    for row in range(len(values)):
        found = [auroc_interval(labels, scores[row]) for labels, scores in categories]
        defective, good = zip(*sizes, strict=True)
        ends = mean_auroc_interval([one.auroc or 0.0 for one in found], defective, good, [one.factor for one in found])
        intervals.append(ends or (0.0, 1.0))
        draws = [simulated.old_draws(draw, labels, scores[row], 300)["auroc"] for labels, scores in categories]
        edge = min(simulated.old_edge("auroc", *size) for size in sizes) / len(sizes)
        older.append(simulated.old_interval(float(np.mean([one.auroc for one in found])), np.mean(draws, axis=0), edge))
    sure = int(ranks.surely_better(ranks.auroc_rows(categories)).sum()) if ranks.z0_max(sizes) > Z else 0
    return sure, _apart(intervals), _apart(older)


def _apart(intervals: Sequence[Interval]) -> int:
    return sum(one[0] > other[1] for one, other in product(intervals, repeat=2))


def false_alarms(draw: np.random.Generator, sets: int) -> Iterator[Result]:
    """Count the good images that alarm, each judged by 19 good references of its own, at alpha 0.05."""
    scores = draw.normal(size=(sets, 20))
    for group, values in (("normal scores", scores), ("scores in tenths", np.clip(np.round(3 * scores), 0, 10) / 10)):
        alarms = sum(bool(conformal(one[1:], 0.05).alarms(float(one[0]))) for one in values)
        yield Result(group, alarms / sets, error=error_of(alarms, sets))


def false_alarms_of_lines(draw: np.random.Generator, lines: int) -> Iterator[Result]:
    """Average the false alarms of lines that each choose a threshold from 60 references of their own, at alpha 0.05."""
    scores = draw.normal(size=(lines, 1060))
    for group, values in (("normal scores", scores), ("scores in tenths", np.clip(np.round(3 * scores), 0, 10) / 10)):
        rates = [np.mean(conformal(one[:60], 0.05).alarms(one[60:])) for one in values]
        yield Result(group, float(np.mean(rates)), error=float(np.std(rates) / np.sqrt(lines)))


def jump(_: np.random.Generator, __: int) -> Iterator[Result]:
    """One wrong image among 40+40, all others right."""
    labels = np.arange(80) < 80 / 2
    scores = np.where(labels, 0.9, 0.1)
    right = auroc_interval(labels, scores)
    scores[0] = 0.0
    wrong = auroc_interval(labels, scores)
    draws = simulated.old_draws(np.random.default_rng(0), labels, scores, 1000)["auroc"]
    low, high = simulated.old_interval(wrong.auroc or 0.0, draws, simulated.old_edge("auroc", 40, 40))
    first, then = np.array([right.interval, wrong.interval])
    yield Result("the lower end moves by", first[0] - then[0], 1 - low)
    yield Result("the interval's width", np.ptp(then), high - low)


def zero_width(_: np.random.Generator, __: int) -> Iterator[Result]:
    """Count intervals of zero width: of every metric, on few and many images, all right, all wrong and all alike."""
    widths, old_widths = [], []
    for size, kind in product([(2, 2), (3, 4), (5, 5), (1, 9), (40, 40)], ("right", "wrong", "alike")):
        images = simulated.extreme_images(size, kind)
        result = measure_category(images, "zero", "a", 1000)
        ends = [*result.metrics["interval"].values(), *summary({"a": result, "b": result})["interval"].values()]
        widths += [high - low for low, high in ends]
        old_widths += [np.ptp(one.draws) for one in result.estimates.values()]
    shares = [sum(width <= 0 for width in of) / len(of) for of in (widths, old_widths)]
    yield Result("share of intervals of zero width", *shares)


def monotone_mean(draw: np.random.Generator, __: int) -> Iterator[Result]:
    """Divide the width of the mean of two categories with the same images by the narrower one's width."""
    for value in (0.8, 0.95, 0.99):
        images = simulated.some_images(draw, 12, 12, value)
        results = {name: measure_category(images, "zero", name, 1000) for name in ("a", "b")}
        mean = summary(results)["interval"]
        for metric in results["a"].metrics["interval"]:
            widths = [np.ptp(one.metrics["interval"][metric]) for one in results.values()]
            edge = simulated.old_edge(metric.partition("_")[2], 12, 12)
            draws = [one.estimates[metric].draws for one in results.values()]
            point = results["a"].metrics[metric]
            older = [np.ptp(simulated.old_interval(point, one, edge)) for one in draws]
            both = np.ptp(simulated.old_interval(point, np.mean(draws, axis=0), edge / 2))
            before = float(both / min(older)) if min(older) else None
            yield Result("width, divided by a category's", float(np.ptp(mean[metric]) / min(widths)), before)


def largest_of_many_pairs(draw: np.random.Generator, rows: int) -> Iterator[Result]:
    """Time the critical value of the differences of many rows, on one core, and its memory."""
    labels = np.arange(200) < 200 / 2
    scores = simulated.drawn_scores(draw, 0.9, (rows, labels.size), labels.sum())
    prepared = ranks.auroc_rows([(labels, scores)])
    variance = ranks.compare_pairs(prepared).variance
    took = measured(lambda: ranks.critical_value(prepared, variance))
    yield Result("seconds", took.cpu)
    yield Result("MB", 1000 * took.growth)


SMALL, MEDIUM, EQUAL = [(2, 2), (5, 5), (20, 20)], [(5, 5), (10, 10), (20, 20)], [0.85] * 8
SPREAD = [0.70, 0.75, 0.80, 0.85, 0.88, 0.91, 0.94, 0.97]
VALUES = (0.7, 0.85, 0.95, 0.99)

RECIPES: Mapping[str, Recipe] = {
    "coverage/auroc": Recipe(auroc, [*product((1, 5, 15), SMALL, VALUES)], 1000, 100, (0.93, 1.0), (0.95, 0.99)),
    "coverage/auroc_large": Recipe(auroc, [*product((1, 5, 15), [(200, 100)], (0.8, 0.95))], 1000, 100, (0.93, 0.97)),
    "zero_width": Recipe(zero_width, [()], 1, 1, (0, 0)),
    "jump": Recipe(jump, [()], 1, 1, {"the lower end moves by": (0, 0.12), "the interval's width": (0, 0.2)}),
    "monotone_mean": Recipe(monotone_mean, [()], 1, 1, (0, 0.999)),
    "coverage/ap_f1": Recipe(image_metrics, [*product(MEDIUM, VALUES)], 1000, 100, (0.84, 1.0), (0.94, 1.0)),
    "coverage/mean_ap_f1": Recipe(
        means_of_image_metrics, [*product([(5, 5), (20, 20)], (0.97, 0.99))], 300, 20, (0.86, 1.0), (0.92, 1.0)
    ),
    "coverage/pixel": Recipe(pixels, [((n, n),) for n in (3, 5, 10, 20)], 1000, 100, (0.86, 1.0), (0.91, 0.99)),
    "coverage/difference": Recipe(
        difference,
        [
            (k, (n, n), pair)
            for (k, n), pair in product(
                [(1, 2), (1, 5), (1, 10), (1, 20), (15, 2), (15, 20)], [(0.85, 0.85), (0.95, 0.95), (0.85, 0.95)]
            )
        ],
        1000,
        100,
        (0.93, 1.0),
        (0.95, 1.0),
    ),
    "coverage/difference_others": Recipe(
        other_differences, [((n, n),) for n in (5, 10, 20)], 1000, 100, (0.93, 1.0), (0.95, 1.0)
    ),
    "fwer": Recipe(
        told_apart,
        [(EQUAL, [(n, n)] * k) for k, n in ((1, 2), (1, 10), (1, 40), (5, 5), (15, 5))],
        300,
        60,
        (0, 0.06),
    ),
    "power": Recipe(
        pairs_found,
        [(SPREAD, [(20, 20)] * 15)],
        150,
        20,
        {"paired evidence": (0.80, 0.88)},
    ),
    "conformal": Recipe(
        false_alarms, [()], 20_000, 5_000, {"normal scores": (0.045, 0.055), "scores in tenths": (0, 0.05)}
    ),
    "conformal/lines": Recipe(false_alarms_of_lines, [()], 200, 200, (0, 0.05)),
    "max_t_cost": Recipe(largest_of_many_pairs, [()], 1000, 1000, {"seconds": (0, 15), "MB": (0, 100)}),
}
