"""``lvlm-ad study efficiency``: quality against price."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell


@shell.guarded
def efficiency(
    models: Annotated[
        list[str],
        typer.Option("--model", "-m", help="Model preset, plugin, preset file or your own class; may be repeated."),
    ],
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    images: Annotated[int, typer.Option(min=2, help="Images, of all categories, good and anomalous.")] = 100,
    methods: Annotated[
        list[str],
        typer.Option("--method", help="Method, or FILE.py with your own; may be repeated.  [default: regions]"),
    ] = [],
    image_sizes: Annotated[
        list[int],
        typer.Option("--image-size", help="Side of the images in pixels; may be repeated.  [default: the protocol's]"),
    ] = [],
    votes: Annotated[
        list[int],
        typer.Option(help="Answers that are averaged, with --method regions; may be repeated.  [default: 1]"),
    ] = [],
    name: Annotated[
        str,
        typer.Option(
            callback=shell.named_folder,
            help="Name of the study's folder in OUT/studies.  [default: by models and data set]",
        ),
    ] = "",
    division: shell.Division = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's]")] = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    concurrency: shell.Concurrency = 16,
    max_cost: shell.MaxCost = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for images and reference images.")] = 0,
    resamples: shell.Resamples = 1000,
    retry_failed: shell.RetryFailed = False,
    keep_pictures: shell.KeepPictures = "2GB",
    dry_run: shell.DryRun = False,
    json: shell.Json = False,
) -> None:
    """Measure what quality costs: every model with every method, image size and number of votes.

    Each combination is asked about the same images. The study says which ones are worth their price in USD, seconds
    and tokens, what one more point costs, where closer looks pay, and what votes give. A model of this machine has a
    price with --set price_per_hour=USD. Answers are shared with bench, and the same command continues after an
    interruption. The study is written to OUT/studies/NAME: study.json, its page index.html, study.csv, study.tex, and
    a run for each combination.

    Exit status: 0 every image answered; 3 some answers are missing; 2 bad usage, configuration or data; 130
    interrupted, after what can be said so far.
    """
    from lvlm_ad.cli.study_run import price_or_run
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.studies import EfficiencyOptions, price_efficiency, study_efficiency

    config = RunConfig(
        models=models,
        dataset=dataset,
        data=data,
        split=split,
        categories=categories,
        protocol=protocol,
        settings=shell.merged_settings(settings, division=division, prompt=prompt),
        out=out,
        concurrency=concurrency,
        max_cost=max_cost,
        mask_threshold=mask_threshold,
        mask_values=mask_values,
        seed=seed,
        resamples=resamples,
        retry_failed=retry_failed,
        keep_pictures=keep_pictures,  # type: ignore[arg-type] # "2GB" is a size, too
    )
    options = EfficiencyOptions(tuple(methods), tuple(image_sizes), tuple(votes), images, name)
    price_or_run(price_efficiency, study_efficiency, config, options, dry_run=dry_run, json=json)
