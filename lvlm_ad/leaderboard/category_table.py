"""Tables in the form of papers: rows are categories, or sources of questions, and their mean; columns are models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.reported import group_names
from lvlm_ad.leaderboard.choice_values import ACCURACY, CHOICE_METRICS
from lvlm_ad.leaderboard.columns import OWN_MAPS, REFERENCE_ROWS, UNKNOWN, Column, percent, shortened
from lvlm_ad.leaderboard.decision_columns import DecisionColumn, chosen_columns, decision_notes
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.runs import is_metric

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Group
    from lvlm_ad.leaderboard.entries import Entry

Mark = Literal["best", "second", ""]

USUAL_METRICS = "image_auroc,pixel_auroc"
"""The pair that papers print."""

_BY_SOURCE = tuple(name for name in CHOICE_METRICS if name != "choice_unread")
"""Accuracies of questions, which have a value for each source in place of one for each category."""

MARKED = (
    "In each row the best value of the ranked models is bold and the second best is underlined; values that are "
    "printed alike are marked alike."
)

STAR = "*"
"""Follows the name of a model that is not ranked."""

_KINDS = {"ranked": 0, "apart": 1, "frame": 2}
"""Kinds of leaderboard rows that have values by category, in the order of the columns."""


@dataclass(frozen=True)
class Cell:
    """One value of a model in a category.

    Attributes:
        value: a fraction in 0..1; None if undefined.
        text: the value in percent; a dash if undefined.
        mark: whether it is the best or second best of its row.
    """

    value: float | None
    text: str
    mark: Mark


@dataclass(frozen=True)
class CategoryTable:
    """The models of one group by category.

    Attributes:
        title: the conditions in words.
        metrics: what each cell shows, in this order.
        models: the columns: ranked models first, best first.
        rows: name of a category or a source, or "mean", and for each model a cell for each metric.
        ranking: the sentence about the group's ranks.
    """

    title: str
    metrics: tuple[Column, ...]
    models: tuple[Entry, ...]
    rows: tuple[tuple[str, tuple[tuple[Cell, ...], ...]], ...]
    ranking: str = ""

    @property
    def heads(self) -> list[str]:
        """The models' names; a star follows the name of a model that is not ranked."""
        return [f"{model.name}{STAR if model.kind == 'apart' else ''}" for model in self.models]

    @property
    def unit(self) -> str:
        """What a cell holds, such as "I-AUROC/P-AUROC, percent"."""
        return f"{'/'.join(column.head for column in self.metrics)}, percent"

    def notes(self) -> list[str]:
        """Return the sentences below the table."""
        marked = any(cell.mark for _, cells in self.rows for pair in cells for cell in pair)
        notes = [MARKED] if marked else [self.ranking] if self.ranking else []
        if any(cell.value is None for _, cells in self.rows for pair in cells for cell in pair):
            notes.append(
                "A dash: undefined. Its mean leaves out this row; if others have a value there, the mean is not marked."
            )
        reasons: dict[str, list[str]] = {}
        for model in self.models:
            if model.kind == "apart":
                reasons.setdefault(model.reason, []).append(shortened(model.name))
            elif model.coverage is not None and model.coverage < 1:
                share = min(100 * model.coverage, 99.9)
                notes.append(f"{shortened(model.name)}: {share:.1f} % of the images have a usable answer.")
        notes += [f"{STAR} Not ranked: {', '.join(names)} ({reason})." for reason, names in reasons.items()]
        if any(model.kind == "frame" for model in self.models):
            notes.append(REFERENCE_ROWS.replace("rows", "columns"))
        if any("(dense" in model.name for model in self.models):
            notes.append(OWN_MAPS.replace("A row", "A column").replace("ranked rows score", "ranked models score"))
        return [*notes, *metric_notes(self.metrics), *decision_notes(self.models, self.metrics)]


def metrics_by_category(names: str) -> tuple[Column, ...]:
    """Return the metrics and rates that the cells of a table by category show; none for "": each table has its own.

    Raises:
        ConfigError: a name is unknown, or has no value by category, such as a cost; or accuracies of questions, which
            have values by source, are mixed with metrics that have values by category.

    Example:
        >>> [column.head for column in metrics_by_category("image_auroc,pixel_aupro")]
        ['I-AUROC', 'PRO']
    """
    columns = chosen_columns(names)[2:] if names else ()
    by_source = [column.name for column in columns if column.name in _BY_SOURCE]
    if by_source and len(by_source) < len(columns):
        other = next(column.name for column in columns if column.name not in _BY_SOURCE)
        raise ConfigError(
            f"Rows of {by_source[0]!r} are sources of questions, those of {other!r} categories; choose one kind."
        )
    for column in columns:
        rate = isinstance(column, DecisionColumn) and column.part == "mean"
        if not (is_metric(column.name) or column.name in {*SHAPES, *_BY_SOURCE} or rate):
            raise ConfigError(f"A table by category cannot show {column.name!r}, which has no value for each category.")
    return columns


def category_table(group: Group, metrics: Sequence[Column], *, reference_rows: bool = False) -> CategoryTable:
    """Turn a group of a leaderboard into a table by category.

    Published rows have no values by category and are left out. Reference rows follow the models on request.

    Args:
        group: the group.
        metrics: what a cell shows, as ``metrics_by_category`` returns it; if there are none: the accuracy of questions,
            by source, if a model answered some; else what the data set's authors report, without metrics of single
            groups of anomalies; where that is fewer than two metrics, image and pixel AUROC as well.
        reference_rows: whether to include reference rows.
    """
    metrics = metrics or _usual(group)
    kinds = [kind for kind in _KINDS if kind != "frame" or reference_rows]
    models = sorted((one for one in group.entries if one.kind in kinds), key=lambda one: _KINDS[one.kind])
    categories: Sequence[str] = group.conditions["categories"]
    if metrics[0].name in _BY_SOURCE:
        # A model that answered no questions has no values.
        models = [one for one in models if one.sources]
        categories = list(dict.fromkeys(name for one in models for name in one.sources))
    ranked = [model.rank is not None for model in models]
    rows = [
        (name, _row([_cells([_value(name, one, model) for model in models], ranked, one) for one in metrics]))
        for name in categories
    ]
    if len(categories) > 1:
        means = [
            _cells([one.value(model) for model in models], _whole(models, categories, one), one) for one in metrics
        ]
        rows.append(("mean", _row(means)))
    return CategoryTable(group.title, tuple(metrics), tuple(models), tuple(rows), group.ranking)


def _usual(group: Group) -> tuple[Column, ...]:
    if any(one.sources for one in group.entries):
        return chosen_columns(ACCURACY)[2:]
    reported = list(dict.fromkeys(name for one in group.entries for name in one.reported))
    of_groups = tuple(f"_{name}" for name in group_names(reported))
    names = [name for name in reported if not name.partition("@")[0].endswith(of_groups)] if of_groups else reported
    return chosen_columns(",".join(names if len(names) > 1 else [*names, USUAL_METRICS]))[2:]


def _value(category: str, column: Column, model: Entry) -> float | None:
    of: Mapping[str, Mapping[str, float | None]] = model.categories
    if isinstance(column, DecisionColumn):
        of = model.decisions.get("categories", {})
    elif column.name in _BY_SOURCE:
        of = model.sources
    return of.get(category, {}).get(column.name)


def _whole(models: Sequence[Entry], categories: Sequence[str], column: Column) -> list[bool]:
    """Whether each model is ranked, and its mean leaves out no category for which another ranked model has a value."""
    having = [{name for name in categories if _value(name, column, model) is not None} for model in models]
    some = set().union(*(names for names, model in zip(having, models, strict=True) if model.rank is not None))
    return [names >= some and model.rank is not None for names, model in zip(having, models, strict=True)]


def _cells(values: Sequence[float | None], compared: Sequence[bool], column: Column) -> list[Cell]:
    """Return a row's cells of one metric, a cell for each model; ``compared``: which may have a mark."""
    texts = [percent(value) for value in values]
    marks = _marks(texts, compared, lowest=getattr(column, "lower_is_better", False))
    return [Cell(*cell) for cell in zip(values, texts, marks, strict=True)]


def _row(by_metric: Sequence[Sequence[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """Return for each model a cell for each metric."""
    return tuple(zip(*by_metric, strict=True))


def _marks(texts: Sequence[str], compared: Sequence[bool], *, lowest: bool) -> list[Mark]:
    """Mark the best and the second best of the compared values as printed; a single model has no mark."""
    known = [float(text) for text, in_rank in zip(texts, compared, strict=True) if in_rank and text != UNKNOWN]
    if sum(compared) < 2:  # noqa: PLR2004 - nothing to compare with
        return [""] * len(texts)
    places: list[Mark] = ["best", "second"]
    by_value = dict(zip(sorted(set(known), reverse=not lowest), places, strict=False))
    return [
        by_value.get(float(text), "") if in_rank and text != UNKNOWN else ""
        for text, in_rank in zip(texts, compared, strict=True)
    ]
