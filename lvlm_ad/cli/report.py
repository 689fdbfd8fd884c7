"""``lvlm-ad report``: a run as a web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.options import Json, RunFolder
from lvlm_ad.cli.shell import guarded, print_json, say

__all__ = ["report"]


@guarded
def report(
    run: RunFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page's folder.  [default: report in the run's folder]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set.  [default: its folder at the time of the run]")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show the images with marks and maps.")] = True,
    figures: Annotated[bool, typer.Option("--figures", help="Write the plots as PDF and PNG too.")] = False,
    json: Json = False,
) -> None:
    """Write a run as a web page.

    It shows metrics with intervals, curves, outcomes, and every image with its answer and map. The page is a folder
    with index.html. It opens from disk and loads nothing from the network. Note before you pass it on: it contains the
    images.
    """
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.report.run_pages import write_report
    from lvlm_ad.runs import only_run, read_run

    folder = only_run(run)
    with Bars() as bars:
        page = write_report(
            read_run(folder),
            output or folder / "report",
            data=data,
            pictures=pictures,
            figures=figures,
            progress=bars,
        )
    say(f"report: {page}")
    if json:
        print_json({"page": str(page)})
