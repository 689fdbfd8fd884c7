"""From the runs of a study to arrays, one row for each image and one column for each condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.studies.aurocs import aurocs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run
    from lvlm_ad.studies.condition import Condition
    from lvlm_ad.studies.runner import Result, StudyResults

__all__ = ["Readings"]


@dataclass(frozen=True, eq=False)
class Readings:
    """What the conditions of a study answered, n images under C conditions. Conditions without a run are left out.

    An image without an answer under a condition is missing there: its entry is NaN, and it is never scored 0.

    Attributes:
        results: the conditions with a run, in the study's order.
        records: of each condition the records of the n images, in the data set's order.

    Example, with the results of a study::

        readings = Readings.of(run_study(design))
        repeats = readings.scores[:, readings.columns("", "repeat")]
    """

    results: tuple[Result, ...]
    records: tuple[Sequence[PredictionRecord], ...]

    @classmethod
    def of(cls, results: StudyResults) -> Readings:
        """Read the runs of a study; the base, which always has one, is the first column.

        Args:
            results: what became of the study.
        """
        found = [(one, one.run.predictions) for one in results.results if one.run is not None]
        return cls(tuple(result for result, _ in found), tuple(records for _, records in found))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions, in the order of the columns."""
        return tuple(one.condition for one in self.results)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs, in the order of the columns."""
        return tuple(one.run for one in self.results if one.run is not None)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The images' ids."""
        return tuple(record.id for record in self.records[0])

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """Bool ``(n,)``: whether each image is anomalous."""
        return np.array([record.label for record in self.records[0]], dtype=np.bool_)

    @cached_property
    def categories(self) -> NDArray[np.str_]:
        """Str ``(n,)``: each image's category."""
        return np.array([record.category for record in self.records[0]])

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """``(n,)``: the object that each image shows; "" if no other image shows it."""
        return tuple(record.part for record in self.records[0])

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """float64 ``(n, C)`` in 0..1: image scores; NaN where there is no usable answer."""
        return self.numbers(lambda record: record.image_score)

    @cached_property
    def asked(self) -> NDArray[np.bool_]:
        """Bool ``(n, C)``: whether each image was asked about, whatever came of it; a failed question was asked."""
        return np.array([[one.status != "unasked" for one in row] for row in zip(*self.records, strict=True)])

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """float64 ``(n, C)``: USD for the answers about an image; NaN where unknown."""
        return self.numbers(lambda record: record.cost_usd)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """float64 ``(n, C)``: seconds until an image was answered, when it was; NaN where it was not."""
        return self.numbers(lambda record: record.seconds or None)

    @cached_property
    def input_tokens(self) -> NDArray[np.float64]:
        """float64 ``(n, C)``: tokens of the questions about an image; NaN where unknown."""
        return self.numbers(lambda record: record.input_tokens)

    @cached_property
    def output_tokens(self) -> NDArray[np.float64]:
        """float64 ``(n, C)``: tokens of the answers about an image; NaN where unknown."""
        return self.numbers(lambda record: record.output_tokens)

    @cached_property
    def missing(self) -> NDArray[np.intp]:
        """``(C,)``: how many images have no usable answer under each condition."""
        return np.asarray(np.isnan(self.scores).sum(axis=0))

    def numbers(self, of: Callable[[PredictionRecord], float | None]) -> NDArray[np.float64]:
        """Read a number of each record.

        Args:
            of: returns the number of a record; None: unknown.

        Returns:
            float64 ``(n, C)``; NaN where the number is unknown.

        Example::

            readings.numbers(lambda record: record.image_score)
        """
        return np.array([[of(one) for one in row] for row in zip(*self.records, strict=True)], dtype=np.float64)

    def columns(self, *factors: str) -> list[int]:
        """Return the columns of some factors, in order; the base belongs to ``""``."""
        return [column for column, one in enumerate(self.conditions) if one.factor in factors]

    def named(self, column: int) -> list[Mapping[int, float] | None]:
        """Return the regions that each image's answer names, with their scores; None where there is no answer.

        Numbers are those of the division, whatever numbers the picture showed.

        Args:
            column: the condition.
        """
        return [record.regions if record.usable else None for record in self.records[column]]

    def keys(self, column: int) -> list[str]:
        """Return the key of each image's last stored answer; "" where nothing was answered.

        Args:
            column: the condition.
        """
        return [record.key if record.usable else "" for record in self.records[column]]

    def metric(self, name: str) -> NDArray[np.float64]:
        """Return a metric's mean over categories under each condition, ``(C,)`` in 0..1; NaN where undefined.

        It is the run's: of the images that were answered under that condition, and in a run with ``on_failure`` "zero"
        of all images. ``auroc`` compares conditions on the same images.

        Args:
            name: the metric, such as "pixel_ap".
        """
        values = [run.metrics["mean"].get(name) for run in self.runs]
        return np.array([np.nan if one is None else one for one in values], dtype=np.float64)

    def auroc(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return image AUROC under some conditions, on the images that are answered under all of them.

        Args:
            columns: the conditions.

        Returns:
            float64 ``(len(columns),)`` in 0..1: the mean over the categories that have both classes; NaN if none has.
        """
        return aurocs_of(self, columns)

    def column(self, name: str) -> int:
        """Return the column of a condition by its name.

        Args:
            name: the condition's name, such as "base".

        Raises:
            MetricError: there is no such condition, or it has no run.
        """
        names = [one.name for one in self.conditions]
        if name not in names:
            raise MetricError(f"The study has no answers under the condition {name!r}; it has {', '.join(names)}.")
        return names.index(name)
