"""The first page of a site: which model detects best on which data set, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard import model_title, percent, usd
from lvlm_ad.leaderboard.choice_values import ACCURACY
from lvlm_ad.presets.published import NOTHING
from lvlm_ad.report.interval_words import interval_text
from lvlm_ad.report.page import render
from lvlm_ad.runs import metric_title
from lvlm_ad.site.comparisons import compared_rows, comparisons
from lvlm_ad.site.image_sets import dataset_title

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Entry, Group
    from lvlm_ad.runs.records import DatasetRecord
    from lvlm_ad.site.contents import Contents, ModelRow, Table

__all__ = ["index_page", "price_range"]

_BEST = 3
"""Rows on a data set's card."""

_KINDS = {"backend": "chat model", "baseline": "other method", "maps": "maps from files"}

_TRAINED = {"synthetic": "synthetic anomalies", "expert-ad": "Expert-AD, whose images are of unknown origin"}
"""Training data that ``bench`` cannot read -> its name in sentences."""

_DOWNLOADS = {
    "feeds/leaderboard.json": "every table, with notes and values by category",
    "feeds/leaderboard.csv": "every row of every table",
    "feeds/published.json": "published results",
    "feeds/published.csv": "every row of published results",
    "feeds/runs.json": "new runs, for feed readers",
    "feeds/schema.json": "JSON schema of the tables",
    "exports/evaluation-tables.json": "results by task, in the format of Papers with Code's archive",
}
_DOWNLOAD_FOLDERS = {
    "exports/huggingface/": "results of a model, for its repository at the Hugging Face hub",
    "exports/paperswithcode/": "results on a data set, for paperswithcode.co",
}


def index_page(contents: Contents) -> str:
    """Return the first page of a site."""
    # The first table of a set of images has the most ranked rows.
    mains = [tables[0] for tables in contents.tables.values()]
    return render(
        "site_index.html",
        ("sortable.js", "sortable.a11y.js", "ascending.js"),
        title="lvlm-ad leaderboard: zero-shot visual anomaly detection",
        n_runs=len(contents.runs),
        measured=_measured_in_words(contents),
        verified=contents.verified_in_words(contents.tables),
        left_out=contents.left_out,
        cards=[_card(contents, table) for table in mains],
        heads=[(table.title, table.group, _sort_of(contents, table)) for table in mains],
        metric=metric_title(contents.board.sort),
        models=sorted((_model(contents, name, mains) for name in contents.models), key=_best_first),
        published=[_published(group, number) for number, group in enumerate(contents.published.groups, start=1)],
        studies=list(zip(contents.studies, contents.study_folders, strict=True)),
        downloads=[(path, _about(path)) for path in contents.downloads],
        has_models=any(not run.manifest.model.frame for run in contents.runs),
        **contents.page_values("index.html", ""),
    )


def price_range(rows: Sequence[ModelRow]) -> str:
    """Return what an image costs in USD, or from what to what; empty if it is unknown.

    Example:
        >>> price_range([])
        ''
    """
    prices = sorted({row.entry.usd_per_image for row in rows if row.entry.usd_per_image is not None})
    if not prices:
        return ""
    return "\N{EN DASH}".join(dict.fromkeys(usd(price) for price in (prices[0], prices[-1])))


def _sort_of(contents: Contents, table: Table) -> str:
    """Return the metric that ranks a table: accuracy where models answered questions."""
    sort = contents.board.sort
    asked = any(ACCURACY in entry.metrics for entry in table.group.entries)
    return ACCURACY if sort == "image_auroc" and asked else sort


def _card(contents: Contents, table: Table) -> dict[str, Any]:
    sort = _sort_of(contents, table)
    of_models = [entry for entry in table.group.entries if _is_of_model(contents, entry)]
    best = table.ranked[:_BEST] or [entry for entry in of_models if entry.kind == "apart"][:_BEST]
    others = [one for one in compared_rows(table, contents.by_folder).values() if one not in best]
    runs = {
        entry.run
        for one in contents.tables[table.image_set]
        for entry in one.group.entries
        if _is_of_model(contents, entry)
    }
    first = contents.by_folder[next(entry.run for entry in table.group.entries if entry.run)].manifest.dataset
    # Half of the scale would be worse than chance.
    low = 0.5 if sort.endswith("auroc") else 0.0
    published = next(
        (at for at, one in enumerate(contents.published.groups, 1) if one.conditions["dataset"] == table.dataset), 0
    )
    return {
        "title": table.title,
        "link": contents.dataset_pages[table.image_set],
        "summary": _measured(first),
        "counts": ", ".join(
            [
                _counted(len(contents.tables[table.image_set]), "table"),
                *([f"{_counted(len(runs), 'run')} of models"] if runs else []),
            ]
        ),
        "metric": "Accuracy" if sort == ACCURACY else metric_title(sort),
        "low": f"{100 * low:.0f}",
        "rows": [_bar(contents, entry, sort, low) for entry in (*best, *others)],
        "why_no_rank": _why_no_rank(table, of_models),
        "comparisons": (
            [] if sort == ACCURACY else comparisons(table, contents.by_folder, sort, verified=contents.verified)
        ),
        "published": published,
    }


def _is_of_model(contents: Contents, entry: Entry) -> bool:
    """Whether a row is measured and neither a reference row nor the own map of one."""
    return entry.run in contents.by_folder and not contents.by_folder[entry.run].manifest.model.frame


def _why_no_rank(table: Table, of_models: Sequence[Entry]) -> str:
    """Say why no row of a table has a rank; empty if one has."""
    if table.ranked:
        return "" if any(entry.rank for entry in table.ranked) else table.group.ranking
    if not of_models:
        return "No model has been measured on these images yet."
    reason = next((entry.reason for entry in of_models if entry.reason), "")
    return f"No row is ranked here: {reason}." if reason else "No row is ranked here."


def _measured_in_words(contents: Contents) -> str:
    """Say how many models were measured, reference rows apart."""
    own = [run for run in contents.runs if not run.manifest.model.frame]
    references = {run.manifest.model.name for run in contents.runs if run.manifest.model.frame}
    if not own:
        rows = ", ".join(sorted(references))
        return f"No model has been measured here yet; the rows below are reference rows ({rows})."
    models = {model_title(run.manifest) for run in own}
    counts = [
        f"{_counted(len(own), 'run')} of {_counted(len(models), 'model')}",
        *([_counted(len(references), "reference row")] if references else []),
    ]
    return f"{' and '.join(counts)}, on {_counted(len(contents.tables), 'data set')}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _about(path: str) -> str:
    """Say what a file to download holds; empty if nothing is known of it."""
    return _DOWNLOADS.get(path) or next(
        (text for start, text in _DOWNLOAD_FOLDERS.items() if path.startswith(start)), ""
    )


def _measured(dataset: DatasetRecord) -> str:
    """Say which images were measured; the name of the data set stands above."""
    split = f", split {dataset.split}" if dataset.split else ""
    return f"{dataset.images}{split}{'' if dataset.whole else '; a part of the test images'}"


def _bar(contents: Contents, entry: Entry, sort: str, low: float) -> dict[str, Any]:
    value, ends = entry.metrics.get(sort), entry.intervals.get(sort)
    place = [max(0.0, (one - low) / (1 - low)) for one in (value or 0.0, *(ends or ()))]
    return {
        "entry": entry,
        "link": contents.model_pages[contents.model_of(entry)],
        "text": percent(value),
        "ends": "" if ends is None else interval_text(ends),
        "width": f"{100 * place[0]:.1f}",
        "from": f"{100 * place[1]:.1f}" if ends else "",
        "span": f"{100 * (place[2] - place[1]):.1f}" if ends else "",
        "price": "unknown cost" if entry.usd_per_image is None else f"{usd(entry.usd_per_image)} USD",
    }


def _model(contents: Contents, name: str, mains: Sequence[Table]) -> dict[str, Any]:
    rows = contents.models[name]
    model = rows[0].run.manifest.model
    cells = []
    for table in mains:
        sort = _sort_of(contents, table)
        own = [row.entry for row in rows if row.table is table and row.entry.metrics.get(sort) is not None]
        entry = max(own, key=lambda one: (one.kind != "apart", one.metrics[sort] or 0.0), default=None)
        cells.append(None if entry is None else (entry, entry.metrics[sort], entry.intervals.get(sort)))
    return {
        "name": name,
        "link": contents.model_pages[name],
        "kind": "reference" if model.frame else _KINDS[model.kind],
        "price": price_range(rows),
        "least": min((row.entry.usd_per_image for row in rows if row.entry.usd_per_image is not None), default=None),
        "cells": cells,
    }


def _best_first(model: dict[str, Any]) -> tuple[Any, ...]:
    """Order models by the first data set, ranked rows before others; by the next one if neither has a row there."""
    kinds = {"ranked": 0, "frame": 1, "apart": 2}
    cells = [(3, 0.0) if cell is None else (kinds[cell[0].kind], -cell[1]) for cell in model["cells"]]
    return model["kind"] == "reference", cells, model["name"].lower()


def _training(names: str) -> str:
    """Name training data as sentences do; empty for none.

    Example:
        >>> _training("synthetic"), _training("mvtec, visa"), _training("nothing")
        ('synthetic anomalies', 'MVTec AD, VisA', '')
    """
    return ", ".join(_TRAINED.get(name) or dataset_title(name) for name in names.split(", ") if name != NOTHING)


def _published(group: Group, number: int) -> dict[str, Any]:
    rows = [entry for entry in group.entries if entry.kind == "published"]
    metric = next(
        (
            name
            for name in ("image_auroc", "balanced_accuracy")
            if any(row.metrics.get(name) is not None for row in rows)
        ),
        "pixel_aupro",
    )
    known = [row for row in rows if row.metrics.get(metric) is not None and not row.conditions["trained_on_test_set"]]
    best = max(known, key=lambda row: row.metrics[metric] or 0.0, default=None)
    return {
        "title": group.title,
        "number": number,
        "n_rows": len(rows),
        "best": best,
        "trained_on": "" if best is None else _training(best.conditions["trained_on"]),
        "metric": "balanced accuracy" if metric == "balanced_accuracy" else metric_title(metric),
        "value": None if best is None else best.metrics[metric],
    }
