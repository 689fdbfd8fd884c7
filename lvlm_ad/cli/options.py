"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Categories",
    "DataFolder",
    "DatasetName",
    "Division",
    "Image",
    "Json",
    "MaskThreshold",
    "Out",
    "Protocol",
    "Resamples",
    "RunFolder",
    "Settings",
]

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The image file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
Categories = Annotated[list[str], typer.Option("--category", "-c", help="Measure only this category; may be repeated.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")]
DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="mvtec, visa, folder or demo.  [default: folder with --data, else demo]"),
]
Division = Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
MaskThreshold = Annotated[
    int | None,
    typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: depends on the mask's values]"),
]
Out = Annotated[Path, typer.Option(help="Folder for runs, stored answers and the cache.")]
Protocol = Annotated[str, typer.Option(help="Protocol preset or file.")]
Resamples = Annotated[
    int,
    typer.Option(min=0, max=100_000, help="Bootstrap resamples for confidence intervals, 50 or more; 0: no intervals."),
]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Set an option of the model or a field of the protocol."),
]
