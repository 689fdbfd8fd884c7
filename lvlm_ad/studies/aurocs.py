"""Image AUROC of conditions against each other, on the images that all of them answered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lvlm_ad.metrics.curves import auroc, steps_of
from lvlm_ad.metrics.differences import mean_auroc_difference
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.stability.measured import jackknife
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lvlm_ad.runs import Run

__all__ = ["Scored", "auroc_change", "auroc_contrast", "auroc_of", "aurocs_of", "images_by_category", "metric_of"]


class Scored(Protocol):
    """Image scores of n images under C conditions, such as ``Readings``."""

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Bool ``(n,)``: whether each image is anomalous."""

    @property
    def categories(self) -> NDArray[np.str_]:
        """Str ``(n,)``: each image's category."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64 ``(n, C)`` in 0..1; NaN where there is no usable answer."""

    @property
    def parts(self) -> Sequence[str]:
        """``(n,)``, the object that each image shows; "" if no other image shows it. Its images are not independent."""


def metric_of(run: Run, name: str) -> Number:
    """Return a metric's mean over categories as a run gives it, with its interval or the reason why there is none.

    Args:
        run: the run.
        name: the metric, such as "image_auroc".

    Returns:
        In 0..1; without a value where the run did not measure it, or where it is undefined.

    Example::

        metric_of(read_run(Path("runs/base")), "image_auroc").interval
    """
    mean = run.metrics["mean"]
    value = mean.get(name)
    if value is None:
        return Number(value=None, reason=mean.get("undefined", {}).get(name, "not measured"))
    ends = mean.get("interval", {}).get(name)
    reason = "" if ends else mean.get("no_interval", {}).get(name, "not measured")
    return Number(value=value, interval=tuple(ends) if ends else None, reason=reason)


def auroc_of(readings: Scored, column: int) -> float | None:
    """Return image AUROC under a condition.

    Args:
        readings: the answers.
        column: the condition.

    Returns:
        In 0..1: the mean over the categories that have answers about both classes; None if none has.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"), parts=[""] * 4,
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.3], [0.2, 0.5], [0.1, 0.1]]))
        >>> auroc_of(answers, 1)
        0.75
    """
    value = float(aurocs_of(readings, [column])[0])
    return None if math.isnan(value) else value


def aurocs_of(readings: Scored, columns: Sequence[int]) -> NDArray[np.float64]:
    """Return image AUROC under some conditions, on the images that are answered under all of them.

    Args:
        readings: the answers.
        columns: the conditions.

    Returns:
        float64 ``(len(columns),)`` in 0..1: the mean over the categories that have both classes; NaN if none has.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"), parts=[""] * 4,
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.3], [0.2, 0.5], [0.1, 0.1]]))
        >>> aurocs_of(answers, [0, 1]).tolist()
        [1.0, 0.75]
    """
    each = [_aurocs(readings, rows, columns) for rows in images_by_category(readings, columns)]
    return np.asarray(np.mean(each, axis=0)) if each else np.full(len(columns), np.nan)


def auroc_change(readings: Scored, column: int, base: int = 0) -> Number:
    """Return image AUROC under a condition minus that under another one, with the interval of paired images.

    Args:
        readings: the answers.
        column: the condition.
        base: the other one. Images that lack an answer under one of the two are left out.

    Returns:
        In -1..1; without a value if no category has answers about both classes, and without an interval if one of them
        has fewer than 2 good or 2 anomalous images. See ``mean_auroc_difference``.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"), parts=[""] * 4,
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.3], [0.2, 0.5], [0.1, 0.1]]))
        >>> auroc_change(answers, 1).value
        -0.25
    """
    groups = images_by_category(readings, [column, base])
    labels = [readings.labels[rows] for rows in groups]
    first, second = ([readings.scores[rows, one] for rows in groups] for one in (column, base))
    found = mean_auroc_difference(labels, first, second, [_objects(readings, rows) for rows in groups])
    if found.difference is None:
        return Number(value=None, reason="no category has good and anomalous images that are answered both times")
    reason = "" if found.interval else "a category has fewer than 2 good or 2 anomalous images"
    return Number(value=found.difference, interval=found.interval, reason=reason)


def auroc_contrast(readings: Scored, columns: Sequence[int], weights: Sequence[float]) -> Number:
    """Return a weighted sum of image AUROCs on the images answered under all conditions, such as a slope.

    The interval is the jackknife's over images, or over objects where several images show the same one; it ends where
    AUROCs of 0 and 1 would.

    Args:
        readings: the answers.
        columns: the conditions.
        weights: the weight of each condition's AUROC.

    Returns:
        Without a value if no category has answers about both classes under all conditions.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"), parts=[""] * 4,
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.3], [0.2, 0.5], [0.1, 0.1]]))
        >>> auroc_contrast(answers, [0, 1], [1.0, -1.0]).value
        0.25
    """
    groups, factors = images_by_category(readings, columns), np.asarray(weights, dtype=np.float64)
    if not groups:
        return Number(value=None, reason="no category has good and anomalous images that are answered every time")
    values = [float(factors @ _aurocs(readings, rows, columns)) for rows in groups]
    value = math.fsum(values) / len(values)
    without = [
        value + (float(factors @ _aurocs(readings, others, columns)) - of_group) / len(values)
        for rows, of_group in zip(groups, values, strict=True)
        for others in _without_each(readings, rows)
    ]
    found = jackknife(value, np.array(without))
    ends = found.interval
    if ends is not None:  # no AUROC is below 0 or above 1
        low, high = float(np.minimum(factors, 0).sum()), float(np.maximum(factors, 0).sum())
        ends = max(ends[0], low), min(ends[1], high)
    return Number(value=found.value, interval=ends, reason=found.reason)


def images_by_category(readings: Scored, columns: Sequence[int]) -> list[NDArray[np.intp]]:
    """Return the images of each category that are answered under all conditions.

    Args:
        readings: the answers.
        columns: the conditions.

    Returns:
        intp arrays of indices, one for each category; categories without such images of both classes are left out.

    Example:
        >>> from types import SimpleNamespace
        >>> answers = SimpleNamespace(
        ...     labels=np.array([True, True, False, False]), categories=np.full(4, "bolt"), parts=[""] * 4,
        ...     scores=np.array([[0.9, 0.9], [0.8, 0.3], [0.2, 0.5], [0.1, 0.1]]))
        >>> [rows.tolist() for rows in images_by_category(answers, [0, 1])]
        [[0, 1, 2, 3]]
    """
    common = ~np.isnan(readings.scores[:, columns]).any(axis=1)
    names = dict.fromkeys(readings.categories.tolist())
    groups = [np.flatnonzero(common & (readings.categories == name)) for name in names]
    return [rows for rows in groups if readings.labels[rows].any() and not readings.labels[rows].all()]


def _aurocs(readings: Scored, rows: NDArray[np.intp], columns: Sequence[int]) -> NDArray[np.float64]:
    """Return image AUROC of some images under each condition; NaN if a class is missing."""
    labels = readings.labels[rows]
    if labels.all() or not labels.any():
        return np.full(len(columns), np.nan)
    return np.array([float(auroc(steps_of(readings.scores[rows, one], labels, ~labels))) for one in columns])


def _objects(readings: Scored, rows: NDArray[np.intp]) -> NDArray[np.intp] | None:
    return numbers_of_parts([readings.parts[at] for at in rows.tolist()])


def _without_each(readings: Scored, rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield the images without those of each object in turn."""
    objects = _objects(readings, rows)
    objects = np.arange(rows.size) if objects is None else objects
    for one in np.unique(objects):
        yield rows[objects != one]
