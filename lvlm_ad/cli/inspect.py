"""``lvlm-ad inspect``: pictures without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli import shell

if TYPE_CHECKING:
    from lvlm_ad.evaluate import Inspection


@shell.guarded
def inspect(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The pictures, in folders of any depth.")],
    model: shell.Model,
    threshold: Annotated[
        str,
        typer.Option(
            help="A score, such as 0.5; reference:Q, the quantile Q of the good pictures' scores; or conformal:ALPHA, "
            "for at most a share ALPHA of false alarms on average."
        ),
    ] = "0.5",
    good: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of good pictures, for reference:Q, conformal:ALPHA, --set shots=N and --method pairs.",
        ),
    ] = None,
    category: shell.ObjectName = None,
    method: shell.Method = "regions",
    division: shell.Division = None,
    prompt: shell.ImagePrompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for results and stored answers.  [default: inspections/FOLDER-MODEL; answers are in runs]",
        ),
    ] = None,
    maps: Annotated[shell.MapFormat | None, typer.Option(help="Also write each anomaly map, in this format.")] = None,
    overlays: Annotated[bool, typer.Option(help="Write each picture with its suspicious regions.")] = True,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for further pictures and inspect them as they come, until Ctrl-C.")
    ] = False,
    concurrency: shell.Concurrency = 16,
    max_cost: shell.MaxCost = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the good pictures that are shown.")] = 0,
    retry_failed: shell.RetryFailed = False,
    batch: shell.Batch = False,
    keep_pictures: shell.KeepPictures = "2GB",
    dry_run: shell.DryRun = False,
    json: shell.Json = False,
) -> None:
    """Inspect pictures that have no labels: score each, decide on it, and show why.

    Writes scores.csv, the pictures with their suspicious regions, and a page sorted by suspicion. Stored answers are
    never asked for again: after an interruption, the same command continues.

    Exit status: 0 every picture passed; 1 some picture raised an alarm; 3 no alarm, but some pictures are undecided
    (refused, unreadable, failed or not asked); 2 bad usage, configuration or data; 130 interrupted. With --watch,
    Ctrl-C ends the inspection, and the status is 0, 1 or 3.
    """
    from lvlm_ad import evaluate
    from lvlm_ad.cli.forecast import show_forecast
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.report.inspection_page import write_inspection_page

    run = evaluate.RunConfig(
        models=(model,),
        method=method,
        protocol=protocol,
        settings=shell.merged_settings(settings, division=division, prompt=prompt),
        concurrency=concurrency,
        max_cost=max_cost,
        seed=seed,
        retry_failed=retry_failed,
        batch=batch,
        keep_pictures=keep_pictures,  # type: ignore[arg-type]  # a size is read as text
    )
    config = evaluate.InspectionConfig(
        folder,
        run,
        threshold=threshold,
        good=good,
        category=category,
        out=out,
        maps=None if maps is None else maps.value,
        overlays=overlays,
        watch=watch,
    )
    with Bars() as bars:
        if dry_run:
            forecast = evaluate.forecast_inspection(config, bars)
        else:
            inspection = evaluate.inspect(config, bars, write_inspection_page)
    if dry_run:
        show_forecast([] if forecast is None else [forecast], json=json)
        return
    _show(inspection, json=json)
    raise typer.Exit(inspection.status)


def _show(inspection: Inspection, *, json: bool) -> None:
    """Print the decisions, the threshold and where the results are."""
    record = inspection.record()
    page = inspection.out / "index.html"
    if json:
        shell.print_json(
            {**record, "out": str(inspection.out), "scores": str(inspection.scores_file), "page": str(page)}
        )
        return
    counts = ", ".join(f"{count} {decision}" for decision, count in inspection.counts.items())
    spent, cost = record["spent_usd"], record["cost_usd"]
    money = "cost unknown" if cost is None else f"{cost:.4f} USD, of which {spent or 0:.4f} USD now"
    shell.show(f"pictures: {record['pictures']} ({counts}); {money}")
    shell.show(f"threshold: {inspection.words()}")
    shell.show(f"scores: {inspection.scores_file}")
    shell.show(f"page: {page}")
