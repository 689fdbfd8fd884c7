"""``lvlm-ad score``: the metrics of anybody's anomaly maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.shell import guarded, print_json, say

__all__ = ["score"]


@guarded
def score(
    maps: Annotated[Path, typer.Option(metavar="DIR", help="The maps, in folders and under names as the images'.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", help="mvtec, visa, folder or demo.  [default: folder if --data is given, else demo]"
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data set is.")] = None,
    category: Annotated[list[str], typer.Option("--category", "-c", help="Measure these categories only.")] = [],
    name: Annotated[str, typer.Option(help="Of the row.  [default: the folder's]")] = "",
    image_scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV (image,score) or JSON.  [default: the highest score of each map]"),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Measure at N x N pixels, stretching maps bilinearly; 0: at each image's own size.")
    ] = 768,
    mask_threshold: Annotated[
        int | None,
        typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: by the mask's values]"),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, max=100_000, help="How often test images are drawn anew for intervals; 0: none.")
    ] = 1000,
    out: Annotated[Path, typer.Option(help="Folder for runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Measure anomaly maps of any method, and put them on the leaderboard beside the others.

    Every test image needs a map: .npy, .tiff or .png (8 or 16 bits) at the image's path in the data set, such as
    DIR/bottle/test/crack/000.npy, or without "test". Any range and size; higher is more anomalous.
    """
    from rich.console import Console

    from lvlm_ad.cli.progress import Bars
    from lvlm_ad.cli.tables import print_board
    from lvlm_ad.evaluate import RunConfig, score_maps
    from lvlm_ad.leaderboard import make_board

    config = RunConfig(
        dataset=dataset,
        data=data,
        categories=tuple(category),
        settings={"image_size": size} if size else {},
        out=out,
        mask_threshold=mask_threshold,
        resamples=resamples,
    )
    console = Console(stderr=True)
    with Bars(console) as bars:
        run = score_maps(maps, config, name=name, image_scores=image_scores, own_size=not size, progress=bars)
    print_board(make_board([run]), console)
    say(f"{run.manifest.row_name}: {run.dir}")
    if json:
        print_json({"model": run.manifest.row_name, "dir": str(run.dir), "metrics": run.metrics})
