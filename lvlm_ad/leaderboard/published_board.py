"""Tables of published results, one for each test set, with the runs on the same images beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard.board import Board, Group, make_board
from lvlm_ad.leaderboard.published_rows import (
    Filters,
    method_of,
    published_entries,
    published_sources,
    shots_of,
)
from lvlm_ad.leaderboard.sorting import check_sort
from lvlm_ad.presets import published_rows
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.entries import Entry
    from lvlm_ad.presets.published import PublishedRow, TestSet
    from lvlm_ad.runs import Run

__all__ = ["published_board"]

_NOTHING_RANKED = (
    "Nothing is ranked here: the rows differ in method, training data and number of reference images. Trained on: the "
    "web images of pre-training (CLIP, chat models) do not count, as most of them are unknown; synthetic: anomalies "
    "that the method makes itself; expert-ad: the data set of IAD-R1, of images whose origin we did not find."
)
_NO_RANK: Mapping[str, Any] = {
    "rank": None,
    "difference": None,
    "difference_interval": None,
    "may_be_on_front": None,
    "front_probability": None,
}
_MEASURED_HERE = "measured here"
_NO_FILTERS = Filters()


def published_board(runs: Sequence[Run] = (), sort: str = "image_auroc", *, filters: Filters = _NO_FILTERS) -> Board:
    """Return one table for each test set with published results.

    Rows of runs come first; all runs of a data set share the table, whatever their conditions, so none has a rank.
    Only runs on the whole test split, with AUPRO up to a false-positive rate of 0.3, are beside published results.

    Args:
        runs: measured runs; those on other data sets are left out.
        sort: the metric that orders rows; balanced accuracy orders those without it.
        filters: the conditions of the rows that are shown.

    Raises:
        ConfigError: there is no such metric, or no row has a name that ``filters`` gives.

    Example:
        >>> [group.title for group in published_board(filters=Filters(method="regions")).groups]
        ['MVTec AD', 'VisA']
    """
    check_sort(sort, runs)
    filters.check(runs)
    order = list(dict.fromkeys(row.test_set for row in published_rows()))
    kept = sorted(filters.published(), key=lambda row: order.index(row.test_set))
    measured = _measured(runs, sort, filters)
    groups = [
        _group(test_set, list(rows), measured.get(test_set.dataset, []), sort)
        for test_set, rows in groupby(kept, key=lambda row: row.test_set)
    ]
    return Board(tuple(groups), sort)


def _group(test_set: TestSet, rows: Sequence[PublishedRow], measured: Sequence[Entry], sort: str) -> Group:
    def order(entry: Entry) -> tuple[float, float]:
        values = (entry.metrics.get(name) for name in (sort, "balanced_accuracy"))
        first, second = (-1.0 if value is None else value for value in values)
        return -first, -second

    if test_set.part:
        measured = [of_part for entry in measured if (of_part := _of_part(entry, test_set.part)) is not None]
    # The page says that they are published, and a column shows the source.
    published = published_entries(rows, origin=False)
    entries = (*sorted(measured, key=order), *sorted(published, key=order))
    conditions = {"dataset": test_set.dataset, "part": test_set.part, "published": True, "categories": []}
    return Group(test_set.title, conditions, entries, _NOTHING_RANKED, published_sources(rows))


def _measured(runs: Sequence[Run], sort: str, filters: Filters) -> dict[str, list[Entry]]:
    """Return data set -> the rows of runs on its whole test split, without ranks."""
    by_name = {run.dir.name: run for run in runs}
    found: dict[str, dict[str, Entry]] = {}
    for group in make_board(runs, sort, filters=filters).groups:
        # Reference rows are in several tables of runs; here they are in one.
        of_data = found.setdefault(group.conditions["dataset"], {})
        for entry in group.entries:
            run = by_name.get(entry.run)
            if run and run.manifest.dataset.whole and run.manifest.fpr_limit == DEFAULT_FPR_LIMIT:
                of_data[entry.run] = _without_rank(entry, run, group.title)
    return {dataset: list(entries.values()) for dataset, entries in found.items()}


def _without_rank(entry: Entry, run: Run, title: str) -> Entry:
    if entry.kind == "frame":
        return replace(entry, conditions={"source": _MEASURED_HERE})
    conditions = {"shots": shots_of(run), "method": method_of(run), "source": _MEASURED_HERE}
    return replace(entry, **_NO_RANK, kind="apart", notes=(*entry.notes, title), conditions=conditions)


def _of_part(entry: Entry, part: str) -> Entry | None:
    """Return a run's row in one source of MMAD's questions; None if it answered none of them."""
    value = entry.sources.get(part, {}).get("choice_detection")
    if value is None:
        return None
    note = "an answer without a choice counts as wrong; MMAD's script leaves it out"
    metrics = {**dict.fromkeys(METRIC_NAMES), "balanced_accuracy": value}
    return replace(entry, metrics=metrics, intervals={}, notes=(*entry.notes, note))
