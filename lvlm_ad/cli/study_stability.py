"""``lvlm-ad study stability``: how far answers depend on asking again, and on how it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell
from lvlm_ad.cli.study_options import StudyName, StudySeed


@shell.guarded
def stability(
    model: shell.Model,
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    images: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Number of images, drawn evenly from categories and labels.  [default: 100, or as --questions allows]",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=2, help="How often the base is asked; with --questions, the most.")] = 3,
    levels: Annotated[int, typer.Option(min=1, help="How many other levels of each factor are asked.")] = 3,
    factors: Annotated[
        list[str],
        typer.Option(
            "--factor",
            help="Vary only this: paraphrase, numbering, marks, resolution or references; repeat: vary nothing. May be "
            "repeated.",
        ),
    ] = [],
    cross: Annotated[
        str,
        typer.Option(
            metavar="FACTOR",
            help="Ask each level of this factor --repeats times, to tell its variance from that of asking again.",
        ),
    ] = "",
    questions: Annotated[
        int | None, typer.Option(min=4, help="Choose the cheapest design within N questions; see --half-width.")
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option(
            help="With --questions: half width wanted for the interval of a flip rate of 0.10, above 0 and below 0.5.  "
            "[default: 0.05]"
        ),
    ] = None,
    name: StudyName = "",
    method: shell.Method = "regions",
    division: shell.Division = None,
    prompt: shell.Prompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    threshold: Annotated[float, typer.Option(metavar="T", help="Score at which an image alarms.")] = 0.5,
    out: shell.Out = Path("runs"),
    concurrency: shell.Concurrency = 16,
    max_cost: shell.MaxCost = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    seed: StudySeed = 0,
    resamples: shell.Resamples = 1000,
    retry_failed: shell.RetryFailed = False,
    keep_pictures: shell.KeepPictures = "2GB",
    dry_run: shell.DryRun = False,
    json: shell.Json = False,
) -> None:
    """Measure how stable answers are.

    A base is asked several times, and once at each level of each factor: the wording (paraphrase), the numbers of the
    regions (numbering), how they are drawn (marks), the image's size (resolution), the images shown before
    (references, with --set shots=N). Answers are shared with bench, and the same command continues after an
    interruption. The study is written to OUT/studies/NAME: study.json, its page index.html, study.csv, study.tex, and
    a run for each condition.

    Exit status: 0 every image answered; 3 some answers are missing; 2 bad usage, configuration or data; 130
    interrupted; what is known so far is shown.
    """
    from lvlm_ad.cli.study_run import price_or_run
    from lvlm_ad.studies import StabilityOptions, price_stability, study_stability

    config = shell.run_config(locals(), models=model, threshold=str(threshold))
    options = StabilityOptions(images, repeats, levels, tuple(factors), cross, questions, half_width, name)
    price_or_run(price_stability, study_stability, config, options, dry_run=dry_run, json=json)
