"""``lvlm-ad study grounding``: do answers follow what the picture shows, and where is quality lost?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell


@shell.guarded
def grounding(
    model: Annotated[str, typer.Option("--model", "-m", help="Model preset, plugin, preset file or your own class.")],
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    images: Annotated[int, typer.Option(min=2, help="Images, of all categories, good and anomalous.")] = 100,
    parts: Annotated[
        list[str],
        typer.Option(
            "--part",
            help="Measure only this: methods, losses, resolution, corruptions or contamination; several with commas. "
            " [default: all]",
        ),
    ] = [],
    sizes: Annotated[
        list[int],
        typer.Option(
            "--image-size",
            help="A side of the images in pixels, for resolution; may be repeated.  [default: 384, 512, 768, 1024 and "
            "2048, as far as images are as large]",
        ),
    ] = [],
    severities: Annotated[
        list[int],
        typer.Option("--severity", help="A severity of the corruptions, 1 to 5; may be repeated.  [default: all]"),
    ] = [],
    name: Annotated[
        str,
        typer.Option(
            callback=shell.named_folder, help="Name of the study's folder in OUT/studies.  [default: by what it asks]"
        ),
    ] = "",
    method: shell.Method = "regions",
    division: shell.Division = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's]")] = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    concurrency: shell.Concurrency = 16,
    max_cost: shell.MaxCost = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for images, reference images and draws.")] = 0,
    resamples: shell.Resamples = 1000,
    retry_failed: shell.RetryFailed = False,
    keep_pictures: shell.KeepPictures = "2GB",
    dry_run: shell.DryRun = False,
    json: shell.Json = False,
) -> None:
    """Measure whether a model's answers follow what the picture shows, and where quality is lost.

    The same images are asked about with several methods and pictures (methods), at several sizes (resolution), blurred,
    dark, noisy, compressed and coarse (corruptions), without the image, without the object's name, and mirrored
    (contamination). losses says how much pixel quality the division, the named regions and their scores lose. Changed
    images are written to OUT/studies/NAME/images, up to a few megabytes each. Answers are shared with bench, and the
    same command continues after an interruption.

    Exit status: 0 every image answered; 3 some answers are missing; 2 bad usage, configuration or data; 130
    interrupted, after what can be said so far.
    """
    from lvlm_ad.cli.study_run import price_or_run
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.studies import GroundingOptions, price_grounding, study_grounding

    config = RunConfig(
        models=model,
        dataset=dataset,
        data=data,
        split=split,
        categories=categories,
        method=method,
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
    chosen = {
        "parts": tuple(part.strip() for one in parts for part in one.split(",")),
        "sizes": tuple(sizes),
        "severities": tuple(severities),
    }
    options = GroundingOptions(images=images, name=name, **{key: value for key, value in chosen.items() if value})  # type: ignore[arg-type]
    price_or_run(price_grounding, study_grounding, config, options, dry_run=dry_run, json=json)
