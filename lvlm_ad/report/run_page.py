"""The page of one run: what was measured, how sure it is, and every image with its answer."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lvlm_ad import __version__
from lvlm_ad.errors import RunError
from lvlm_ad.files import write_file
from lvlm_ad.leaderboard import usd
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.report.cards import gallery
from lvlm_ad.report.figures import run_plots, save_plots
from lvlm_ad.report.page import number, percent, render
from lvlm_ad.report.sources import find_sources
from lvlm_ad.report.summary import curves_of, times_of
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvlm_ad.report.summary import Times
    from lvlm_ad.runs import Run

__all__ = ["HEADS", "condition_of", "write_report"]

HEADS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "image_f1_max": "Image F1",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1_max": "Pixel F1",
    "pixel_aupro": "PRO",
}
"""Metric -> its name in tables of pages."""

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "gallery.js")
_STATUSES = ("ok", "partial", "refused", "unparsable", "truncated", *UNANSWERED)


def write_report(
    run: Run,
    out: Path,
    *,
    data: Path | None = None,
    pictures: bool = True,
    figures: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a run's page: a folder that can be moved, opened from disk and put on a web server.

    Args:
        run: read with its predictions.
        out: the folder; files of an earlier report in it are replaced.
        data: where the data set is; None: where it was when the run was made.
        pictures: whether images are shown, or their scores and answers alone.
        figures: whether plots are also written as PDF and PNG, to ``figures/``.
        progress: hears how far it is.

    Returns:
        The page, ``index.html``.

    Raises:
        DataError: the images are not found, or are others; ``pictures=False`` needs none.
        RunError: the folder cannot be written.
    """
    progress = progress or Silent()
    try:
        if out.is_symlink() and out.parent.resolve() == run.dir.resolve():
            raise RunError(f"{out} is a link, and whoever made the run may have set it; remove it or give -o.")
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            sources = find_sources(run, data, progress, stack) if pictures else None
            if sources is not None and sources.note:
                progress.note(sources.note)
            cards, legend = gallery([run], sources, out, progress)
        plots = run_plots(run, curves_of(run))
        if figures:
            save_plots(plots, out / "figures")
        page = render("report.html", _SCRIPTS, plots=plots, cards=cards, legend=legend, **_content(run))
        write_file(out / "index.html", page)
    except OSError as error:
        raise RunError(f"The report cannot be written to {out}: {error.strerror}.") from error
    return out / "index.html"


def _content(run: Run) -> dict[str, Any]:
    manifest, metrics = run.manifest, run.metrics
    dataset = manifest.dataset
    rows, mean = _rows(metrics)
    return {
        "title": f"{manifest.row_name} on {dataset.name}",
        "version": __version__,
        "made": manifest.started[:10],
        "name": manifest.row_name,
        "condition": f"{condition_of(run)}; {_division(run)}",
        "tiles": [*_metric_tiles(metrics["mean"]), *_other_tiles(run)],
        "notes": [*manifest.model.notes, *dataset.notes],
        "heads": list(HEADS.values()),
        "rows": rows,
        "mean": mean,
        "undefined": sorted(set(metrics["mean"].get("undefined", {}).values())),
        "answers": metrics["answers"],
        "outcomes": _outcomes(run),
        "heading": "Images",
        "settings": _settings(run),
    }


def condition_of(run: Run) -> str:
    """Say what a run was measured on."""
    dataset = run.manifest.dataset
    many = len(dataset.categories) > 1
    place = f", {len(dataset.categories)} categories" if many else f" of {dataset.categories[0]}"
    count = f"{dataset.n_images} image{'' if dataset.n_images == 1 else 's'}"
    return f"{dataset.name}{'' if dataset.whole else ' (part)'}: {count}{place}"


def _division(run: Run) -> str:
    manifest = run.manifest
    if manifest.model.row == "dense":
        return "its own maps"
    prompt = f", prompt {manifest.prompt.name}" if manifest.prompt.name else ""
    return f"{manifest.division.method} division{prompt}"


def _metric_tiles(mean: Mapping[str, Any]) -> list[dict[str, Any]]:
    tiles = []
    for name, head in HEADS.items():
        low, high = mean.get("interval", {}).get(name, (None, None))
        under = [] if low is None else [f"{percent(low)} to {percent(high)}"]
        if name in mean.get("range", {}):
            worst, best = mean["range"][name]
            under.append(f"{percent(worst)} to {percent(best)}, by the missing answers")
        tiles.append({"head": head, "value": percent(mean.get(name)), "under": under})
    return tiles


def _other_tiles(run: Run) -> list[dict[str, Any]]:
    usage, answers = run.metrics["usage"], run.metrics["answers"]
    cost = usage["cost_usd"]
    tokens = [usage["input_tokens"], usage["output_tokens"]]
    known = None not in tokens
    each = [] if cost is None or not answers["total"] else [f"{usd(cost / answers['total'])} an image"]
    # Rounding must not claim that every image was answered.
    share = int(100 * answers["usable"] / answers["total"])
    counted = [f"{answers['usable']} of {answers['total']} images"]
    answered = {"head": "Answered", "value": f"{share} %", "under": counted}
    if run.manifest.model.kind != "backend":
        return [answered]
    return [
        answered,
        {"head": "Cost, USD", "value": usd(cost), "under": each},
        {
            "head": "Tokens",
            "value": number(sum(tokens) if known else None),
            "under": [f"{number(tokens[0])} in, {number(tokens[1])} out"] if known else [],
        },
        *_time_tile(times_of(run.predictions)),
    ]


def _time_tile(times: Times | None) -> list[dict[str, Any]]:
    if times is None:
        return []
    under = [f"median; 95 % within {times.text(times.late)}"]
    return [{"head": "Time to answer", "value": times.text(times.median), "under": under}]


def _rows(metrics: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the rows of the table: the categories', and the mean's if there are several."""

    def row(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
        cells = []
        for metric in METRIC_NAMES:
            ends = of.get("interval", {}).get(metric)
            cells.append({"value": of.get(metric), "ends": ends})
        return {"name": name, "images": of["n_measured"], "cells": cells}

    rows = [row(name, of) for name, of in metrics["categories"].items()]
    return rows, row("mean", metrics["mean"]) if len(rows) > 1 else None


def _outcomes(run: Run) -> list[dict[str, Any]]:
    found = []
    for status in _STATUSES:
        records = [record for record in run.predictions if record.status == status]
        if not records:
            continue
        said = records[0].text or " ".join(records[0].notes) or "no words; its answer is a map"
        example = f"{records[0].id}: {said[:200]}{'...' if len(said) > 200 else ''}"  # noqa: PLR2004 - two lines
        found.append({"name": status, "count": len(records), "example": example})
    return found


def _settings(run: Run) -> list[tuple[str, str]]:
    manifest = run.manifest
    options = ", ".join(f"{name} {value}" for name, value in manifest.division.options.items())
    settings = [
        *((name, str(value)) for name, value in manifest.model.identity.items()),
        *((f"protocol: {name}", str(value)) for name, value in manifest.protocol.items()),
        ("division", f"{manifest.division.method} ({options})" if manifest.division.method else "none"),
        ("without an answer", manifest.on_failure),
        ("seed", str(manifest.seed)),
        ("hash of the configuration", manifest.config_hash),
        ("hash of the data set", manifest.dataset.fingerprint),
        ("hash of the division", manifest.division.hash),
        ("hash of the prompt", manifest.prompt.hash),
        ("started", manifest.started),
        ("took, seconds", f"{manifest.seconds:.0f}"),
        *((name, value) for name, value in manifest.versions.items()),
    ]
    return [(name, value) for name, value in settings if value]
