"""Comparisons of runs in the form of papers: two models side by side, their difference with interval and p-value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.compare import SIGNIFICANT, Difference, adjusted, p_text
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.choices import AVERAGE
from lvlm_ad.leaderboard.category_formats import tex_frame
from lvlm_ad.leaderboard.category_table import USUAL_METRICS
from lvlm_ad.leaderboard.choice_values import RANKING, SUBTASKS
from lvlm_ad.leaderboard.columns import UNKNOWN, Column, percent, shortened, signed
from lvlm_ad.leaderboard.decision_columns import chosen_columns
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS
from lvlm_ad.runs import METRIC_NAMES, is_metric, is_reported, metric_title

if TYPE_CHECKING:
    from lvlm_ad.compare import Comparison

_METRICS_IN_A_TABLE = 2
"""Each metric takes four columns."""

_NONE = Difference(None, None)
"""Of a metric of shapes, where not both runs name shapes."""

_HEADS = "condition first second category metric value second_value difference low high p p_holm"

_NOTE = (
    "Percent. Difference: the first model minus the second on the same images, with its 95 % interval. p: two-sided "
    "p-value of no difference, adjusted by Holm's method {family}. "
    f"Bold: p below {SIGNIFICANT}."
)
_OF_CATEGORIES = "over all categories (that of a mean: over all means)"
_OF_ACCURACIES = "over all sources and subtasks (that of the mean accuracy: over all models)"
"""What p-values are adjusted for."""


def compared_metrics(names: str, *, usual: str = USUAL_METRICS) -> tuple[Column, ...]:
    """Return the metrics of a table of differences from their names, separated by commas; "" for ``usual``.

    Raises:
        ConfigError: a name is unknown, or no metric.
    """
    columns = chosen_columns(names or usual)[2:]
    for column in columns:
        if not (is_metric(column.name) or column.name in {*SHAPES, *RANKING}):
            raise ConfigError(f"compare has no differences of {column.name!r}, only of metrics such as image_auroc.")
    return columns


def missing_metrics(comparisons: Sequence[Comparison], names: str) -> list[str]:
    """Return those of the metrics that a user names of which no pair of runs has a difference.

    Raises:
        ConfigError: as of ``compared_metrics``.
    """
    known = {name for one in comparisons for name in one.mean}
    accuracies = {name for one in comparisons for name in one.choices.get(AVERAGE, {})}
    known |= {name for name in RANKING if SUBTASKS.get(name, AVERAGE) in accuracies}
    return [column.name for column in compared_metrics(names) if column.name not in known] if names else []


def csv_text(comparisons: Sequence[Comparison], names: str = "", condition: str = "") -> str:
    """Return differences as CSV: a line for each pair of models, category and metric, fractions in 0..1.

    Args:
        comparisons: the first run with each of the others.
        names: the metrics, separated by commas; "" for those that the data set's authors report, the seven, and those
            of shapes and the accuracies of questions, by source, that a pair of runs has.
        condition: what was measured, in words.
    """
    usual = dict.fromkeys((*(name for one in comparisons for name in one.mean), *METRIC_NAMES))
    metrics = compared_metrics(names, usual=",".join(usual))
    lines: list[list[Any]] = [_HEADS.split()]
    for one in adjusted(comparisons):
        for category, differences in _rows(one):
            for column in metrics:
                if column.name not in RANKING:
                    numbers = _csv_numbers(differences.get(column.name, _NONE))
                    lines.append([condition, *one.names, category, column.name, *numbers])
        wanted = {SUBTASKS.get(column.name, AVERAGE) for column in metrics if column.name in RANKING}
        for source, row in one.choices.items():
            lines += [
                [condition, *one.names, source, f"accuracy, {name}", *_csv_numbers(of)]
                for name, of in row.items()
                if name in wanted or not names
            ]
    return escape.csv_lines(lines)


def _csv_numbers(of: Difference) -> list[float | None]:
    ends = of.interval or (None, None)
    return [of.first, of.second, of.difference, *ends, of.p_value, of.p_adjusted]


def tex(comparisons: Sequence[Comparison], names: str = "", condition: str = "") -> str:
    """Return differences as LaTeX tables, which need booktabs and graphicx: rows are categories and their mean.

    The arguments are those of ``csv_text``; "" for the names: the metrics that the data set's authors report, or
    where there are none image and pixel AUROC; of runs that answered questions, their accuracies, whose rows are
    sources.
    """
    tables = []
    for one in adjusted(comparisons):
        metrics = compared_metrics(names, usual=_usual(one))
        choices = [column for column in metrics if column.name in RANKING]
        others = [column for column in metrics if column.name not in RANKING]
        for kind, rows in ((choices, _source_rows(one)), (others, _rows(one))):
            parts = [kind[at : at + _METRICS_IN_A_TABLE] for at in range(0, len(kind), _METRICS_IN_A_TABLE)]
            tables += [_tex_table(one, rows, part, condition) for part in parts]
    return "\n".join(tables)


def _usual(comparison: Comparison) -> str:
    """Name the metrics that LaTeX shows unless the user chooses."""
    known = comparison.choices.get(AVERAGE, {})
    names = [name for name in RANKING if SUBTASKS.get(name, AVERAGE) in known]
    return ",".join(names or filter(is_reported, comparison.mean)) or USUAL_METRICS


def _notes(comparison: Comparison, metrics: Sequence[Column]) -> list[str]:
    """Return the notes of a comparison, without those on metrics that are not shown."""
    titles = {name: {**SHAPE_METRICS, **POINT_METRICS}.get(name) or metric_title(name) for name in comparison.mean}
    hidden = {*titles.values()} - {titles.get(column.name) for column in metrics}
    return [note for note in comparison.notes if not hidden.issuperset(note.partition(": ")[0].split(", "))]


def _source_rows(comparison: Comparison) -> list[tuple[str, Mapping[str, Difference]]]:
    """Return the name and the differences of accuracies of each source, and of "mean" if there are several."""
    tables = {
        source: {name: row[of] for name in RANKING if (of := SUBTASKS.get(name, AVERAGE)) in row}
        for source, row in comparison.choices.items()
    }
    mean = tables.pop(AVERAGE, {})
    return [*tables.items(), ("mean", mean)] if len(tables) > 1 else list(tables.items())


def _rows(comparison: Comparison) -> list[tuple[str, Mapping[str, Difference]]]:
    """Return the name and the differences of each category, and of "mean" if there are several."""
    rows = list(comparison.categories.items())
    return [*rows, ("mean", comparison.mean)] if len(rows) > 1 else rows


def _tex_table(
    comparison: Comparison,
    of_rows: Sequence[tuple[str, Mapping[str, Difference]]],
    metrics: Sequence[Column],
    condition: str,
) -> str:
    names = [escape.breakable_latex(name) for name in comparison.names]
    rows = [
        " & ".join(
            [escape.latex_start(shortened(name)), *(_tex_cells(differences.get(one.name, _NONE)) for one in metrics)]
        )
        for name, differences in of_rows
    ]
    heads = [rf"\multicolumn{{4}}{{c}}{{{escape.latex(column.head)}}}" for column in metrics]
    rules = [rf"\cmidrule(lr){{{2 + 4 * at}-{5 + 4 * at}}}" for at in range(len(metrics))]
    family = _OF_ACCURACIES if metrics[0].name in RANKING else _OF_CATEGORIES
    notes = [
        _NOTE.format(family=family),
        *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in _notes(comparison, metrics)),
    ]
    caption = f"{names[0]} (1) against {names[1]} (2). {escape.breakable_latex(condition)}"
    head = [
        f"& {' & '.join(heads)} \\\\",
        "".join(rules),
        f"{' & '.join(['', *['(1) & (2) & difference & p'] * len(metrics)])} \\\\",
    ]
    return tex_frame(caption, 4 * len(metrics), head, rows, notes)


def _tex_cells(of: Difference) -> str:
    p_value = of.p_value if of.p_adjusted is None else of.p_adjusted
    difference = _tex_signed(of.difference)
    if p_value is not None and p_value < SIGNIFICANT:
        difference = rf"\textbf{{{difference}}}"
    if of.interval is not None:
        low, high = map(_tex_signed, of.interval)
        difference += rf" {{\scriptsize ({low} to {high})}}"
    return " & ".join(
        [escape.latex(percent(of.first)), escape.latex(percent(of.second)), difference, escape.latex(p_text(p_value))]
    )


def _tex_signed(difference: float | None) -> str:
    """Write a difference with a minus sign: a hyphen is too short."""
    text = signed(difference)
    return escape.latex(text) if text == UNKNOWN else text.replace("-", "$-$")


COMPARISON_FORMATS: dict[str, Callable[..., str]] = {"csv": csv_text, "tex": tex}
"""File formats by name."""
