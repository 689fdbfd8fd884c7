"""``lvlm-ad bench``: makes runs, and shows them as a leaderboard."""

from __future__ import annotations

from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.runs import Run
    from lvlm_ad.tracking import Tracker


OnFailure = StrEnum("OnFailure", ["zero", "exclude"])
EngineName = StrEnum("EngineName", ["local", "ray"])


@shell.guarded
def bench(
    models: shell.Models = [],
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most N images per category, good and anomalous in turn; other views of their objects are added.",
        ),
    ] = None,
    method: shell.Method = "regions",
    division: shell.Division = None,
    prompt: shell.Prompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    concurrency: shell.Concurrency = 16,
    max_cost: shell.MaxCost = None,
    on_failure: Annotated[
        OnFailure,
        typer.Option(help="Count images without usable answer as normal (zero), or leave them out (exclude)."),
    ] = OnFailure.zero,
    reference_rows: Annotated[bool, typer.Option(help="Also measure chance, contrast and oracle.")] = True,
    frame: Annotated[bool | None, typer.Option("--frame/--no-frame", hidden=True)] = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for reference images and random scores.")] = 0,
    resamples: shell.Resamples = 1000,
    fpr_limit: shell.FprLimit = 0.3,
    retry_failed: shell.RetryFailed = False,
    batch: shell.Batch = False,
    engine: Annotated[
        EngineName, typer.Option(help="Divide images and run local models here (local) or on a Ray cluster (ray).")
    ] = EngineName.local,
    ray_address: Annotated[
        str | None,
        typer.Option(help="With --engine ray: the cluster's address.  [default: RAY_ADDRESS, else only this machine]"),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write each row's anomaly maps and image scores to a folder here, as 'lvlm-ad score' reads them.",
        ),
    ] = None,
    map_format: Annotated[
        shell.MapFormat, typer.Option(help="tiff, npy: scores as 32-bit floats; png: 16 bits, score 1 as 65535.")
    ] = shell.MapFormat.tiff,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Score at which an image alarms: a number, reference:QUANTILE, conformal:ALPHA, calibration:FOLDER "
            "or calibration:FRACTION.",
        ),
    ] = "0.5",
    reference_images: Annotated[
        int, typer.Option(min=1, help="At most N good training images per category to choose the threshold.")
    ] = 60,
    cost_miss: Annotated[float | None, typer.Option(min=0, help="Price of a defect that passes.")] = None,
    cost_false_alarm: Annotated[
        float | None, typer.Option(min=0, help="Price of a good part that is rejected.")
    ] = None,
    cost_check: Annotated[
        float | None, typer.Option(min=0, help="Price of a part that a person inspects because it has no score.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of defective parts on the line, such as 0.01.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write a web page for each model, with all images and answers.")] = True,
    track: Annotated[
        list[str], typer.Option("--track", help="Log the runs: mlflow, wandb or an installed tracker; may be repeated.")
    ] = [],
    track_images: Annotated[
        bool, typer.Option("--track-images", help="With --track: also upload the reports, which show the images.")
    ] = False,
    keep_pictures: shell.KeepPictures = "2GB",
    dry_run: shell.DryRun = False,
    log: Annotated[
        Path | None, typer.Option(help="Append events to this file as JSON lines, without questions and answers.")
    ] = None,
    json: shell.Json = False,
) -> None:
    """Measure models on a data set. Without options, measure the reference rows on the built-in demo.

    Stored answers are never asked for again: after an interruption, the same command continues.

    Exit status: 0 every image answered; 3 some images have no usable answer, or --max-cost stopped the run; 2 bad
    usage, configuration or data; 130 interrupted.
    """
    options = dict(locals())
    with ExitStack() as stack:
        workers = stack.enter_context(closing(Workers()))
        # A new folder holds no divisions, so the worker processes that divide start while this one imports the rest.
        needed = cuts_superpixels(method, division, settings, reference_rows=reference_rows if frame is None else frame)
        if needed and not (out / "cache.sqlite").exists() and engine == "local":
            workers.start("lvlm_ad.metrics.cut", "skimage.segmentation:slic")

        from lvlm_ad import evaluate
        from lvlm_ad.cli.terminal import Bars
        from lvlm_ad.log import logged_to

        bars = stack.enter_context(Bars())
        stack.enter_context(logged_to(log, bars.note))
        config = shell.run_config(options, reference_rows=reference_rows if frame is None else frame)
        trackers = _trackers(track, images=track_images)
        if dry_run:
            forecast = evaluate.dry_run(config, bars, workers)
        else:
            runs = evaluate.bench(config, bars, workers)
            pages = _write_reports(runs, bars) if report and runs[0].manifest.dataset.is_labelled else []
    if dry_run:
        from lvlm_ad.cli.forecast import show_forecast

        return show_forecast(forecast, json=json)
    _show(runs, pages, out, json=json)
    if trackers:
        from lvlm_ad import tracking

        tracking.track(runs, trackers, shell.say, images=track_images)
    missing = _missing_answers(runs, retried=retry_failed)
    for line in missing:
        shell.say(line)
    if missing:
        raise typer.Exit(shell.EXIT_INCOMPLETE)
    return None


def cuts_superpixels(method: str, division: str | None, settings: Sequence[str], *, reference_rows: bool) -> bool:
    """Whether a bench surely divides images into superpixels; a grid is cut sooner than a process starts.

    Only the method "regions" and reference rows need regions, so that "boxes" without reference rows divides nothing.

    Example:
        >>> cuts_superpixels("boxes", None, [], reference_rows=True)
        True
        >>> cuts_superpixels("boxes", None, [], reference_rows=False)
        False
        >>> cuts_superpixels("regions", None, ["division=grid"], reference_rows=True)
        False
    """
    if method != "regions" and not reference_rows:
        return False
    named = [division, *(value for key, _, value in (one.partition("=") for one in settings) if key == "division")]
    return named[-1] in {None, "superpixel"}


def _trackers(names: list[str], *, images: bool) -> Mapping[str, Tracker]:
    """Make the trackers before anything is asked, so that a missing package costs nothing."""
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.tracking import open_trackers

    if images and not names:
        raise ConfigError("--track-images needs --track.")
    return open_trackers(names)


def _write_reports(runs: list[Run], bars: Bars) -> list[Path]:
    """Write the reports of the models, or of the first row if there are only reference rows; return their pages."""
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.report.run_pages import write_report

    of_models = [run for run in runs if not run.manifest.model.frame]
    pages: list[Path] = []
    for run in of_models or runs[:1]:
        try:
            pages.append(write_report(run, run.dir / "report", progress=bars))
        except LvlmAdError as error:
            # The measurements are on disk already.
            bars.note(f"No report of {run.manifest.row_name}: {error}")
    return pages


def _show(runs: list[Run], pages: list[Path], out: Path, *, json: bool) -> None:
    """Show what was measured or predicted, and where the pages are."""
    shown = _show_board if runs[0].manifest.dataset.is_labelled else _show_predictions
    shown(runs, out)
    for page in pages:
        shell.say(f"report: {page}")
    if json:
        shell.print_json({"runs": [_as_json(run) for run in runs]})


def _as_json(run: Run) -> dict[str, Any]:
    name, dataset = run.manifest.row_name, run.manifest.dataset.name
    return {"model": name, "dataset": dataset, "dir": str(run.dir), "metrics": run.metrics}


def _show_board(runs: list[Run], out: Path) -> None:
    """Print the leaderboard of all runs on this data in the output folder; write the leaderboard of all its runs."""
    from lvlm_ad.cli.choice_tables import show_choices
    from lvlm_ad.cli.decision_lines import decision_lines
    from lvlm_ad.cli.terminal import print_board
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import FORMATS, make_board, writable
    from lvlm_ad.report.board_page import board_page
    from lvlm_ad.runs import UNREADABLE, left_out_notes, measured_runs, read_runs, run_folders

    fingerprint = runs[0].manifest.dataset.fingerprint
    all_runs, damaged = read_runs(out)
    left_out = left_out_notes(run_folders(out), all_runs, UNREADABLE)
    all_runs, without = measured_runs(all_runs)
    all_runs, problems = writable(all_runs)
    for problem in damaged + without + problems:
        shell.say(f"left out: {problem}")
    board = make_board([run for run in all_runs if run.manifest.dataset.fingerprint == fingerprint])
    print_board(board, shell.table_console(shell.BOARD_WIDTH))
    show_choices(runs)
    for run in [run for run in runs if not run.manifest.model.frame] or runs[:1]:
        for line in decision_lines(run):
            shell.say(line)
    board = make_board(all_runs)
    write_file(out / "leaderboard.md", FORMATS["md"](board))
    write_file(out / "leaderboard.html", board_page(board, out, left_out=left_out))
    for run in runs:
        shell.say(f"{run.manifest.row_name}: {run.dir}")
    shell.say(f"leaderboard: {out / 'leaderboard.html'}")


def _show_predictions(runs: list[Run], out: Path) -> None:
    """Say what was written of images without labels."""
    from lvlm_ad.cli.upload_lines import upload_lines

    dataset = runs[0].manifest.dataset
    shell.say(f"{dataset.summary}. They have no labels, so there are no metrics and no table.")
    for run in runs:
        shell.say(f"{run.manifest.row_name}: {run.dir}")
        for line in upload_lines(run, out):
            shell.say(f"  {line}")


def _missing_answers(runs: list[Run], *, retried: bool) -> list[str]:
    """Return lines with the number of images without a usable answer, per run, and the reasons."""
    from lvlm_ad.leaderboard import outcomes
    from lvlm_ad.text2seg import UNANSWERED

    lines = []
    for run in runs:
        answers = run.metrics["answers"]
        for_threshold = sum(record.image_score is None for record in run.threshold_records)
        if for_threshold:
            asked = len(run.threshold_records)
            lines.append(f"{run.manifest.row_name}: {for_threshold} of {asked} images for the threshold have no score.")
        if answers["usable"] == answers["total"]:
            continue
        lines.append(f"{run.manifest.row_name}: {outcomes(answers)}.")
        unusable = [record for record in run.predictions if not record.usable]
        for status in (*UNANSWERED, "refused", "truncated", "unparsable"):
            first = next((record for record in unusable if record.status == status and record.notes), None)
            if first is not None:
                lines.append(f"  {first.id}: {first.notes[-1][:300]}")
        if any(record.status == "truncated" and record.text for record in unusable):
            lines.append(
                "  If max_tokens cut answers off, --set max_tokens=N allows longer ones and asks all questions anew."
            )
        # An answer that was cut off or empty would most likely end the same way, and be paid for once more.
        others = [one for one in unusable if one.status not in UNANSWERED and one.outcome not in {"truncated", "empty"}]
        if others and not retried:
            lines.append("  --retry-failed asks again if an answer is refused or unreadable.")
    return lines
