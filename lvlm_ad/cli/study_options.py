"""Options that the commands of several studies have."""

from __future__ import annotations

from typing import Annotated

import typer

from lvlm_ad.cli import shell

Methods = Annotated[
    list[str], typer.Option("--method", help="Method, or FILE.py with your own; may be repeated.  [default: regions]")
]
StudyImages = Annotated[int, typer.Option(min=2, help="Number of images, drawn evenly from categories and labels.")]
StudyName = Annotated[
    str,
    typer.Option(
        callback=shell.named_folder, help="Name of the folder in OUT/studies.  [default: made from what is asked]"
    ),
]
StudySeed = Annotated[
    int, typer.Option(min=0, help="Seed of all random choices, such as which images are asked about.")
]
