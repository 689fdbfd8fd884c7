"""``lvlm-ad study grounding``: do answers follow what the picture shows, and where is quality lost?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell
from lvlm_ad.cli.study_options import StudyImages, StudyName, StudySeed


@shell.guarded
def grounding(
    model: shell.Model,
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    images: StudyImages = 100,
    parts: Annotated[
        list[str],
        typer.Option(
            "--part",
            help="Measure only this: methods, losses, resolution, corruptions or contamination; may be repeated.  "
            "[default: all]",
        ),
    ] = [],
    sizes: Annotated[
        list[int],
        typer.Option(
            "--image-size",
            help="A side of the images in pixels, for resolution; may be repeated.  [default: 384, 512, 768, 1024 and "
            "2048, up to the side of the largest image]",
        ),
    ] = [],
    severities: Annotated[
        list[int],
        typer.Option("--severity", help="A severity of the corruptions, 1 to 5; may be repeated.  [default: all]"),
    ] = [],
    name: StudyName = "",
    method: shell.Method = "regions",
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
    """Measure whether answers follow the picture.

    The same images are asked about with several methods and pictures (methods), at several sizes (resolution), blurred,
    dark, noisy, compressed and coarse (corruptions), without the image, without the object's name, and mirrored
    (contamination). losses says how much pixel quality the division, the named regions and their scores lose. Changed
    images are written to OUT/studies/NAME/images, up to a few megabytes each. Answers are shared with bench, and the
    same command continues after an interruption.

    Exit status: 0 every image answered; 3 some answers are missing; 2 bad usage, configuration or data; 130
    interrupted; what is known so far is shown.
    """
    from lvlm_ad.cli.study_run import price_or_run
    from lvlm_ad.studies import GroundingOptions, price_grounding, study_grounding
    from lvlm_ad.studies.corruptions import SEVERITIES
    from lvlm_ad.studies.grounding_design import PARTS

    config = shell.run_config(locals(), models=model)
    named = tuple(part.strip() for one in parts for part in one.split(","))
    options = GroundingOptions(images, named or PARTS, tuple(sizes), tuple(severities) or SEVERITIES, name)
    price_or_run(price_grounding, study_grounding, config, options, dry_run=dry_run, json=json)
