"""``lvlm-ad compare``: whether two runs differ by more than chance."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import guarded, print_json

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

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

    found = compare_runs(_read(first), _read(second), resamples, across_conditions=across_conditions)
    if json:
        print_json({**asdict(found), "images": [asdict(one) for one in found.images[:images]]})
        return
    print_comparison(found, Console(width=None if sys.stdout.isatty() else 140), images)


def _read(folder: Path) -> Run:
    """Read the run that a folder is, or the only one that it holds.

    Raises:
        RunError: there is none, or there are several.
    """
    from lvlm_ad.errors import RunError
    from lvlm_ad.runs import find_runs, read_run

    found = find_runs(folder)
    if len(found) != 1:
        some = f"holds {len(found)} runs; name one, such as {found[0]}" if found else "is no run and holds none"
        raise RunError(f"{folder} {some}.")
    return read_run(found[0])
