"""``lvlm-ad study``: the same images asked under several conditions."""

from __future__ import annotations

import typer

from lvlm_ad.cli.study_efficiency import efficiency
from lvlm_ad.cli.study_grounding import grounding
from lvlm_ad.cli.study_reading import compare, show
from lvlm_ad.cli.study_stability import stability

study = typer.Typer(
    help="Ask about the same images under several conditions: stability, grounding and price of a model.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@study.callback()
def root() -> None:
    """Ask about the same images under several conditions: stability, grounding and price of a model."""


for command in (stability, grounding, efficiency, compare, show):
    study.command()(command)
