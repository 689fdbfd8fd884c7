"""``lvlm-ad compare``: whether two runs differ by more than chance."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.shell import guarded, print_json, say

__all__ = ["compare"]


@guarded
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    others: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Another one on the same images, or several.")],
    resamples: Annotated[int, typer.Option(min=100, max=1_000_000, help="How often the images are drawn anew.")] = 1000,
    images: Annotated[int, typer.Option(min=0, help="Name N images that are ranked most differently.")] = 10,
    across_conditions: Annotated[
        bool,
        typer.Option("--across-conditions", help="Different models may also differ in division, prompt and so on."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page to this folder instead; it takes several runs.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="--html: where the data set is.  [default: where it was when the run was made]")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="--html: show the images.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compare two runs on the same images: differences of all metrics, how sure they are, and where they come from.

    Intervals and p-values are of a paired bootstrap: both runs are measured on the same resamples of the
    images, as many good and as many defective ones of each category as there are.
    """
    from rich.console import Console

    from lvlm_ad.cli.comparison import print_comparison
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.compare import compare_runs
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.report.compare_page import write_comparison
    from lvlm_ad.runs import only_run, read_run

    runs = [read_run(only_run(folder)) for folder in (first, *others)]
    if html is not None:
        with Bars(Console(stderr=True)) as bars:
            page = write_comparison(
                runs,
                html,
                resamples=resamples,
                across_conditions=across_conditions,
                data=data,
                pictures=pictures,
                progress=bars,
            )
        say(f"comparison: {page}")
        if json:
            print_json({"page": str(page)})
        return
    if len(runs) > 2:  # noqa: PLR2004 - the first and one other
        raise ConfigError("The terminal shows two runs; --html DIR writes a page of several.")
    found = compare_runs(runs[0], runs[1], resamples, across_conditions=across_conditions)
    if json:
        print_json({**asdict(found), "images": [asdict(one) for one in found.images[:images]]})
        return
    print_comparison(found, Console(width=None if sys.stdout.isatty() else 140), images)
