"""The Pareto front of a metric over a cost, and what each step along it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.metrics.front import CHANCE, front, front_probability, possible_front
from lvlm_ad.studies.efficiency_record import FrontFigures, FrontRow, FrontStep
from lvlm_ad.studies.efficiency_rows import IMAGE
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvlm_ad.studies.costs import Costs
    from lvlm_ad.studies.efficiency_record import Cost, Metric
    from lvlm_ad.studies.efficiency_rows import Compared, Quality

__all__ = ["cost_per_point", "front_figures"]

_OFF, _ON = 0.05, 0.95
"""A probability of being on the front below the first is off, above the second on."""

_UNKNOWN_CHANCE = "a guess has the pixel AP of the share of defective pixels, which differs between data sets"


def front_figures(
    names: Sequence[str],
    quality: Quality,
    compared: Compared,
    metric: Metric,
    cost: Cost,
    costs: Costs,
) -> FrontFigures:
    """Compute the front of a metric over a cost.

    Args:
        names: of all conditions of the readings, by column.
        quality: the conditions' metrics.
        compared: the conditions, compared in this metric.
        metric: its name.
        cost: the name of the cost.
        costs: of every image.

    Returns:
        A row for each compared condition, the cheapest first and those of unknown cost last; and a step for each row on
        the front that is better than the one before.
    """
    table = costs.paired(compared.columns)
    means = table.mean(axis=1) if table.shape[1] else np.full(len(table), np.nan)
    known = np.flatnonzero(~np.isnan(means))
    on_front = front(compared.values, means)
    possible = possible_front(compared.better, table) if known.size else [None] * len(table)
    probability = np.full(len(table), np.nan)
    if compared.draws is not None and known.size:
        probability[known] = front_probability(compared.draws[:, known], means[known])
    order = sorted(range(len(table)), key=lambda at: (np.nan_to_num(means[at], nan=np.inf), -compared.values[at]))
    rows = [
        FrontRow(
            condition=names[compared.columns[at]],
            quality=float(compared.values[at]),
            cost=_or_none(means[at]),
            reason=costs.reasons[compared.columns[at]],
            on_front=on_front[at],
            possible=possible[at],
            probability=_or_none(probability[at]),
            standing=_standing(probability[at]),
        )
        for at in order
    ]
    steps = _steps(names, quality, compared, metric, means, [at for at in order if on_front[at]])
    return FrontFigures(metric=metric, cost=cost, images=table.shape[1], rows=rows, steps=steps)


def cost_per_point(extra: float, gain: Number) -> Number:
    """Return what each percentage point of a gain costs.

    Args:
        extra: what the gain costs.
        gain: the gain, in 0..1.

    Returns:
        Without a value unless the interval of the gain lies above 0; its own interval takes the cost as exact.

    Example:
        >>> found = cost_per_point(0.01, Number(value=0.1, interval=(0.05, 0.2)))
        >>> round(found.value, 5), [round(end, 5) for end in found.interval]
        (0.001, [0.0005, 0.002])
    """
    if gain.value is None or gain.interval is None:
        return Number(value=None, reason=gain.reason)
    low, high = gain.interval
    if low <= 0:
        return Number(value=None, reason="the gain may be 0")
    ends = sorted(extra / (100 * one) for one in (low, high))
    return Number(value=extra / (100 * gain.value), interval=(ends[0], ends[1]))


def _steps(
    names: Sequence[str],
    quality: Quality,
    compared: Compared,
    metric: Metric,
    means: NDArray[np.float64],
    on_front: Sequence[int],
) -> list[FrontStep]:
    """Return the steps along the front; of rows with equal quality and cost the first stands for all."""
    steps: list[FrontStep] = []
    before: int | None = None
    for at in on_front:
        column = compared.columns[at]
        if before is None:
            gain, extra = _above_chance(quality.of(column, metric), metric), float(means[at])
        elif compared.values[at] > compared.values[before]:
            gain = quality.difference(column, compared.columns[before], metric)
            extra = float(means[at] - means[before])
        else:
            continue
        before = at
        price = cost_per_point(extra, gain)
        steps.append(FrontStep(condition=names[column], gain=gain, extra_cost=extra, cost_per_point=price))
    return steps


def _above_chance(value: Number, metric: str) -> Number:
    """Return how far a metric lies above that of a guess."""
    if metric != IMAGE or value.value is None:
        return Number(value=None, reason=_UNKNOWN_CHANCE if metric != IMAGE else value.reason)
    ends = None if value.interval is None else (value.interval[0] - CHANCE, value.interval[1] - CHANCE)
    return Number(value=value.value - CHANCE, interval=ends, reason=value.reason)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _standing(probability: float) -> Literal["on", "open", "off"] | None:
    if np.isnan(probability):
        return None
    return "off" if probability < _OFF else "on" if probability > _ON else "open"
