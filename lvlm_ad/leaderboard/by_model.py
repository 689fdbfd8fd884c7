"""Tables of one model: its methods side by side, with paired differences of metrics, tokens, cost and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from lvlm_ad.compare import Difference, adjusted, compare_runs, differing_conditions, method_in_words
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.evaluate.choices import AVERAGE
from lvlm_ad.leaderboard.choice_values import ACCURACY, CHOICE_METRICS, RANKING, SUBTASKS
from lvlm_ad.leaderboard.columns import Column, usd
from lvlm_ad.leaderboard.conditions import longer
from lvlm_ad.leaderboard.decision_columns import chosen_columns
from lvlm_ad.leaderboard.entries import Entry, make_entry
from lvlm_ad.leaderboard.evidence import Evidence
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.leaderboard.sorting import check_sort
from lvlm_ad.runs import PredictionRecord, Run, each_separately, is_metric, read_run, reported_of
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.compare import Comparison
    from lvlm_ad.runs import Manifest

__all__ = ["USES", "MethodRow", "ModelTable", "Use", "metrics_by_model", "model_tables", "model_title"]

_USUAL = "image_auroc,image_ap,pixel_auroc,pixel_ap,pixel_aupro,miou_box,miou_mask,false_alarms,point_hit,found"

_PAIR = 2

_EXPECTED = ("method (", "prompt (")
"""Conditions in which the methods of a model differ anyway."""


@dataclass(frozen=True)
class Use:
    """What inspecting an image takes: questions, tokens, money or time.

    Attributes:
        name: its name in CSV.
        head: the heading of tables.
        write: turns an amount into a text.
        of: reads it from a prediction; None if it is unknown.
    """

    name: str
    head: str
    write: Callable[[float], str]
    of: Callable[[PredictionRecord], float | None]


def _questions(record: PredictionRecord) -> float:
    return 0 if record.status in UNANSWERED else len(record.steps) or 1


def _tokens(record: PredictionRecord) -> float | None:
    if record.input_tokens is None or record.output_tokens is None:
        return None
    return record.input_tokens + record.output_tokens


USES = (
    Use("questions", "Questions", "{:.3g}".format, _questions),
    Use("tokens", "Tokens", "{:,.0f}".format, _tokens),
    Use("cost_usd", "USD/image", usd, lambda record: record.cost_usd),
    Use("seconds", "Seconds", "{:.3g}".format, lambda record: record.seconds),
)
"""In the order of the columns."""


@dataclass(frozen=True)
class MethodRow:
    """One method of a model.

    Attributes:
        name: the method; with its options where two rows would have the same name.
        entry: its row in a leaderboard, without a rank.
        uses: name of a ``Use`` -> means per image of this method and of the reference, and their difference.
        comparison: this method minus the reference; None for the reference, and where they cannot be compared.
        notes: what a reader must know; first of all why it cannot be compared.
    """

    name: str
    entry: Entry
    uses: Mapping[str, Difference]
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()

    def difference(self, metric: str) -> Difference | None:
        """Return the difference of a metric to the reference; None if there is none."""
        if self.comparison is None:
            return None
        of = self.comparison.choices.get(AVERAGE, {}) if metric in RANKING else self.comparison.mean
        found = of.get(SUBTASKS.get(metric, AVERAGE) if metric in RANKING else metric)
        return None if found is None or found.difference is None else found


@dataclass(frozen=True)
class ModelTable:
    """The methods of one model, measured on the same images at the same size.

    Attributes:
        title: model, data set and image size.
        rows: the reference first, then the best first.
        notes: what a reader must know besides the rows' notes.
    """

    title: str
    rows: tuple[MethodRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The name of the method that the others are compared with."""
        return self.rows[0].name


def metrics_by_model(names: str, runs: Sequence[Run] = ()) -> tuple[Column, ...]:
    """Return the metrics that tables of one model show.

    Args:
        names: the metrics, separated by commas; "" for the accuracies of questions, what the data sets' authors
            report, and the usual ones.
        runs: those of the tables, which say what authors report.

    Raises:
        ConfigError: a name is unknown, or no metric.

    Example:
        >>> [column.head for column in metrics_by_model("image_auroc,miou_box")]
        ['I-AUROC', 'mIoU (boxes)']
    """
    reported = dict.fromkeys(name for run in runs for name in reported_of(run.metrics))
    accuracies = CHOICE_METRICS if any(run.metrics.get("choices") for run in runs) else ()
    columns = chosen_columns(names or ",".join((*accuracies, *reported, _USUAL)))[2:]
    for column in columns:
        if not (is_metric(column.name) or column.name in {*SHAPES, *CHOICE_METRICS}):
            raise ConfigError(f"--by-model has no differences of {column.name!r}, only of metrics such as image_auroc.")
    return columns


def model_tables(runs: Sequence[Run], sort: str = "image_auroc") -> tuple[list[ModelTable], list[str]]:
    """Put the methods of each model side by side.

    Rows are runs of one model on the same images at the same image size. The reference is the method "regions"; where
    that was not measured, the best method with a map; else the best one. Every other row is compared with it image by
    image.

    Args:
        runs: the runs; their predictions are read from their folders unless they are there.
        sort: the metric that orders the rows; in a table of multiple-choice questions image AUROC stands for their
            accuracy.

    Returns:
        A table for each model that has several runs, and messages about runs that cannot be read.

    Raises:
        ConfigError: there is no such metric.
    """
    check_sort(sort, runs)
    by_model: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        manifest = run.manifest
        if manifest.model.kind == "backend":
            by_model.setdefault(_key(manifest), []).append(run)
    tables, problems = [], []
    for key, members in sorted(by_model.items(), key=lambda item: str(item[0])):
        if len(members) >= _PAIR:
            whole, wrong = each_separately(members, lambda run: run if run.predictions else read_run(run.dir))
            problems += wrong
            if len(whole) >= _PAIR:
                tables.append(_table(whole, sort, _other_sizes(key, by_model)))
    return tables, problems


def _key(manifest: Manifest) -> tuple[object, ...]:
    """Return what the runs of a table share; the image size is the fourth."""
    dataset, size = manifest.dataset, manifest.protocol.get("image_size")
    return model_title(manifest), dataset.name, dataset.fingerprint, size, manifest.fpr_limit


def model_title(manifest: Manifest) -> str:
    """Name a model; one preset may stand for several, such as all that a server has."""
    model = manifest.model
    return f"{model.title} ({model.label})" if model.label else model.title


def _other_sizes(key: tuple[object, ...], by_model: Mapping[tuple[object, ...], Sequence[Run]]) -> list[str]:
    """Name the methods that a model was measured with at other image sizes only."""
    names: dict[str, None] = {}
    for other, runs in by_model.items():
        if other != key and other[:3] == key[:3] and other[3] != key[3]:
            names |= dict.fromkeys(f"{run.manifest.method.name} at {other[3]}" for run in runs)
    if not names:
        return []
    hint = f"measure them with --set image_size={key[3]} to see them here"
    return [f"Measured at other image sizes: {', '.join(names)} pixels; {hint}."]


def _table(runs: Sequence[Run], sort: str, notes: Sequence[str]) -> ModelTable:
    evidence = Evidence()
    entries = [make_entry(run, [run.manifest], sort, evidence, verified=False) for run in runs]
    names = _names(runs, entries)
    if sort == "image_auroc" and any(ACCURACY in entry.metrics for entry in entries):
        sort = ACCURACY
    order = sorted(range(len(runs)), key=lambda at: (-(entries[at].metrics.get(sort) or 0.0), names[at]))
    # Of several runs of "regions" the best is the reference. Without a map there are no differences of pixel metrics.
    methods = {at: runs[at].manifest.method for at in order}
    first = min(order, key=lambda at: (methods[at].name != "regions", not methods[at].places))
    rows = [_row(runs[first], runs[first], names[first], entries[first])]
    rows += [_row(runs[at], runs[first], names[at], entries[at]) for at in order if at != first]
    compared = iter(adjusted([row.comparison for row in rows if row.comparison is not None]))
    rows = [replace(row, comparison=next(compared)) if row.comparison is not None else row for row in rows]
    manifest = runs[0].manifest
    size = manifest.protocol.get("image_size")
    title = f"{model_title(manifest)} \N{MIDDLE DOT} {manifest.dataset.summary} \N{MIDDLE DOT} {size} x {size} pixels"
    return ModelTable(title, tuple(rows), tuple(notes))


def _names(runs: Sequence[Run], entries: Sequence[Entry]) -> list[str]:
    """Name each run by its method, with its marks; where two have the same name, with options and hash as needed."""
    names = [run.manifest.method.name for run in runs]
    names = longer(names, [method_in_words(run.manifest, hashes=False) for run in runs])
    names = longer(names, [f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True)])
    marks = [entry.name.partition(" [")[1:] for entry in entries]
    return [f"{name}{''.join(mark)}" for name, mark in zip(names, marks, strict=True)]


def _row(run: Run, reference: Run, name: str, entry: Entry) -> MethodRow:
    uses = {one.name: _use(one, run, reference) for one in USES}
    if run is reference:
        return MethodRow(name, entry, uses, None, entry.notes)
    try:
        comparison = compare_runs(run, reference, across_conditions=True)
    except RunError as error:
        return MethodRow(name, entry, uses, None, (str(error), *entry.notes))
    # Method and question differ in every row.
    differ = [one for one in differing_conditions(run.manifest, reference.manifest) if not one.startswith(_EXPECTED)]
    # The row's own notes give the reasons of its metrics already.
    reasons = {note: note.partition(": ")[2] for note in comparison.notes if not note.startswith("they differ in ")}
    others = [note for note, reason in reasons.items() if not (reason and any(reason in one for one in entry.notes))]
    notes = [*entry.notes, *([f"differs in {', '.join(differ)}"] if differ else []), *others]
    return MethodRow(name, entry, uses, comparison, tuple(dict.fromkeys(notes)))


def _use(use: Use, run: Run, reference: Run) -> Difference:
    """Compare a use; the interval is Student's, of the mean difference over images."""
    first, second = (_amounts(use, one) for one in (run, reference))
    means = [None if one is None else float(one.mean()) for one in (first, second)]
    if run is reference or first is None or second is None or len(first) != len(second):
        return Difference(means[0], means[1])
    differences = first - second
    mean, n_images = float(differences.mean()), len(differences)
    if n_images < _PAIR:
        return Difference(means[0], means[1], mean)
    half = float(stdtrit(n_images - 1, 0.975) * differences.std(ddof=1) / np.sqrt(n_images))
    return Difference(means[0], means[1], mean, (mean - half, mean + half))


def _amounts(use: Use, run: Run) -> NDArray[np.float64] | None:
    """Return the amount for each image, in the order of ids; None if one is unknown."""
    by_id = sorted((record.id, use.of(record)) for record in run.predictions)
    amounts = [amount for _, amount in by_id if amount is not None]
    return np.array(amounts, dtype=np.float64) if len(amounts) == len(by_id) else None
