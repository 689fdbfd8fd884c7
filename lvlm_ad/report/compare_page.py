"""Runs side by side as a page; the images on which they differ most come first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.files import write_file
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.report.gallery import display_names, gallery, letter
from lvlm_ad.report.page import render
from lvlm_ad.report.run_page import conditions_of, metric_cells
from lvlm_ad.runs import METRIC_NAMES, METRIC_TITLES

if TYPE_CHECKING:
    from lvlm_ad.compare import Comparison
    from lvlm_ad.runs import Run

__all__ = ["write_comparison"]

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js", "gallery.js")


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

    Args:
        runs: two or more on the same images, read with their predictions.
        out: the folder; files of an earlier page in it are replaced.
        resamples: as in ``compare_runs``.
        across_conditions: as in ``compare_runs``.
        data: where the data set is; None: where it was when this machine made the first run.
        pictures: whether to show images.
        progress: receives how many images are done.

    Returns:
        The page, ``index.html``.

    Raises:
        ConfigError: there are fewer than two runs.
        RunError: runs are not comparable, or the folder cannot be written.
        DataError: the images are missing, or are others; ``pictures=False`` needs none.
    """
    if len(runs) < 2:  # noqa: PLR2004 - one run cannot be compared
        raise ConfigError("A comparison needs two runs or more.")
    progress = progress or Silent()
    first, *others = runs
    comparisons = [compare_runs(first, other, resamples, across_conditions=across_conditions) for other in others]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # An own map has no division; comparable runs share theirs.
            divided = next((run for run in runs if run.manifest.division.hash), first)
            sources = find_sources(divided, data, progress, stack) if pictures else None
            cards, legend = gallery(runs, sources, out, progress)
        page = render("compare.html", _SCRIPTS, cards=cards, legend=legend, **_content(runs, comparisons, resamples))
        write_file(out / "index.html", page)
    except OSError as error:
        raise RunError(f"The page cannot be written to {out}: {error.strerror}.") from error
    return out / "index.html"


def _content(runs: Sequence[Run], comparisons: Sequence[Comparison], resamples: int) -> dict[str, Any]:
    names = [f"{letter(index)} {name}" for index, name in enumerate(display_names(runs))]
    rows = [{"name": name, "cells": metric_cells(run.metrics["mean"])} for name, run in zip(names, runs, strict=True)]
    pairs = [
        {
            "second": name,
            "rows": [
                {"name": category, "cells": [differences[metric] for metric in METRIC_NAMES]}
                for category, differences in comparison.categories.items()
            ],
            "mean": [comparison.mean[metric] for metric in METRIC_NAMES],
        }
        for name, comparison in zip(names[1:], comparisons, strict=True)
    ]
    return {
        "title": " against ".join(names),
        "made": "",
        "names": names,
        "condition": conditions_of(runs[0]),
        "notes": list(dict.fromkeys(note for comparison in comparisons for note in comparison.notes)),
        "heads": list(METRIC_TITLES.values()),
        "rows": rows,
        "pairs": pairs,
        "resamples": f"{resamples:,}",
        "heading": "Images, largest differences first",
    }
