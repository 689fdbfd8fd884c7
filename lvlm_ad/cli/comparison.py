"""``lvlm-ad compare``: two runs or more on the same images."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import boards, shell
from lvlm_ad.cli.runs import name_page

ComparisonFormat = StrEnum("ComparisonFormat", ["table", "csv", "tex"])


@shell.guarded
def compare(
    first: shell.RunFolder,
    others: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more other runs on the same images.")],
    resamples: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Bootstrap resamples for intervals; image AUROC needs none.")
    ] = 1000,
    images: Annotated[int, typer.Option(min=0, help="List the N images with the largest differences.")] = 10,
    across_conditions: Annotated[
        bool,
        typer.Option("--across-conditions", help="Allow different divisions, prompts and so on for different models."),
    ] = False,
    form: Annotated[
        ComparisonFormat, typer.Option("--format", "-f", help="Output format; csv and tex take more than two runs.")
    ] = ComparisonFormat.table,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="With csv and tex: these metrics.  [default: csv all; tex those of the authors, else both AUROC]",
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With csv and tex: output file.  [default: stdout]")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a web page to this folder instead; it can show more than two runs."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --html: folder of the data set.  [default: its folder at the time of the run]"),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="With --html: show the images.")] = True,
    json: shell.Json = False,
) -> None:
    """Compare two runs on the same images.

    Shows the differences of all metrics, their significance, and the images with the largest differences.

    Both runs are measured on the same images, so their differences are paired: an image that is hard for both cancels
    out. A p-value is below 0.05 exactly if the interval excludes 0. A star in the table of categories marks a p-value
    below 0.05 after adjustment for all categories.
    """
    from lvlm_ad.cli.terminal import Bars, print_comparison
    from lvlm_ad.compare import compare_runs
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.leaderboard import COMPARISON_FORMATS, compared_metrics, missing_metrics
    from lvlm_ad.report.run_pages import write_comparison
    from lvlm_ad.runs import only_run, read_run

    if form is ComparisonFormat.table and (columns or output):
        raise ConfigError("--columns and --output need --format csv or tex.")
    if form is not ComparisonFormat.table and (json or html is not None):
        raise ConfigError(f"--format {form.value} cannot be combined with --json or --html.")
    if form is not ComparisonFormat.table:
        # A wrong name is reported before anything is compared.
        compared_metrics(columns)
    runs = [read_run(only_run(folder)) for folder in (first, *others)]
    if form is not ComparisonFormat.table:
        pairs = [compare_runs(runs[0], one, resamples, across_conditions=across_conditions) for one in runs[1:]]
        if missing := missing_metrics(pairs, columns):
            shell.say(f"These runs do not have {' and '.join(missing)}.")
        condition = runs[0].manifest.dataset.summary
        return boards.write_text(COMPARISON_FORMATS[form.value](pairs, columns, condition), output)
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
        return name_page("comparison", page, json=json)
    if len(others) > 1:
        raise ConfigError("The terminal shows only two runs; to compare more, write a page with --html DIR.")
    comparison = compare_runs(runs[0], runs[1], resamples, across_conditions=across_conditions)
    if json:
        return shell.print_json(asdict(replace(comparison, images=comparison.images[:images])))
    return print_comparison(comparison, shell.table_console(shell.BOARD_WIDTH), images)
