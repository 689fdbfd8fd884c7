"""Runs side by side as a page; where they disagree comes first."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lvlm_ad import __version__
from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.files import write_file
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.report.cards import gallery, letter, names_of
from lvlm_ad.report.page import render
from lvlm_ad.report.run_page import HEADS, condition_of
from lvlm_ad.report.sources import find_sources
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    """Write a page that compares the first run with each of the others, and shows all on each image.

    Args:
        runs: two or more on the same images, read with their predictions.
        out: the folder; files of an earlier page in it are replaced.
        resamples: as in ``compare_runs``.
        across_conditions: as in ``compare_runs``.
        data: where the data set is; None: where it was when the first run was made.
        pictures: whether images are shown.
        progress: hears how far it is.

    Returns:
        The page, ``index.html``.

    Raises:
        ConfigError: there are fewer than two runs.
        RunError: runs are not comparable, or the folder cannot be written.
        DataError: the images are not found, or are others; ``pictures=False`` needs none.
    """
    if len(runs) < 2:  # noqa: PLR2004 - one run compares with nothing
        raise ConfigError("A comparison takes two runs or more.")
    progress = progress or Silent()
    first = runs[0]
    found = [compare_runs(first, other, resamples, across_conditions=across_conditions) for other in runs[1:]]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Marks and maps are drawn by the first division that there is; comparable runs share it.
            divided = next((run for run in runs if run.manifest.division.hash), first)
            sources = find_sources(divided, data, progress, stack) if pictures else None
            cards, legend = gallery(runs, sources, out, progress)
        page = render("compare.html", _SCRIPTS, cards=cards, legend=legend, **_content(runs, found, resamples))
        write_file(out / "index.html", page)
    except OSError as error:
        raise RunError(f"The page cannot be written to {out}: {error.strerror}.") from error
    return out / "index.html"


def _content(runs: Sequence[Run], found: Sequence[Comparison], resamples: int) -> dict[str, Any]:
    names = [f"{letter(at)} {name}" for at, name in enumerate(names_of(runs))]
    rows = []
    for name, run in zip(names, runs, strict=True):
        mean = run.metrics["mean"]
        cells = [{"value": mean.get(one), "ends": mean.get("interval", {}).get(one)} for one in METRIC_NAMES]
        rows.append({"name": name, "cells": cells})
    pairs = [
        {
            "first": names[0],
            "second": name,
            "rows": [
                {"name": category, "cells": [of[metric] for metric in METRIC_NAMES]}
                for category, of in one.categories.items()
            ],
            "mean": [one.mean[metric] for metric in METRIC_NAMES],
        }
        for name, one in zip(names[1:], found, strict=True)
    ]
    return {
        "title": " against ".join(names),
        "version": __version__,
        "made": "",
        "names": names,
        "condition": condition_of(runs[0]),
        "notes": list(dict.fromkeys(note for one in found for note in one.notes)),
        "heads": list(HEADS.values()),
        "rows": rows,
        "pairs": pairs,
        "resamples": f"{resamples:,}",
        "heading": "Images, where the runs differ most first",
    }
