"""The answers of two studies about the same images, side by side, and their paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.metrics.stability import paired_shift
from lvlm_ad.metrics.stability.measured import jackknife, pooled_variances, within_squares
from lvlm_ad.metrics.stability.repeats import flip_rates
from lvlm_ad.studies.aurocs import auroc_change, auroc_of
from lvlm_ad.studies.rates import clipped
from lvlm_ad.studies.record import Number

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.runs import Run
    from lvlm_ad.studies.record import Study

__all__ = ["Paired", "PairedAnswers"]


@dataclass(frozen=True)
class Paired:
    """A figure of two studies on the images that both answered.

    Attributes:
        first: the first study's; None where it is undefined.
        second: the second study's.
        difference: first minus second, with its 95 % interval over the choice of images.
        images: how many images.
    """

    first: float | None
    second: float | None
    difference: Number
    images: int


@dataclass(frozen=True, eq=False)
class PairedAnswers:
    """What two studies answered about the same n images.

    Attributes:
        runs: of each study its runs, by the names of their conditions.
        common: the conditions that both studies have, by name and level, in the first one's order.
        labels: bool ``(n,)``, whether each image is anomalous.
        categories: str ``(n,)``.
        parts: ``(n,)``, the object that each image shows; "" if no other image shows it.
    """

    runs: tuple[dict[str, Run], dict[str, Run]]
    common: tuple[str, ...]
    labels: NDArray[np.bool_]
    categories: NDArray[np.str_]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, studies: tuple[Study, Study], folders: tuple[Path, Path]) -> PairedAnswers:
        """Read the runs of two studies.

        Args:
            studies: what their ``study.json`` hold.
            folders: the folder of each.

        Raises:
            RunError: a run is missing or damaged, or the runs are not about the same images.

        Example::

            folders = Path("runs/studies/first"), Path("runs/studies/second")
            PairedAnswers.of((Study.read(folders[0]), Study.read(folders[1])), folders).auroc("base").difference
        """
        first, second = (study.runs(folder) for study, folder in zip(studies, folders, strict=True))
        levels = [{one.name: one.level for one in study.conditions if one.run} for study in studies]
        common = tuple(name for name, level in levels[0].items() if levels[1].get(name) == level)
        images: list[tuple[str, bool, str, str]] | None = None
        for run in (*first.values(), *second.values()):
            found = [(one.id, one.label, one.category, one.part) for one in run.predictions]
            if images is not None and found != images:
                raise RunError(f"The studies cannot be compared: {run.dir} has other images than the other runs.")
            images = found
        known = images or []
        labels = np.array([label for _, label, *_ in known], dtype=np.bool_)
        categories, parts = np.array([category for *_, category, _ in known]), tuple(part for *_, part in known)
        return cls((first, second), common, labels, categories, parts)

    def auroc(self, condition: str) -> Paired:
        """Compare image AUROC under a condition.

        Args:
            condition: its name, of ``common``.
        """
        scores = np.column_stack([self._numbers(side, condition, "image_score") for side in (0, 1)])
        both = np.flatnonzero(~np.isnan(scores).any(axis=1))
        parts = tuple(self.parts[at] for at in both.tolist())
        found = _Columns(self.labels[both], self.categories[both], scores[both], parts)
        return Paired(auroc_of(found, 0), auroc_of(found, 1), auroc_change(found, 0, 1), both.size)

    def mean(self, condition: str, field: str) -> Paired:
        """Compare the mean of a number of the records under a condition.

        Args:
            condition: its name, of ``common``.
            field: the number, such as "cost_usd" (USD) or "seconds"; images without it in one of the two are left out.
        """
        return _means(*(self._numbers(side, condition, field) for side in (0, 1)))

    def flips(self, conditions: Sequence[Sequence[str]], thresholds: Sequence[float], *, label: bool | None) -> Paired:
        """Compare flip rates: how often two answers about an image disagree whether it is anomalous.

        Args:
            conditions: of each study those that ask the same question.
            thresholds: of each study the score from which an image is called anomalous.
            label: only good (False) or anomalous (True) images; None: all.
        """
        chosen = np.ones(self.labels.size, np.bool_) if label is None else self.labels == label
        found = _means(*(flip_rates(self._table(side, conditions[side])[chosen], thresholds[side]) for side in (0, 1)))
        return replace(found, difference=clipped(found.difference))

    def spread(self, conditions: Sequence[Sequence[str]]) -> Paired:
        """Compare the standard deviation of an image's scores around its own mean, with the jackknife over images.

        Args:
            conditions: of each study those over which an image's scores spread.
        """
        parts = [within_squares(self._table(side, conditions[side])) for side in (0, 1)]
        both = (parts[0][1] > 0) & (parts[1][1] > 0)
        if not both.any():
            return Paired(None, None, Number(value=None, reason="no image was answered twice in both studies"), 0)
        # Of all images first, then without each.
        first, second = (np.sqrt(pooled_variances(squares[both], freedom[both])) for squares, freedom in parts)
        found = clipped(Number.of(jackknife(float(first[0] - second[0]), (first - second)[1:])))
        return Paired(float(first[0]), float(second[0]), found, int(both.sum()))

    def _table(self, side: int, conditions: Sequence[str]) -> NDArray[np.float64]:
        return np.column_stack([self._numbers(side, one, "image_score") for one in conditions])

    def _numbers(self, side: int, condition: str, field: str) -> NDArray[np.float64]:
        records = self.runs[side][condition].predictions
        return np.array([getattr(one, field) for one in records], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Columns:
    """The scores of both studies under one condition."""

    labels: NDArray[np.bool_]
    categories: NDArray[np.str_]
    scores: NDArray[np.float64]
    parts: tuple[str, ...]


def _means(first: NDArray[np.float64], second: NDArray[np.float64]) -> Paired:
    """Compare the means of two numbers of each image; NaN where one is missing."""
    both = ~np.isnan(first) & ~np.isnan(second)
    means = [float(one[both].mean()) if both.any() else None for one in (first, second)]
    return Paired(means[0], means[1], Number.of(paired_shift(first, second)), int(both.sum()))
