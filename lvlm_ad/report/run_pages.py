"""The pages of runs: one run with its plots and every image, and runs side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.compare import SIGNIFICANT, adjusted, compare_runs, distinct_names, method_in_words
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.files import write_file
from lvlm_ad.leaderboard import undefined_notes, usd
from lvlm_ad.leaderboard.columns import UNKNOWN
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.leaderboard.reported_columns import reported_column
from lvlm_ad.log import Progress
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS
from lvlm_ad.report.choices import choice_tables
from lvlm_ad.report.decisions import decision_panel, decisions_of
from lvlm_ad.report.gallery import gallery, letter
from lvlm_ad.report.groups import group_tables
from lvlm_ad.report.interval_words import current_intervals, interval_notes
from lvlm_ad.report.page import render
from lvlm_ad.report.paper_figures import run_bars, save_for_papers
from lvlm_ad.report.run_plots import category_plots, run_plots
from lvlm_ad.report.summary import curves_of, times_of
from lvlm_ad.runs import is_reported, metric_title, reported_of, titles_of, usd_per_image
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.compare import Comparison
    from lvlm_ad.runs import Manifest, Run

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "make.js", "gallery.js")
_REPORT_SCRIPTS = (*_SCRIPTS, "binomial.js", "figures.js", "decisions.js")
_STATUSES = ("ok", "partial", "refused", "unparsable", "truncated", *UNANSWERED)
_EXAMPLE_LENGTH = 200
_WIDEST = 10
"""Metrics in a table that fits a usual screen."""
_VARIES = "how much each value would vary with other test images of the same categories"


_SHAPE_TITLES = {**SHAPE_METRICS, **POINT_METRICS}


def write_report(
    run: Run,
    out: Path,
    *,
    data: Path | None = None,
    pictures: bool = True,
    figures: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a run's page, with its pictures and plots, and return the path of its ``index.html``.

    The folder ``out`` can be moved, opened from disk, and published on a web server; files of an earlier report in it
    are replaced. ``data`` is the folder of the data set (None: where it was when this machine made the run),
    ``figures`` asks for the plots as PDF and PNG, too.

    Raises:
        DataError: the images are missing, or are others; ``pictures=False`` needs none.
        RunError: the folder cannot be written, or the images have no labels.
    """
    run.check_labels()
    if out.is_symlink() and out.parent.resolve() == run.dir.resolve():
        raise RunError(
            f"{out} is a link, perhaps set by the author of the run; remove it, or give another folder with -o."
        )
    with _page_in(out) as page:
        images = _gallery([run], out, data, progress or Progress(), pictures=pictures)
        decisions = decisions_of(run)
        plots = run_plots(run, curves_of(run), decisions)
        by_category = category_plots(current_intervals(run.metrics))
        if figures:
            save_for_papers([*plots, *run_bars(run.manifest.row_name, current_intervals(run.metrics))], out / "figures")
        shown = {"plots": plots, "by_category": by_category, **images, **_report(run, decisions)}
        write_file(page, render("report.html", _REPORT_SCRIPTS, **shown))
    return page


def write_comparison(
    runs: Sequence[Run],
    out: Path,
    *,
    resamples: int = 1000,
    across_conditions: bool = False,
    data: Path | None = None,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a page that compares the first run with each of the others and shows every image under all of them.

    The arguments are those of ``write_report`` and ``compare_runs``.

    Raises:
        ConfigError: there are fewer than two runs.
        RunError: runs are not comparable, or the folder cannot be written.
        DataError: as ``write_report``.
    """
    if len(runs) < 2:  # noqa: PLR2004 - one run cannot be compared
        raise ConfigError("A comparison needs two runs or more.")
    first, *others = runs
    comparisons = adjusted(
        [compare_runs(first, other, resamples, across_conditions=across_conditions) for other in others]
    )
    with _page_in(out) as page:
        images = _gallery(runs, out, data, progress or Progress(), pictures=pictures)
        write_file(page, render("compare.html", _SCRIPTS, **images, **_comparison(runs, comparisons, resamples)))
    return page


@contextmanager
def _page_in(folder: Path) -> Iterator[Path]:
    """Create a page's folder and give the page's path; what cannot be written is a ``RunError``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder / "index.html"
    except OSError as error:
        raise RunError(f"The page cannot be written to {folder}: {error.strerror}.") from error


def _gallery(
    runs: Sequence[Run], out: Path, data: Path | None, progress: Progress, *, pictures: bool
) -> dict[str, Any]:
    """Write the pictures of runs, and return what ``gallery.html`` needs."""
    with ExitStack() as stack:
        # An own map has no division; comparable runs share theirs.
        divided = next((run for run in runs if run.manifest.division.hash), runs[0])
        sources = find_sources(divided, data, progress, stack) if pictures else None
        if sources is not None and sources.note:
            progress.note(f"Marks and maps are not shown: {sources.note}")
        cards, legend = gallery(runs, sources, out, progress)
    return {"cards": cards, "legend": legend}


def _report(run: Run, decisions: Mapping[str, Any]) -> dict[str, Any]:
    manifest, metrics = run.manifest, current_intervals(run.metrics)
    choices = choice_tables(metrics)
    # A method that asks questions gives no map.
    titles = {name: head for name, head in titles_of([metrics]).items() if not (choices and name.startswith("pixel"))}
    return {
        "title": f"{manifest.row_name} on {manifest.dataset.name}",
        "made": manifest.started[:10],
        "manifest": manifest,
        "metrics": metrics,
        "condition": f"{manifest.dataset.summary}; {_division(run)}",
        "tiles": _answer_tiles(run),
        "choices": choices,
        "titles": titles,
        "title_parts": _parts_of(titles, reported_of(metrics)),
        "shape_titles": {
            name: _SHAPE_TITLES[name] for name in _SHAPE_TITLES if name in metrics["mean"].get("shapes", {})
        },
        "intervals": _intervals(metrics),
        "has_intervals": _has_intervals(metrics),
        "undefined": undefined_notes(metrics["mean"]),
        "reported": _reported_notes(metrics),
        "cuts": _cuts(metrics),
        "outcomes": _outcomes(run),
        "panel": decision_panel(run, decisions),
        "groups": group_tables(metrics),
        "gallery_title": "Images",
        "settings": _settings(run),
    }


def _parts_of(titles: Mapping[str, str], first: Collection[str]) -> list[dict[str, str]]:
    """Return the metrics of each table: a table of its own for those that authors report, if one were too wide."""
    if len(titles) <= _WIDEST:
        return [dict(titles)]
    parts = ({name: head for name, head in titles.items() if (name in first) == own} for own in (True, False))
    return [part for part in parts if part]


def _reported_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Explain the metrics that the data set has of its own, by the names that the page has for them."""
    names = [name for name in reported_of(metrics) if is_reported(name)]
    return metric_notes([replace(reported_column(name), head=metric_title(name)) for name in names])


def _cuts(metrics: Mapping[str, Any]) -> list[str]:
    """Say which threshold of maps SegF1 and ClassF1 have in each category."""
    cuts = metrics.get("map_thresholds", {})
    if not cuts:
        return []
    first = next(iter(cuts.values()))
    each = ", ".join(f"{name} {one['value']:.4g} ({one['images']} images)" for name, one in cuts.items())
    rule = f"{first['rule']} of the maps of {first['source']}, which need no test label"
    return [f"For SegF1 and ClassF1 a pixel is positive above a threshold, the {rule}: {each}."]


def _intervals(metrics: Mapping[str, Any]) -> list[str]:
    """Say what the intervals are, where there is none, and where they are wide."""
    notes = interval_notes(metrics)
    if _has_intervals(metrics):
        return [f"Small letters show 95 % confidence intervals: {_VARIES}.", *notes]
    return notes if "rule" not in metrics.get("intervals", {}) else ["No value has an interval.", *notes]


def _has_intervals(metrics: Mapping[str, Any]) -> bool:
    return any(one.get("interval") for one in (metrics["mean"], *metrics["categories"].values()))


def _division(run: Run) -> str:
    manifest = run.manifest
    if manifest.model.row == "dense":
        return "own anomaly maps"
    prompt = f", prompt {manifest.prompt.name}" if manifest.prompt.name else ""
    method = f"method {method_in_words(manifest, hashes=False)}" if manifest.method.name != "regions" else ""
    division = f"{manifest.division.method} division" if manifest.division.method or not method else ""
    return f"{', '.join(filter(None, [method, division]))}{prompt}"


def _answer_tiles(run: Run) -> list[tuple[str, str, str]]:
    """Return tiles about the answers: heading, value, and a line below it."""
    usage, answers = run.metrics["usage"], run.metrics["answers"]
    # Rounding must not claim that every image was answered.
    share = int(100 * answers["usable"] / answers["total"])
    tiles = [("Answered", f"{share} %", f"{answers['usable']} of {answers['total']} images")]
    if run.manifest.model.kind != "backend":
        return tiles
    cost, each = usage["cost_usd"], usd_per_image(run.metrics)
    tokens = (usage["input_tokens"], usage["output_tokens"])
    tiles.append(("Cost, USD", usd(cost), "" if each is None else f"{usd(each)} per image"))
    if None in tokens:
        tiles.append(("Tokens", UNKNOWN, ""))
    else:
        tiles.append(("Tokens", f"{sum(tokens):,}", f"{tokens[0]:,} in, {tokens[1]:,} out"))
    if times := times_of(run.predictions):
        below = f"median; 95 % within {times.text(times.p95)}"
        tiles.append(("Time to answer", times.text(times.median), below))
    return tiles


def _outcomes(run: Run) -> list[tuple[str, int, str]]:
    outcomes: list[tuple[str, int, str]] = []
    for status in _STATUSES:
        records = [record for record in run.predictions if record.status == status]
        if records:
            text = records[0].text or " ".join(records[0].notes) or "no text: the answer is a map"
            cut = "..." if len(text) > _EXAMPLE_LENGTH else ""
            example = f"{records[0].id}: {text[:_EXAMPLE_LENGTH]}{cut}"
            outcomes.append((status, len(records), example))
    return outcomes


def _settings(run: Run) -> list[tuple[str, str]]:
    manifest = run.manifest
    options = ", ".join(f"{name} {value}" for name, value in manifest.division.options.items())
    settings = [
        *((name, str(value)) for name, value in manifest.model.identity.items()),
        *((f"protocol: {name}", str(value)) for name, value in manifest.protocol.items()),
        *_method_settings(manifest),
        ("division", f"{manifest.division.method} ({options})" if manifest.division.method else "none"),
        ("images without an answer", manifest.on_failure),
        ("seed", str(manifest.seed)),
        ("hash of the configuration", manifest.config_hash),
        ("hash of the data set", manifest.dataset.fingerprint),
        ("hash of the division", manifest.division.hash),
        ("hash of the prompt", manifest.prompt.hash),
        ("started", manifest.started),
        ("duration, seconds", f"{manifest.seconds:.0f}"),
        *((name, value) for name, value in manifest.versions.items()),
    ]
    return [(name, value) for name, value in settings if value]


def _method_settings(manifest: Manifest) -> list[tuple[str, str]]:
    """Return the settings of a method other than "regions"."""
    method = manifest.method
    if method.name == "regions":
        return []
    options = [(f"{method.name}: {name}", str(value)) for name, value in method.options.items()]
    convention = [(f"convention: {name}", str(value)) for name, value in method.convention.items()]
    return [("method", method.name), *options, *convention]


def _comparison(runs: Sequence[Run], comparisons: Sequence[Comparison], resamples: int) -> dict[str, Any]:
    names = [f"{letter(index)} {name}" for index, name in enumerate(distinct_names(runs))]
    known = {**titles_of([run.metrics for run in runs]), **_SHAPE_TITLES}
    titles = {name: title for name, title in known.items() if any(name in one.mean for one in comparisons)}
    return {
        "title": " against ".join(names),
        "made": "",
        "names": names,
        "condition": runs[0].manifest.dataset.summary,
        "notes": list(dict.fromkeys(note for comparison in comparisons for note in comparison.notes)),
        "titles": titles,
        "rows": [
            (name, _with_shapes(current_intervals(run.metrics)["mean"])) for name, run in zip(names, runs, strict=True)
        ],
        "pairs": [{"second": name, "comparison": one} for name, one in zip(names[1:], comparisons, strict=True)],
        "significant": SIGNIFICANT,
        "adjusted": _adjusted(len(comparisons[0].categories), len(comparisons)),
        "resamples": f"{resamples:,}",
        "gallery_title": "Images, largest differences first",
    }


def _with_shapes(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return measures with those of shapes among them."""
    shapes = measures.get("shapes", {})
    intervals = {**measures.get("interval", {}), **shapes.get("interval", {})}
    return {**{name: value for name, value in shapes.items() if name != "undefined"}, **measures, "interval": intervals}


def _adjusted(categories: int, pairs: int) -> str:
    """Say for how many tests p-values are adjusted; empty if there is one."""
    if categories * pairs == 1:
        return ""
    runs = f" x {pairs} runs" if pairs > 1 else ""
    mean = f"; of a mean for {pairs} runs" if pairs > 1 and categories > 1 else ""
    return f", adjusted by Holm's method for {categories} categories{runs}{mean}"
