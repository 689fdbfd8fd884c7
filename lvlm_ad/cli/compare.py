"""``lvlm-ad compare``: whether two runs differ by more than chance."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.options import Json, RunFolder
from lvlm_ad.cli.shell import BOARD_WIDTH, guarded, print_json, say, table_console

__all__ = ["compare"]


@guarded
def compare(
    first: RunFolder,
    others: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more other runs on the same images.")],
    resamples: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Bootstrap resamples for intervals and p-values.")
    ] = 1000,
    images: Annotated[int, typer.Option(min=0, help="List the N images with the largest differences.")] = 10,
    across_conditions: Annotated[
        bool,
        typer.Option("--across-conditions", help="Allow different divisions, prompts and so on for different models."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page to this folder instead; takes several runs.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --html: folder of the data set.  [default: its folder at the time of the run]"),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="With --html: show the images.")] = True,
    json: Json = False,
) -> None:
    """Compare two runs on the same images.

    Shows the differences of all metrics, their significance, and the images with the largest differences.

    Intervals and p-values come from a paired bootstrap: both runs are measured on the same resamples of the images,
    drawn separately from the good and the anomalous images of each category.
    """
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.cli.tables import print_comparison
    from lvlm_ad.compare import compare_runs
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.report.run_pages import write_comparison
    from lvlm_ad.runs import only_run, read_run

    runs = [read_run(only_run(folder)) for folder in (first, *others)]
    if html is not None:
        with Bars() as bars:
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
    if len(others) > 1:
        raise ConfigError("The terminal shows two runs; --html DIR writes a page of several.")
    comparison = compare_runs(runs[0], runs[1], resamples, across_conditions=across_conditions)
    if json:
        print_json({**asdict(comparison), "images": [asdict(image) for image in comparison.images[:images]]})
        return
    print_comparison(comparison, table_console(BOARD_WIDTH), images)
