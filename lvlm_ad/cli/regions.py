"""``lvlm-ad regions``: how an image is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.inline import show_picture
from lvlm_ad.cli.shell import guarded, merged_settings, print_json, say

__all__ = ["regions"]


@guarded
def regions(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image's file.")],
    division: Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")] = None,
    protocol: Annotated[str, typer.Option(help="Protocol preset or file.")] = "default",
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the protocol or of the division.")
    ] = [],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A picture.  [default: IMAGE-regions.png here]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Cut an image into regions and draw their borders and numbers, as a model would be shown them."""
    from PIL import Image

    from lvlm_ad import evaluate
    from lvlm_ad.errors import ConfigError

    config = evaluate.RunConfig(protocol=protocol, settings=merged_settings(settings, division=division))
    found = evaluate.cut(image, config)
    path = output or Path(f"{image.stem}-regions.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(found.marked).save(path)
    except ValueError as error:
        raise ConfigError(f"{path} names no kind of picture; end it in .png, .webp or .jpg.") from error
    if json:
        print_json({"count": found.regions.count, "hash": found.regions.hash, "picture": str(path)})
        return
    say(f"regions: {found.regions.count}")
    show_picture(path)
    say(f"picture: {path}")
