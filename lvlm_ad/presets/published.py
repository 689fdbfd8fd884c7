"""Results that others published: what ``published.toml`` holds, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["NOTHING", "PUBLISHED_METRICS", "Differing", "PublishedRow", "PublishedTables", "Source", "TestSet"]

Method = Literal["maps", "regions", "choice", "yes-no"]
Percent = Annotated[float, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1)]

NOTHING = "nothing"
"""In ``trained_on``: no data set of anomaly detection."""

PUBLISHED_METRICS = (
    *("image_auroc", "image_f1_max", "image_ap", "pixel_auroc", "pixel_f1_max", "pixel_ap", "pixel_aupro"),
    *("balanced_accuracy", "recall", "precision", "f1"),
)
"""The metrics that published rows may have."""


class _Part(BaseModel):
    """A part of the file: an unknown field is an error, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Source(_Part):
    """Where numbers were read."""

    key: Text
    name: Text
    """Authors or method, and where it appeared."""
    year: Annotated[int, Field(ge=1990, le=2100)]
    where: Text
    """The paper's table, or the repository and its file."""
    definitions: Text
    """What its metrics mean, in sentences."""


class TestSet(_Part):
    """The images of a table of the leaderboard."""

    # The name begins like that of a class of tests.
    __test__ = False

    dataset: Text
    """The data set's name for ``bench``."""
    part: str = ""
    """Of MMAD: the source of the questions, such as DS-MVTec."""
    title: Text
    images_of: Text
    """The data set that the images are from; a method trained on it knows the tested objects."""


class Differing(_Part):
    """Why sources give different numbers for one model on the same images."""

    model: Text
    sources: Annotated[tuple[str, ...], Field(min_length=2)]
    why: Text
    """As far as known; without a full stop."""


class ResultTable(_Part):
    """Results of one source on one test set, under the same conditions."""

    source: str
    dataset: str
    part: str = ""
    method: Method
    shots: Annotated[int, Field(ge=0, le=1000)]
    trained_on: Annotated[tuple[Text, ...], Field(min_length=1)]
    transductive: bool = False
    """Whether the method scores all unlabelled test images together."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    rows: Annotated[Mapping[str, tuple[Percent, ...]], Field(min_length=1)]
    """Model -> values in percent, in the order of ``metrics``."""
    notes: Mapping[str, str] = {}
    """Model -> what else a reader must know."""

    @model_validator(mode="after")
    def _check(self) -> ResultTable:
        if unknown := sorted({*self.metrics} - {*PUBLISHED_METRICS}):
            raise ValueError(f"unknown metric {unknown[0]}")
        if NOTHING in self.trained_on and len(self.trained_on) > 1:
            raise ValueError(f"trained_on names {NOTHING} beside a data set")
        wrong = [model for model, values in self.rows.items() if len(values) != len(self.metrics)]
        wrong += [model for model in self.notes if model not in self.rows]
        if wrong:
            raise ValueError(f"{wrong[0]} of {self.source} has not one value for each metric, or a note without a row")
        return self


@dataclass(frozen=True)
class PublishedRow:
    """One published result.

    Attributes:
        model: the method or the model.
        test_set: the images.
        source: where the numbers were read.
        method: "maps", "regions", "choice" or "yes-no".
        shots: the number of reference images.
        trained_on: data sets of anomaly detection that the method was trained on, or ``NOTHING``.
        transductive: whether it scores all unlabelled test images together.
        values: metric of ``PUBLISHED_METRICS`` -> percent.
        notes: what else a reader must know, why another source differs included.
    """

    model: str
    test_set: TestSet
    source: Source
    method: str
    shots: int
    trained_on: tuple[str, ...]
    transductive: bool
    values: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def is_trained_on_test_set(self) -> bool:
        """Whether the method was trained on the data set that the test images are from."""
        return self.test_set.images_of in self.trained_on


class PublishedTables(_Part):
    """The whole file. Build it with ``validated``; ``rows`` are the results."""

    source: tuple[Source, ...]
    test_set: tuple[TestSet, ...]
    differing: tuple[Differing, ...] = ()
    table: tuple[ResultTable, ...]

    @model_validator(mode="after")
    def _check(self) -> PublishedTables:
        sources = [one.key for one in self.source]
        test_sets = [(one.dataset, one.part) for one in self.test_set]
        for table in self.table:
            if sources.count(table.source) != 1 or test_sets.count((table.dataset, table.part)) != 1:
                raise ValueError(f"source {table.source} or test set {table.dataset} {table.part} is not listed once")
        found: dict[tuple[str, tuple[object, ...]], list[ResultTable]] = {}
        for table in self.table:
            for model in table.rows:
                conditions = (table.dataset, table.part, table.method, table.shots, table.trained_on)
                found.setdefault((model, conditions), []).append(table)
        for (model, _), tables in found.items():
            keys = [table.source for table in tables]
            if len(set(keys)) < len(keys):
                raise ValueError(f"{model} of {keys[0]} stands twice in the same conditions")
            explained = any(one.model == model and {*keys} <= {*one.sources} for one in self.differing)
            if len(keys) > 1 and not explained:
                raise ValueError(f"{model}: no [[differing]] says why {', '.join(keys)} differ")
        return self

    def rows(self) -> Iterator[PublishedRow]:
        """Yield the results in the order of the file."""
        sources = {one.key: one for one in self.source}
        test_sets = {(one.dataset, one.part): one for one in self.test_set}
        for table in self.table:
            for model, values in table.rows.items():
                notes = [table.notes[model]] if model in table.notes else []
                yield PublishedRow(
                    model,
                    test_sets[table.dataset, table.part],
                    sources[table.source],
                    table.method,
                    table.shots,
                    table.trained_on,
                    table.transductive,
                    dict(zip(table.metrics, values, strict=True)),
                    (*notes, *self._differences(model, table.source)),
                )

    def _differences(self, model: str, key: str) -> Iterator[str]:
        names = {one.key: one.name for one in self.source}
        for one in self.differing:
            if one.model == model and key in one.sources:
                # The same text for each of the rows, so that a table says it once.
                who = " and ".join(names[source] for source in one.sources)
                yield f"{who} give different numbers: {one.why}"
