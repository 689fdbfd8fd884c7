"""The figures of a study as a list of numbers, each with a name: what every export and comparison is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lvlm_ad.errors import RunError, what_is_wrong
from lvlm_ad.studies.efficiency_record import EfficiencyFigures
from lvlm_ad.studies.grounding_record import GroundingFigures
from lvlm_ad.studies.record import MAKE_AGAIN, STUDY_FILE, Number, Record
from lvlm_ad.studies.stability_record import StabilityFigures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lvlm_ad.studies.record import Study

__all__ = ["KINDS", "StudyValue", "figures_of", "study_values"]

KINDS: Mapping[str, type[Record]] = {
    "efficiency": EfficiencyFigures,
    "grounding": GroundingFigures,
    "stability": StabilityFigures,
}
"""Kind of study -> the class of its figures."""

_NAMES = (
    *("factor", "kind", "metric", "cost", "how", "k", "condition", "against", "first", "second"),
    *("method", "level", "size", "name", "step"),
)
"""Fields that say which part of a figure a record is about."""

_COUNTS = ("defects", "images", "answered", "anomalous")
"""Fields that say from how many objects a record's numbers come, the most specific first."""


@dataclass(frozen=True)
class StudyValue:
    """One number of a study.

    Attributes:
        figure: its path in the figures of ``study.json``, such as "factors.levels.flip_rate".
        part: what it is about, such as "paraphrase; paraphrase-1; prompt class-2"; empty for the whole study.
        value: a fraction in 0..1, an amount in USD or seconds, a count, 1 or 0 for yes and no; None: undefined.
        low: lower end of its 95 % interval; None without one.
        high: upper end.
        n: how many images, or defects, it comes from.
    """

    figure: str
    part: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def figures_of(study: Study) -> Record:
    """Return the figures of a study as its kind's class, such as ``StabilityFigures``.

    Raises:
        RunError: this version does not know the kind, or the figures are damaged.

    Example::

        figures_of(Study.read(Path("runs/studies/stability-gpt-4o-mvtec"))).auroc
    """
    if study.kind not in KINDS:
        raise RunError(
            f"The study {study.name} is a study of {study.kind!r:.60}; this version knows {', '.join(KINDS)}. Upgrade "
            "to read it."
        )
    try:
        return KINDS[study.kind].model_validate(study.figures)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise RunError(
            f"The study {study.name} is damaged: study.json: figures.{field} {what_is_wrong(problem)}. "
            f"{MAKE_AGAIN.format(STUDY_FILE)}"
        ) from error


def study_values(study: Study) -> list[StudyValue]:
    """Return every number of a study's figures, in the order of ``study.json``.

    Raises:
        RunError: as ``figures_of``.

    Example::

        [one for one in study_values(Study.read(Path("runs/studies/mine"))) if one.figure == "repeats.flip_rate"]
    """
    return list(_of_record(figures_of(study), (), (), study.images))


def _of_record(record: Record, path: tuple[str, ...], parts: tuple[str, ...], n: int) -> Iterator[StudyValue]:
    values = {name: getattr(record, name) for name in type(record).model_fields}
    n = next((values[name] for name in _COUNTS if isinstance(values.get(name), int)), n)
    # A level without its condition is only mentioned; numbers and lists of the same names are figures.
    named = [name for name in _NAMES if isinstance(values.get(name), str | int)]
    named = [name for name in named if name != "level" or "condition" in named]
    parts = (*parts, *(str(values[name]) for name in named if values[name] != ""))
    labels = values.get("numbers")
    for name, value in values.items():
        if name not in named:
            yield from _of_value(value, (*path, name), parts, n, labels)


def _of_value(
    value: Any, path: tuple[str, ...], parts: tuple[str, ...], n: int, labels: list[int] | None = None
) -> Iterator[StudyValue]:
    """List the numbers of a field; ``labels`` name the entries of a list of plain numbers."""
    if isinstance(value, Number):
        low, high = value.interval or (None, None)
        yield StudyValue(".".join(path), "; ".join(parts), value.value, low, high, n)
    elif isinstance(value, Record):
        yield from _of_record(value, path, parts, n)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _of_value(one, path, (*parts, key), n)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            plain = isinstance(one, Number) or not isinstance(one, Record)
            name = (str(labels[index] if labels and index < len(labels) else index + 1),) if plain else ()
            yield from _of_value(one, path, (*parts, *name), n)
    elif not isinstance(value, str):
        yield StudyValue(".".join(path), "; ".join(parts), int(value) if isinstance(value, bool) else value, n=n)
