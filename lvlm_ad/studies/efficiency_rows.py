"""The quality of the conditions of a study on the images that all of them answered, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.evaluate.measure import metrics_of
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.differences import mean_auroc_difference, resampled_difference
from lvlm_ad.metrics.estimates import estimate_category, estimate_mean
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.metrics.ranks import auroc_rows, resampled_rows, surely_better
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.estimates import Estimate
    from lvlm_ad.metrics.intervals import Interval
    from lvlm_ad.metrics.ranks import Rows
    from lvlm_ad.studies.efficiency_record import Metric
    from lvlm_ad.studies.readings import Readings

__all__ = ["IMAGE", "PIXEL", "Compared", "Quality"]

IMAGE: Metric = "image_auroc"
PIXEL: Metric = "pixel_ap"
"""The two metrics of quality: is there a defect, and where?"""

_FEWEST_ANSWERED = 0.5
"""Fraction of images that a condition must have answered to be compared."""

_NO_MAP = "the method gives no map"

_ROUNDING = 6
"""Digits of bootstrap samples that are compared: they are float32."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Conditions compared in one metric on the same images.

    Attributes:
        columns: the conditions that have the metric.
        values: float64 ``(J,)``, the mean of the metric over categories.
        better: bool ``(J, J)``, whether row i is surely better than row j; see ``surely_better``.
        draws: float64 ``(R, J)``, the metric in R bootstrap samples of the images, which all rows share; None: too few
            images.
    """

    columns: tuple[int, ...]
    values: NDArray[np.float64]
    better: NDArray[np.bool_]
    draws: NDArray[np.float64] | None


class Quality:
    """Measures conditions on the images that all of them answered.

    A condition that answered fewer than half of the images is not compared: the others would lose these images.

    Args:
        readings: the answers.
        columns: the conditions.
        resamples: resamples for intervals of pixel metrics; 0: they have none.

    Attributes:
        columns: the conditions that are compared.
        images: intp ``(n,)``, the indices of the images that all of these answered.
    """

    def __init__(self, readings: Readings, columns: Sequence[int], resamples: int) -> None:
        self._readings, self._resamples = readings, resamples
        fewest = _FEWEST_ANSWERED * len(readings.ids)
        self.columns = tuple(one for one in columns if len(readings.ids) - readings.missing[one] >= fewest)
        missing = np.isnan(readings.scores[:, list(self.columns)]).any(axis=1)
        self.images: NDArray[np.intp] = np.flatnonzero(~missing)
        self._histograms = {
            one: ScoreHistograms.of(readings.runs[one].histograms or [None] * len(readings.ids)) for one in self.columns
        }
        self._known: dict[tuple[int, bytes], dict[str, dict[str, Estimate]]] = {}

    def why_not(self, column: int) -> str:
        """Return why a condition is not compared; empty if it is."""
        total = len(self._readings.ids)
        answered = total - self._readings.missing[column]
        if column in self.columns:
            return ""
        unasked = sum(record.status == "unasked" for record in self._readings.records[column])
        also = f"; {unasked} were not asked" if unasked else ""
        return f"answered {answered} of {total} images, fewer than half{also}"

    def of(self, column: int, metric: Metric, images: NDArray[np.intp] | None = None) -> Number:
        """Return a metric of a condition, as the mean over categories, with its interval.

        Args:
            column: the condition.
            metric: ``IMAGE`` or ``PIXEL``.
            images: the images to measure; None: all that are compared.

        Returns:
            In 0..1; without a value, but with the reason, where the condition is not compared or has no such metric.

        Example::

            quality.of(regions, PIXEL).value
        """
        if reason := self.why_not(column):
            return Number(value=None, reason=reason)
        found = self._by_category(column, metric, images)
        if not found:
            return Number(value=None, reason=self._undefined(column, metric))
        mean = estimate_mean(metric, found)
        return Number(value=mean.value, interval=mean.interval, reason=mean.reason)

    def difference(self, first: int, second: int, metric: Metric, images: NDArray[np.intp] | None = None) -> Number:
        """Return a metric of the first condition minus that of the second, with the interval of paired differences.

        That of image AUROC is ``mean_auroc_difference``'s, that of pixel AP ``resampled_difference``'s.

        Args:
            first: a condition.
            second: another one.
            metric: ``IMAGE`` or ``PIXEL``.
            images: the images to measure; None: all that are compared.

        Returns:
            In -1..1; without a value, but with the reason, where one of the two is not compared or lacks the metric.

        Example::

            quality.difference(zoom, regions, IMAGE).interval
        """
        for column in (first, second):
            if reason := self.why_not(column):
                return Number(value=None, reason=reason)
        both = [self._by_category(column, metric, images) for column in (first, second)]
        if not both[0] or not both[1]:
            return Number(value=None, reason=self._undefined(first if not both[0] else second, metric))
        means = [estimate_mean(metric, one) for one in both]
        value, reason = means[0].value - means[1].value, means[0].reason or means[1].reason
        interval: Interval | None = None
        if metric == IMAGE:
            interval = self._auroc_difference(first, second, images)
        elif all(estimate.draws is not None for categories in both for estimate in categories.values()):
            interval, reason = resampled_difference(metric, *both)
        return Number(value=value, interval=interval, reason="" if interval else reason)

    def _auroc_difference(self, first: int, second: int, images: NDArray[np.intp] | None) -> Interval | None:
        groups = list(self._categories(images).values())
        labels = [self._readings.labels[rows] for rows in groups]
        ours, theirs = ([self._readings.scores[rows, column] for rows in groups] for column in (first, second))
        return mean_auroc_difference(labels, ours, theirs, [self._objects(rows) for rows in groups]).interval

    def defect_fractions(self, column: int) -> NDArray[np.float64]:
        """Return the fraction of defective pixels of each compared image, ``(n,)``; NaN where no mask shows any."""
        found = [self._histograms[column][at] for at in self.images.tolist()]
        pixels = np.array([(0, 1) if one is None else (one.anomalous.sum(), one.normal.sum()) for one in found])
        defective, normal = pixels.reshape(-1, 2).T.astype(np.float64)
        return np.where(defective > 0, defective / (defective + normal), np.nan)

    def anomalous(self, images: NDArray[np.intp]) -> int:
        """Return how many of some images are anomalous."""
        return int(self._readings.labels[images].sum())

    def compared(self, metric: Metric) -> Compared:
        """Compare all conditions that have a metric, on shared bootstrap samples.

        Args:
            metric: ``IMAGE`` or ``PIXEL``.

        Returns:
            Without conditions if none has the metric; without samples if there are too few images.

        Example::

            quality.compared(IMAGE).better
        """
        known = {column: self._by_category(column, metric, None) for column in self.columns}
        known = {column: categories for column, categories in known.items() if categories}
        columns = tuple(known)
        values = np.array([estimate_mean(metric, categories).value for categories in known.values()])
        rows = self._rows(metric, known) if known else None
        better = np.zeros((len(columns), len(columns)), dtype=np.bool_)
        if rows is None:
            return Compared(columns, values, better, None)
        if len(columns) > 1:
            better = surely_better(rows)
        # Conditions with the same scores have the same samples, up to rounding.
        draws = np.round(values[:, None] + rows.draws.astype(np.float64), _ROUNDING).T
        return Compared(columns, values, better, draws)

    def _rows(self, metric: Metric, known: Mapping[int, Mapping[str, Estimate]]) -> Rows | None:
        first = next(iter(known.values()))
        if metric == IMAGE:
            if any(min(one.sizes) < 2 for one in first.values()):  # noqa: PLR2004 - one image has no variance
                return None
            groups = [self._categories(None)[name] for name in first]
            scores = self._readings.scores[:, list(known)].T
            categories = [(self._readings.labels[rows], scores[:, rows]) for rows in groups]
            return auroc_rows(categories, objects=[self._objects(rows) for rows in groups])
        by_condition = list(known.values())
        estimates = [estimate for by_category in by_condition for estimate in by_category.values()]
        if any(estimate.draws is None or estimate.images <= 1 for estimate in estimates):
            return None
        values = np.array([[by_category[name].value for name in first] for by_category in by_condition])
        draws = [np.array([by_category[name].draws for by_category in by_condition]) for name in first]
        # A resample without any defective pixel is undefined for every condition.
        defined = ~np.any([np.isnan(one).any(axis=0) for one in draws], axis=0)
        sizes, images = zip(*((one.sizes, one.images) for one in first.values()), strict=True)
        return resampled_rows(values, [one[:, defined] for one in draws], sizes, images)

    def _by_category(self, column: int, metric: Metric, images: NDArray[np.intp] | None) -> dict[str, Estimate]:
        key = column, b"" if images is None else images.tobytes()
        if key not in self._known:
            self._known[key] = {name: self._measured(column, name, at) for name, at in self._categories(images).items()}
        return {name: metrics[metric] for name, metrics in self._known[key].items() if metric in metrics}

    def _measured(self, column: int, category: str, at: NDArray[np.intp]) -> dict[str, Estimate]:
        readings, places = self._readings, self._readings.results[column].plan.method.places
        histograms = self._histograms[column].take(at)
        images = CategoryImages(
            readings.labels[at],
            readings.scores[at, column],
            histograms if places and histograms.measurable else None,
            objects=self._objects(at),
        )
        found = metrics_of(images, histograms, places=places)
        return estimate_category(images, {name: found.get(name) for name in (IMAGE, PIXEL)}, self._resamples, category)

    def _categories(self, images: NDArray[np.intp] | None) -> dict[str, NDArray[np.intp]]:
        """Return the indices of the images of each category that has good and anomalous ones."""
        chosen = self.images if images is None else images
        categories, labels = self._readings.categories[chosen], self._readings.labels[chosen]
        found = {name: chosen[categories == name] for name in dict.fromkeys(categories.tolist())}
        both = {name for name in found if np.unique(labels[categories == name]).size > 1}
        return {name: at for name, at in found.items() if name in both}

    def _objects(self, at: NDArray[np.intp]) -> NDArray[np.intp] | None:
        return numbers_of_parts([self._readings.parts[index] for index in at.tolist()])

    def _undefined(self, column: int, metric: Metric) -> str:
        if metric == PIXEL and not self._readings.results[column].plan.method.places:
            return _NO_MAP
        if not self._categories(None):
            return "no category has answers about good and anomalous images"
        return "no image with a mask shows a defect"
