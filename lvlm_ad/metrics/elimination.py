"""Which of several models is best, found by asking fewer and fewer of them about more and more images.

Models are compared several times: in each round on more images, and only those that may still be the best at their
price. This is best-arm identification by elimination (Even-Dar, Mannor and Mansour, J. Mach. Learn. Res. 7:1079-1105,
2006) on paired differences of the mean image AUROC.

The error of 5 % is spent in equal parts (Bonferroni) on every round and on every rival of the best model. Only
differences between the best model and another one can lead to a wrong choice, so these are J - 1 for J models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import ndtri

from lvlm_ad.metrics.differences import mean_auroc_difference
from lvlm_ad.metrics.intervals import Z
from lvlm_ad.metrics.ranks import auroc_rows, compare_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Drop", "Race", "ScoreTable", "after_round", "choice", "critical_z", "difference_bounds", "values_of"]

_LEVEL = 0.05
"""The probability that the choice is worse than it is said to be."""

_FEWEST = 2
"""Images of each class without which a category has no interval."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The answers of J models about the same n images.

    Attributes:
        labels: bool ``(n,)``, True if anomalous.
        categories: str ``(n,)``; the image AUROC is the mean over categories.
        scores: float64 ``(J, n)``, in 0..1; NaN where a model gave no usable answer.
        objects: intp ``(n,)``, which object each image shows; None: each image is by itself.
    """

    labels: NDArray[np.bool_]
    categories: NDArray[np.str_]
    scores: NDArray[np.float64]
    objects: NDArray[np.intp] | None = None

    def parts(self, models: Sequence[int]) -> list[NDArray[np.intp]]:
        """Return the images of each category that all of some models answered.

        Args:
            models: one or more of them.

        Returns:
            intp arrays of indices; categories with fewer than 2 such good or 2 such anomalous images are left out.
        """
        known = ~np.isnan(self.scores[list(models)]).any(axis=0)
        groups = [np.flatnonzero(known & (self.categories == name)) for name in np.unique(self.categories)]
        return [images for images in groups if min(self.labels[images].sum(), (~self.labels[images]).sum()) >= _FEWEST]

    def objects_of(self, images: NDArray[np.intp]) -> NDArray[np.intp] | None:
        """Return which object each of some images shows, numbered from 0; None: each image is by itself."""
        return None if self.objects is None else np.unique(self.objects[images], return_inverse=True)[1]


@dataclass(frozen=True)
class Drop:
    """Why a model is asked no further.

    Attributes:
        model: its number.
        reason: "worse": surely worse than ``by``; "dearer": it costs as much as ``by`` or more, and is surely not
            better by more than the margin.
        by: the other model.
        round: in which round, from 1.
    """

    model: int
    reason: Literal["worse", "dearer"]
    by: int
    round: int


@dataclass(frozen=True, eq=False)
class Race:
    """What is known after some rounds.

    Attributes:
        bounds: float64 ``(J, J)`` in -1..1: ``bounds[j, k]`` is an upper bound of AUROC_j - AUROC_k. For the truly best
            model, all its bounds hold in all rounds with a probability of 95 %.
        left: the models that remain and are still asked, ascending.
        drops: the others, in the order in which they were dropped.
        rounds: how many rounds there were.
    """

    bounds: NDArray[np.float64]
    left: tuple[int, ...]
    drops: tuple[Drop, ...] = ()
    rounds: int = 0

    @classmethod
    def start(cls, models: int) -> Race:
        """Return the state before the first round, for 1 or more models."""
        bounds = np.ones((models, models))
        np.fill_diagonal(bounds, 0.0)
        return cls(bounds, tuple(range(models)))

    def without(self, model: int) -> Race:
        """Return the state without a model that cannot be asked: the others are no longer compared with it."""
        bounds = self.bounds.copy()
        bounds[model] = -1.0
        return replace(self, bounds=bounds, left=tuple(one for one in self.left if one != model))

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Bool ``(J,)``: which models may be the best, whether or not they are still asked."""
        return np.asarray((self.bounds >= 0).all(axis=1))

    def loss(self, model: int) -> float:
        """Return an upper bound, in 0..1, of how much worse a model is than the best one."""
        return float(self.bounds[self.possible, model].max(initial=0.0))


def critical_z(models: int, rounds: int) -> float:
    """Return how many standard errors a bound lies from its difference: the error split by Bonferroni.

    Args:
        models: J, 1 or more.
        rounds: how many there may be, 1 or more.

    Example:
        >>> round(critical_z(2, 1), 2), round(critical_z(6, 7), 2)
        (1.64, 2.98)
    """
    return float(ndtri(1 - _LEVEL / (max(models - 1, 1) * rounds)))


def difference_bounds(table: ScoreTable, first: int, second: int, z: float) -> tuple[float, float]:
    """Return upper bounds of first minus second, and of second minus first, in mean image AUROC.

    The 95 % interval of ``mean_auroc_difference`` is widened to z standard errors. A bound below 0 says that a model is
    surely worse. As for ranks, it needs |z0| > 1.96 as well; with less, it is 1.0, so that few images that happen to
    agree prove nothing.

    Args:
        table: the answers.
        first: a model.
        second: another one. They are compared on the images that both answered.
        z: see ``critical_z``.

    Returns:
        Two bounds in -1..1; 1.0 and 1.0 where there are too few images.

    Example:
        >>> draw, labels = np.random.default_rng(0), np.arange(200) % 2 == 0
        >>> scores = np.stack([labels * size + draw.normal(size=200) for size in (2.0, 0.5)])
        >>> table = ScoreTable(labels, np.full(200, "bolt"), scores)
        >>> [round(bound, 2) for bound in difference_bounds(table, 0, 1, critical_z(2, 1))]
        [0.35, -0.2]
    """
    groups = table.parts([first, second])
    if not groups:
        return 1.0, 1.0
    labels = [table.labels[images] for images in groups]
    ours, theirs = ([table.scores[one, images] for images in groups] for one in (first, second))
    objects = [table.objects_of(images) for images in groups]
    found = mean_auroc_difference(labels, ours, theirs, objects)
    if found.interval is None or found.difference is None:
        return 1.0, 1.0
    low, high = (found.difference + z / Z * (end - found.difference) for end in found.interval)
    bounds = min(high, 1.0), min(-low, 1.0)
    if min(bounds) < 0:
        categories = [(label, np.stack(pair)) for label, *pair in zip(labels, ours, theirs, strict=True)]
        if abs(compare_pairs(auroc_rows(categories, 1, objects)).z0[0, 1]) <= Z:
            # An interval that is not trusted to say "worse" does not say "within the margin" either.
            return (1.0, bounds[1]) if bounds[0] < 0 else (bounds[0], 1.0)
    return bounds


def after_round(race: Race, table: ScoreTable, prices: Sequence[float | None], margin: float, z: float) -> Race:
    """Compare the models that remain, and drop those that need not be asked any further.

    A model m is dropped for another remaining model k if k

    - is surely better: bounds[m, k] < 0, or
    - costs as much or less, and is surely not worse by more than the margin: bounds[m, k] <= margin.

    One condition is on both. For every dropped model d that may still be the best: if bounds[d, m] <= margin, then
    bounds[d, k] <= margin, too. So where m is known to be within the margin of d, a remaining model still is.

    Args:
        race: what is known so far.
        table: the answers to all images asked so far.
        prices: of each model, USD an image; None: unknown, which is comparable with unknown prices alone.
        margin: differences up to this do not matter, in 0..1.
        z: see ``critical_z``.

    Returns:
        What is known then, one round later. A bound only becomes lower.

    Example:
        >>> draw, labels = np.random.default_rng(0), np.arange(200) % 2 == 0
        >>> scores = np.stack([labels * size + draw.normal(size=200) for size in (2.0, 0.5, 1.9)])
        >>> table = ScoreTable(labels, np.full(200, "bolt"), scores)
        >>> race = after_round(Race.start(3), table, [1.0, 0.1, 1.0], 0.02, critical_z(3, 1))
        >>> race.left, [(one.model, one.reason) for one in race.drops]
        ((0, 2), [(1, 'worse')])
    """
    bounds = race.bounds.copy()
    for position, one in enumerate(race.left):
        for other in race.left[position + 1 :]:
            found = difference_bounds(table, one, other, z)
            bounds[one, other] = min(bounds[one, other], found[0])
            bounds[other, one] = min(bounds[other, one], found[1])
    race = replace(race, bounds=bounds, rounds=race.rounds + 1)
    values = values_of(table, race.left)
    for model in sorted(race.left, key=lambda one: (values[one], -one)):
        drop = _drop(race, model, prices, margin)
        if drop is not None:
            race = replace(race, left=tuple(one for one in race.left if one != model), drops=(*race.drops, drop))
    return race


def _drop(race: Race, model: int, prices: Sequence[float | None], margin: float) -> Drop | None:
    """Return why a model need not be asked any further; None if it must."""
    dropped = [one.model for one in race.drops if race.possible[one.model]]
    within = [one for one in dropped if race.bounds[one, model] <= margin]
    for other in sorted(race.left, key=lambda one: race.bounds[model, one]):
        if other == model or any(race.bounds[one, other] > margin for one in within):
            continue
        if race.bounds[model, other] < 0:
            return Drop(model, "worse", other, race.rounds)
        if race.bounds[model, other] <= margin and _costs_no_more(prices[other], prices[model]):
            return Drop(model, "dearer", other, race.rounds)
    return None


def _costs_no_more(first: float | None, second: float | None) -> bool:
    return first is second is None or (first is not None and second is not None and first <= second)


def values_of(table: ScoreTable, models: Sequence[int]) -> dict[int, float]:
    """Return each model's mean image AUROC on the images that all of these models answered.

    Args:
        table: the answers.
        models: one or more of them.

    Returns:
        Model -> the mean over categories, in 0..1; 0.5, a guess, where no category has enough images.

    Example:
        >>> labels = np.array([True, True, False, False])
        >>> scores = np.array([[0.9, 0.8, 0.2, 0.1], [0.9, 0.3, 0.5, 0.1]])
        >>> values_of(ScoreTable(labels, np.full(4, "bolt"), scores), [0, 1])
        {0: 1.0, 1: 0.75}
    """
    groups = table.parts(models)
    if not groups:
        return dict.fromkeys(models, 0.5)
    rows = auroc_rows([(table.labels[images], table.scores[list(models)][:, images]) for images in groups], 1)
    return dict(zip(models, rows.values.mean(axis=1).tolist(), strict=True))


def choice(race: Race, table: ScoreTable, prices: Sequence[float | None], margin: float) -> int:
    """Return the model to take: the cheapest of those whose loss is surely within the margin, else the best by value.

    If the price of one of them is unknown, it is the one of them with the highest image AUROC. Equal ones: the cheaper.

    Args:
        race: what is known; at least one model remains.
        table: the answers.
        prices: as for ``after_round``.
        margin: as for ``after_round``.

    Returns:
        The number of one of the models that remain.

    Example:
        >>> labels = np.array([True, True, False, False])
        >>> scores = np.array([[0.9, 0.8, 0.2, 0.1], [0.9, 0.3, 0.5, 0.1]])
        >>> choice(Race.start(2), ScoreTable(labels, np.full(4, "bolt"), scores), [2.0, 1.0], 0.02)  # not sure yet
        0
    """
    values = values_of(table, race.left)
    within = [one for one in race.left if race.loss(one) <= margin]
    unknown = any(prices[one] is None for one in within)
    cost = [float("inf") if price is None else price for price in prices]
    if unknown or not within:
        return max(within or race.left, key=lambda one: (values[one], -cost[one]))
    return min(within, key=lambda one: (cost[one], -values[one]))
