"""``lvlm-ad report``: a run as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.shell import guarded, print_json, say

__all__ = ["report"]


@guarded
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the page.  [default: report in the run's folder]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set is.  [default: where it was when the run was made]")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show the images with their marks and maps.")] = True,
    figures: Annotated[bool, typer.Option("--figures", help="Write the plots as PDF and PNG, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write a run as a page: metrics with intervals, curves, outcomes, and every image with its answer and map.

    The page is a folder with index.html. It opens from disk, asks nothing of the network and can be given away;
    mind that it holds the images.
    """
    from rich.console import Console

    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.report.run_page import write_report
    from lvlm_ad.runs import only_run, read_run

    folder = only_run(run)
    found = read_run(folder)
    with Bars(Console(stderr=True)) as bars:
        page = write_report(
            found, output or folder / "report", data=data, pictures=pictures, figures=figures, progress=bars
        )
    say(f"report: {page}")
    if json:
        print_json({"page": str(page)})
