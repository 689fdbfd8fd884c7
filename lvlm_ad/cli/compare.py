"""``lvlm-ad compare``: whether two runs differ by more than chance."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.shell import guarded, print_json

__all__ = ["compare"]


@guarded
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one, on the same images.")],
    resamples: Annotated[int, typer.Option(min=100, max=1_000_000, help="How often the images are drawn anew.")] = 1000,
    images: Annotated[int, typer.Option(min=0, help="Name N images that are ranked most differently.")] = 10,
    across_conditions: Annotated[
        bool,
        typer.Option("--across-conditions", help="Different models may also differ in division, prompt and so on."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compare two runs on the same images: differences of all metrics, how sure they are, and where they come from.

    Intervals and p-values are of a paired bootstrap: both runs are measured on the same resamples of the
    images, as many good and as many defective ones of each category as there are.
    """
    from rich.console import Console

    from lvlm_ad.cli.comparison import print_comparison
    from lvlm_ad.compare import compare_runs
    from lvlm_ad.runs import only_run, read_run

    one, other = (read_run(only_run(folder)) for folder in (first, second))
    found = compare_runs(one, other, resamples, across_conditions=across_conditions)
    if json:
        print_json({**asdict(found), "images": [asdict(one) for one in found.images[:images]]})
        return
    print_comparison(found, Console(width=None if sys.stdout.isatty() else 140), images)
