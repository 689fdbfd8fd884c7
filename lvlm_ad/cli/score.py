"""``lvlm-ad score``: measures the anomaly maps of any method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell


@shell.guarded
def score(
    maps: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the maps, named and nested like the images.")],
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    category: shell.Categories = [],
    name: Annotated[str, typer.Option(help="Name of the row.  [default: the folder's name]")] = "",
    image_scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Image scores as CSV (image,score) or JSON.  [default: each map's maximum]"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Measure at N x N pixels; maps are resized bilinearly. 0: each image's own size.  "
            "[default: as bench: 768; 512 for the demo]"
        ),
    ] = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    resamples: shell.Resamples = 1000,
    fpr_limit: shell.FprLimit = 0.3,
    aupimo: Annotated[
        bool, typer.Option("--aupimo", help="Also measure AUPIMO: recall of each image where false positives are rare.")
    ] = False,
    out: shell.Out = Path("runs"),
    json: shell.Json = False,
) -> None:
    """Measure the anomaly maps of any method.

    The result is a run like any other, which the leaderboard shows.

    Every test image needs a map: .npy, .tiff or .png (8 or 16 bits) at the image's path in the data set, such as
    DIR/bottle/test/crack/000.npy; "test" may be left out. Any range and size; higher is more anomalous.
    """
    from lvlm_ad.cli.terminal import Bars, print_board
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.evaluate import RunConfig, score_maps
    from lvlm_ad.evaluate.aupimo_maps import aupimo_in_words
    from lvlm_ad.leaderboard import make_board

    # The limits of the protocol's image_size.
    if size and not 16 <= size <= 8192:  # noqa: PLR2004 - see above
        raise ConfigError(f"--size takes 16 to 8192 pixels, or 0 for each image's own size; got {size}.")
    config = RunConfig(
        dataset=dataset,
        data=data,
        split=split,
        categories=category,
        settings={"image_size": size} if size else {},
        out=out,
        mask_threshold=mask_threshold,
        mask_values=mask_values,
        resamples=resamples,
        fpr_limit=fpr_limit,
    )
    with Bars() as bars:
        run = score_maps(
            maps,
            config,
            name=name,
            image_scores=image_scores,
            own_size=size == 0,
            with_aupimo=aupimo,
            progress=bars,
        )
    print_board(make_board([run]), shell.table_console(shell.BOARD_WIDTH))
    for line in aupimo_in_words(run.metrics["aupimo"]) if aupimo else ():
        shell.say(line)
    shell.say(f"{run.manifest.row_name}: {run.dir}")
    if json:
        shell.print_json({"model": run.manifest.row_name, "dir": str(run.dir), "metrics": run.metrics})
