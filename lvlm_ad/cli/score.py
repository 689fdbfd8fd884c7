"""``lvlm-ad score``: metrics of anomaly maps from any method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.options import Categories, DataFolder, DatasetName, Json, MaskThreshold, Out, Resamples
from lvlm_ad.cli.shell import BOARD_WIDTH, guarded, print_json, say, table_console

__all__ = ["score"]


@guarded
def score(
    maps: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the maps, named and nested like the images.")],
    dataset: DatasetName = None,
    data: DataFolder = None,
    category: Categories = [],
    name: Annotated[str, typer.Option(help="Name of the row.  [default: the folder's name]")] = "",
    image_scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Image scores as CSV (image,score) or JSON.  [default: each map's maximum]"),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Measure at N x N pixels; maps are resized bilinearly. 0: each image's own size.")
    ] = 768,
    mask_threshold: MaskThreshold = None,
    resamples: Resamples = 1000,
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Measure the anomaly maps of any method.

    The result is a run like any other, which the leaderboard shows.

    Every test image needs a map: .npy, .tiff or .png (8 or 16 bits) at the image's path in the data set, such as
    DIR/bottle/test/crack/000.npy; "test" may be left out. Any range and size; higher is more anomalous.
    """
    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.cli.tables import print_board
    from lvlm_ad.evaluate import RunConfig, score_maps
    from lvlm_ad.leaderboard import make_board

    config = RunConfig(
        dataset=dataset,
        data=data,
        categories=category,
        settings={"image_size": size} if size else {},
        out=out,
        mask_threshold=mask_threshold,
        resamples=resamples,
    )
    with Bars() as bars:
        run = score_maps(maps, config, name=name, image_scores=image_scores, own_size=not size, progress=bars)
    print_board(make_board([run]), table_console(BOARD_WIDTH))
    say(f"{run.manifest.row_name}: {run.dir}")
    if json:
        print_json({"model": run.manifest.row_name, "dir": str(run.dir), "metrics": run.metrics})
