"""``lvlm-ad study efficiency``: quality against price."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell
from lvlm_ad.cli.study_options import Methods, StudyImages, StudyName, StudySeed


@shell.guarded
def efficiency(
    models: shell.Models,
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    images: StudyImages = 100,
    methods: Methods = [],
    image_sizes: Annotated[
        list[int],
        typer.Option("--image-size", help="Side of the images in pixels; may be repeated.  [default: the protocol's]"),
    ] = [],
    votes: Annotated[
        list[int],
        typer.Option(help="Answers that are averaged, with --method regions; may be repeated.  [default: 1]"),
    ] = [],
    name: StudyName = "",
    division: shell.Division = None,
    prompt: shell.Prompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
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
    """Measure what quality costs.

    Every model is asked with every method, image size and number of votes about the same images. The study says which
    combinations are worth their price in USD, seconds and tokens, what one more point costs, where closer looks pay,
    and what votes give. A model of this machine has a price with --set price_per_hour=USD. Answers are shared with
    bench, and the same command continues after an interruption. The study is written to OUT/studies/NAME: study.json,
    its page index.html, study.csv, study.tex, and a run for each combination.

    Exit status: 0 every image answered; 3 some answers are missing; 2 bad usage, configuration or data; 130
    interrupted; what is known so far is shown.
    """
    from lvlm_ad.cli.study_run import price_or_run
    from lvlm_ad.studies import EfficiencyOptions, price_efficiency, study_efficiency

    config = shell.run_config(locals())
    options = EfficiencyOptions(tuple(methods), tuple(image_sizes), tuple(votes), images, name)
    price_or_run(price_efficiency, study_efficiency, config, options, dry_run=dry_run, json=json)
