"""The page of a model: its methods on each data set, costs and scores by category, studies and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import RunError
from lvlm_ad.leaderboard import COLUMNS, Column, metrics_by_model, model_tables, usd
from lvlm_ad.leaderboard.columns import INTERVALS, OWN_MAPS, REFERENCE_ROWS, heads_in_words
from lvlm_ad.leaderboard.entries import model_in_words
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.leaderboard.shown_columns import shown_columns
from lvlm_ad.presets import load_model, preset_names
from lvlm_ad.report.model_page import METHOD_SCRIPTS, method_values
from lvlm_ad.report.page import render
from lvlm_ad.runs import METRIC_NAMES, read_run
from lvlm_ad.site.index import price_range

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.leaderboard import Entry
    from lvlm_ad.runs import Run
    from lvlm_ad.site.contents import Contents, ModelRow
    from lvlm_ad.site.pictures import Gallery

__all__ = ["model_page"]

_KINDS_IN_WORDS = {
    "backend": "A chat model: it is asked about each image.",
    "baseline": "A method that is not a chat model.",
    "maps": "Anomaly maps that were made elsewhere and measured here.",
}

_EYEBROWS = {"backend": "Model", "baseline": "Method", "maps": "Anomaly maps"}


@dataclass(frozen=True)
class _Category:
    """A category of a run: how many images, the share that was answered, and what one costs."""

    name: str
    n_images: int
    answered: float
    usd_per_image: str


@dataclass(frozen=True)
class _Tile:
    """A figure at the top of the page, with a line below it."""

    heading: str
    value: str
    below: str


def model_page(contents: Contents, name: str, galleries: Sequence[Gallery]) -> str:
    """Return the page of a model; ``galleries`` are its pictures, or the reasons why there are none."""
    rows = contents.models[name]
    columns = _columns(contents, rows)
    runs = list({row.run.dir: row.run for row in rows}.values())
    tables, _ = model_tables(runs, contents.board.sort)
    methods = method_values(tables, metrics_by_model("", runs), lambda _: {})
    model = max(runs, key=lambda run: run.manifest.started).manifest.model
    known = model.name in preset_names("models")
    return render(
        "site_model.html",
        METHOD_SCRIPTS,
        title=f"{name}: zero-shot visual anomaly detection",
        name=name,
        eyebrow="Reference row" if model.frame else _EYEBROWS[model.kind],
        what="A reference row, to compare others with; it is not ranked."
        if model.frame
        else _KINDS_IN_WORDS[model.kind],
        description=load_model(model.name).description if known else "",
        notes=[*filter(None, [model_in_words(model.identity)]), *model.notes],
        tiles=_tiles(rows, runs),
        price=_price(model.price),
        columns=columns,
        rows=[(row, _link_and_conditions(contents, row)) for row in rows],
        categories=[_by_category(row, columns) for row in _one_of_each_run(rows)],
        galleries=[(one.title, one) for one in galleries],
        missing=_missing(galleries),
        studies=[
            (study, folder)
            for study, folder in zip(contents.studies, contents.study_folders, strict=True)
            if study.model == model.name
        ],
        tables=methods["tables"],
        method_explanations=methods["explanations"],
        explanations=[heads_in_words(columns), INTERVALS, REFERENCE_ROWS, OWN_MAPS, *metric_notes(columns)],
        **contents.page_values(contents.model_pages[name], "../"),
    )


def _missing(galleries: Sequence[Gallery]) -> list[tuple[str, list[str]]]:
    """Return the reasons why there are no pictures, each with the data sets."""
    found: dict[str, list[str]] = {}
    for one in galleries:
        if not one.images:
            found.setdefault(one.why_not, []).append(one.title)
    return list(found.items())


def _columns(contents: Contents, rows: Sequence[ModelRow]) -> tuple[Column, ...]:
    """Return the columns in which some row of the model has a value.

    Metrics common to all data sets come first, then those that the authors of one data set report, then costs. Shapes
    have none: the methods side by side show them.
    """
    groups = [replace(row.table.group, entries=(row.entry,)) for row in rows]
    # The first two columns are rank and name.
    shown = [
        column
        for column in shown_columns(groups, contents.columns)[2:]
        if any(column.value(row.entry) is not None for row in rows)
    ]
    if contents.columns != COLUMNS:
        return tuple(shown)
    common = [column for column in COLUMNS if column in shown]
    metrics = [column for column in common if column.name in METRIC_NAMES]
    of_one_set = [column for column in shown if column not in common and column.name not in SHAPES]
    return (*metrics, *of_one_set, *(column for column in common if column not in metrics))


def _link_and_conditions(contents: Contents, row: ModelRow) -> dict[str, str]:
    """Return the data set of a row, the conditions of its table, and the address of the table."""
    link = f"../{contents.dataset_pages[row.table.image_set]}#group{row.table.number}"
    return {"link": link, "title": row.table.title, "conditions": row.table.group.title}


def _one_of_each_run(rows: Sequence[ModelRow]) -> list[ModelRow]:
    """Return the first row of each run: baselines are in the tables of several methods."""
    first: dict[Path, ModelRow] = {}
    for row in rows:
        first.setdefault(row.run.dir, row)
    return list(first.values())


def _tiles(rows: Sequence[ModelRow], runs: Sequence[Run]) -> list[_Tile]:
    """Return how much was measured and, of chat models, how much was answered and what it cost."""
    images = sum(run.manifest.dataset.n_images for run in runs)
    answered = sum(run.metrics["answers"]["usable"] for run in runs)
    costs = [run.metrics["usage"]["cost_usd"] for run in runs]
    image_sets = {row.table.image_set for row in rows}
    tiles = [_Tile("Data sets", f"{len(image_sets)}", f"{len(runs)} run{'s' if len(runs) != 1 else ''}")]
    if runs[0].manifest.model.kind == "backend":
        over = f", over {len(runs)} runs" if len(runs) > 1 else ""
        # Rounding must not claim that every image was answered.
        tiles.append(_Tile("Answered", f"{int(100 * answered / images)} %", f"{answered:,} of {images:,} images{over}"))
        tiles.append(_Tile("USD/image", price_range(rows) or "unknown", _total_cost(costs)))
    return tiles


def _total_cost(costs: Sequence[float | None]) -> str:
    """Say what runs cost in all; an unknown cost never counts as 0.

    Example:
        >>> _total_cost([0.5, 0.25]), _total_cost([0.5, None]), _total_cost([None, None])
        ('0.75 USD in all', '0.5 USD; 1 run of unknown cost', '2 runs of unknown cost')
    """
    known = [cost for cost in costs if cost is not None]
    missing = len(costs) - len(known)
    unknown = f"{missing} run{'s' if missing != 1 else ''} of unknown cost"
    if not known:
        return unknown
    return f"{usd(sum(known))} USD; {unknown}" if missing else f"{usd(sum(known))} USD in all"


def _price(price: Any) -> str:
    """Write a price list in a sentence; empty if nothing is known."""
    parts = [
        (price.get("price_input"), "per million input tokens"),
        (price.get("price_cached"), "per million cached tokens"),
        (price.get("price_output"), "per million output tokens"),
        (price.get("price_per_hour"), "per hour of a machine"),
    ]
    known = [f"{usd(value)} USD {words}" for value, words in parts if value is not None]
    read = f", read {price['price_date']}" if known and price.get("price_date") else ""
    return f"{', '.join(known)}{read}." if known else ""


def _by_category(row: ModelRow, columns: Sequence[Column]) -> dict[str, Any]:
    """Return the metrics of a run's categories, how many images were answered, and what one costs."""
    entry = row.entry
    metrics = [one for one in columns if any(of.get(one.name) is not None for of in entry.categories.values())]
    return {
        "title": f"{entry.name} on {row.table.title} ({row.run.manifest.dataset.images})",
        "metrics": metrics,
        "rows": [(one, _values(entry, one.name, metrics)) for one in _categories(row.run)],
    }


def _values(entry: Entry, category: str, metrics: Sequence[Column]) -> list[tuple[float | None, Any]]:
    values, ends = entry.categories.get(category, {}), entry.category_intervals.get(category, {})
    return [(values.get(one.name), ends.get(one.name)) for one in metrics]


def _categories(run: Run) -> list[_Category]:
    """Count the images of each category; empty if the predictions cannot be read."""
    # Predictions of what asks nobody have no cost.
    free = usd(0) if run.metrics["usage"]["cost_usd"] == 0 else ""
    try:
        records = run.predictions or read_run(run.dir).predictions
    except RunError:
        return []
    found = []
    for name in run.manifest.dataset.categories:
        of = [record for record in records if record.category == name]
        costs = [record.cost_usd for record in of]
        known = [cost for cost in costs if cost is not None]
        price = usd(sum(known) / len(of)) if known and len(known) == len(costs) else free
        found.append(_Category(name, len(of), sum(record.usable for record in of) / max(1, len(of)), price))
    return found
