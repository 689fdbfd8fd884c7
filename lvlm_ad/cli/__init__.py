"""The command line: a thin shell over the library."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from lvlm_ad import __version__
from lvlm_ad.children import protect_children
from lvlm_ad.cli import shell
from lvlm_ad.cli.bench import bench
from lvlm_ad.cli.comparison import compare
from lvlm_ad.cli.data import data
from lvlm_ad.cli.image import ask, regions
from lvlm_ad.cli.inspect import inspect
from lvlm_ad.cli.methods import methods
from lvlm_ad.cli.models import doctor, models
from lvlm_ad.cli.plugins import check_backend, check_baseline, check_method, new_backend, new_baseline, new_method
from lvlm_ad.cli.recommend import recommend
from lvlm_ad.cli.runs import leaderboard, report
from lvlm_ad.cli.score import score
from lvlm_ad.cli.study import study

__all__ = ["app", "main"]

app = typer.Typer(
    name="lvlm-ad",
    cls=shell.Commands,
    help="Benchmark large vision-language models on zero-shot visual anomaly detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"lvlm-ad {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark large vision-language models on zero-shot visual anomaly detection."""


# A command has the name of its function, with dashes.
for command in (
    *(bench, ask, inspect, regions, leaderboard, report, compare, score, recommend),
    *(models, methods, new_backend, new_baseline, new_method, check_backend, check_baseline, check_method, doctor),
):
    app.command()(command)
app.add_typer(data, name="data")
app.add_typer(study, name="study")


def main() -> None:
    """Run the command line. SIGTERM, as a cluster or a container sends it, stops a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    protect_children()
    shell.run_process(app)
