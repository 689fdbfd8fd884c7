"""``lvlm-ad bench``: from a folder of images to a leaderboard."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli.shell import EXIT_INCOMPLETE, guarded, merged_settings, print_json, say

if TYPE_CHECKING:
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.runs import Run

__all__ = ["OnFailure", "bench"]


class OnFailure(StrEnum):
    """What becomes of an image without a usable answer."""

    zero = "zero"
    exclude = "exclude"


class EngineName(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


@guarded
def bench(
    model: Annotated[
        list[str],
        typer.Option("--model", "-m", help="Model preset, plugin or preset file; may be given several times."),
    ] = [],
    dataset: Annotated[
        str | None, typer.Option(help="mvtec, visa, folder or demo.  [default: folder if --data is given, else demo]")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data set is.")] = None,
    category: Annotated[
        list[str], typer.Option("--category", "-c", help="Only this category; may be given several times.")
    ] = [],
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most N images a category, good and anomalous in turn.")
    ] = None,
    division: Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's]")] = None,
    protocol: Annotated[str, typer.Option(help="Protocol preset or file.")] = "default",
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the model preset, its plugin or the protocol."),
    ] = [],
    out: Annotated[Path, typer.Option(help="Folder for runs, stored answers and divisions.")] = Path("runs"),
    concurrency: Annotated[
        int,
        typer.Option(min=1, help="Questions under way at once, at first; the endpoint's limit is found from there."),
    ] = 16,
    max_cost: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Stop before a question that could exceed this.")
    ] = None,
    on_failure: Annotated[
        OnFailure, typer.Option(help="An image without usable answer counts as normal (zero) or is left out (exclude).")
    ] = OnFailure.zero,
    reference_rows: Annotated[
        bool,
        typer.Option(
            "--reference-rows/--no-reference-rows",
            "--frame/--no-frame",
            help="Run chance, contrast and oracle beside the models.",
        ),
    ] = True,
    mask_threshold: Annotated[
        int | None,
        typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: by the mask's values]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses reference images and random scores.")] = 0,
    resamples: Annotated[
        int, typer.Option(min=0, max=100_000, help="How often test images are drawn anew for intervals; 0: none.")
    ] = 1000,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask anew where a stored answer is refused, cut off, empty or unreadable."),
    ] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask in batches, where the endpoint takes them: within a day, cheaper.")
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="Divide images and run local models here (local) or on a Ray cluster (ray).")
    ] = EngineName.local,
    ray_address: Annotated[
        str | None,
        typer.Option(help="With --engine ray: a running cluster.  [default: RAY_ADDRESS, else this machine alone]"),
    ] = None,
    report: Annotated[bool, typer.Option(help="Write a page for each model with all images and answers.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it would cost, and ask nothing.")
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(help="Append what happens to FILE as JSON lines: keys, no contents."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Measure models on a data set; without arguments, the offline rows on the built-in demo.

    Exit status: 0 every image answered; 3 some images have no usable answer, or
    --max-cost ended the asking; 2 bad usage, configuration or data; 130
    interrupted. Stored answers are never asked for again: the same command goes on where it stopped.
    """
    from rich.console import Console

    from lvlm_ad import evaluate
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.log import logged_to

    config = evaluate.RunConfig(
        models=tuple(model),
        dataset=dataset,
        data=data,
        categories=tuple(category),
        limit=limit,
        protocol=protocol,
        settings=merged_settings(settings, division=division, prompt=prompt),
        out=out,
        concurrency=concurrency,
        max_cost=max_cost,
        on_failure=on_failure.value,
        seed=seed,
        reference_rows=reference_rows,
        mask_threshold=mask_threshold,
        retry_failed=retry_failed,
        batch=batch,
        resamples=resamples,
        engine=engine.value,
        ray_address=ray_address,
    )
    console = Console(stderr=True)
    with Bars(console) as bars, logged_to(log, bars.note):
        if dry_run:
            forecast = evaluate.dry_run(config, bars)
        else:
            runs = evaluate.bench(config, bars)
            if report:
                _report(runs, bars)
    if dry_run:
        _show_forecast(forecast, json=json)
        return
    _show(config, runs, console)
    if json:
        print_json({"runs": [_public(run) for run in runs]})
    missing = _missing(runs, retried=retry_failed)
    for line in missing:
        say(line)
    if missing:
        raise typer.Exit(EXIT_INCOMPLETE)


def _report(runs: list[Run], bars: Bars) -> None:
    """Write the reports of the models that were asked for, or of the first row if none was.

    What was measured is on disk by now; a page that cannot be written takes nothing from it.
    """
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.report.run_page import write_report

    asked = [run for run in runs if not run.manifest.model.frame]
    for run in asked or runs[:1]:
        try:
            write_report(run, run.dir / "report", progress=bars)
        except LvlmAdError as error:
            bars.note(f"No report of {run.manifest.row_name}: {error}")


def _public(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    return {
        "model": manifest.row_name,
        "dataset": manifest.dataset.name,
        "dir": str(run.dir),
        "metrics": run.metrics,
    }


def _show(config: RunConfig, runs: list[Run], console: Any) -> None:
    """Print the leaderboard of all runs on this data in the output folder, and write it there."""
    from lvlm_ad.cli.tables import print_board
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import FORMATS, make_board
    from lvlm_ad.report.board_page import board_page
    from lvlm_ad.runs import read_runs

    fingerprint = runs[0].manifest.dataset.fingerprint
    every, problems = read_runs(config.out)
    for problem in problems:
        say(f"left out: {problem}")
    print_board(make_board([run for run in every if run.manifest.dataset.fingerprint == fingerprint]), console)
    board = make_board(every)
    write_file(config.out / "leaderboard.md", FORMATS["md"](board))
    write_file(config.out / "leaderboard.html", board_page(board, config.out))
    for run in runs:
        say(f"{run.manifest.row_name}: {run.dir}")
    say(f"leaderboard: {config.out / 'leaderboard.html'}")


def _missing(runs: list[Run], *, retried: bool) -> list[str]:
    """Return lines that say for each run how many images have no usable answer, and why.

    Args:
        runs: the runs.
        retried: whether the command has asked again already.
    """
    from lvlm_ad.leaderboard import outcomes
    from lvlm_ad.text2seg import UNANSWERED

    lines = []
    for run in runs:
        answers = run.metrics["answers"]
        if answers["usable"] == answers["total"]:
            continue
        lines.append(f"{run.manifest.row_name}: {outcomes(answers)}.")
        for status in UNANSWERED:
            first = next((record for record in run.predictions if record.status == status), None)
            if first is not None:
                lines.append(f"  {first.id}: {first.notes[0][:300]}")
        answered = {record.status for record in run.predictions if record.image_score is None} - set(UNANSWERED)
        if answered and not retried:
            lines.append("  --retry-failed asks anew where an answer is refused, cut off or unreadable.")
    return lines


def _show_forecast(forecast: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print_json({"forecast": forecast})
        return
    if not forecast:
        say("Nothing would be asked: none of the models is a chat model.")
    for model in forecast:
        say(
            f"{model['model']}: {model['questions']} questions, {model['stored']} answered before, "
            f"{model['to_ask']} to ask; {_estimate(model)}."
        )


def _estimate(model: dict[str, Any]) -> str:
    """Say what asking would use, as far as it can be told."""
    if not model["to_ask"]:
        return "nothing to pay"
    tokens = "unknown" if model["input_tokens"] is None else f"about {model['input_tokens']:,}"
    cost = "unknown" if model["cost_usd"] is None else f"about {model['cost_usd']:.4f} USD"
    if model["at_most_usd"] is not None:
        cost += f", at most about {model['at_most_usd']:.4f} USD if every answer is as long as it may be"
    # No time is given of a batch, and of a model in this process that has answered nothing yet.
    unknown = "unknown" if model["gathers"] else "within a day"
    duration = unknown if model["seconds"] is None else _duration(model["seconds"])
    basis = {
        "stored answers": "by the answers stored",
        "rule": "by the preset's rule for pictures and a usual answer; reasoning is not foreseen",
        "none": "the preset has no rule for pictures",
    }
    return (
        f"tokens in {tokens}, out about {model['output_tokens']:,}; cost {cost}; time {duration} "
        f"({basis[model['basis']]})"
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"about {seconds:.0f} s" if minutes < 2 else f"about {minutes:.0f} min"  # noqa: PLR2004 - reads better
