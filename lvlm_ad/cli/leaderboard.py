"""``lvlm-ad leaderboard``: the runs of a folder, ranked where they can be compared."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import BOARD_WIDTH, EXIT_USAGE, guarded, say, table_console

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board

__all__ = ["leaderboard"]


class Format(StrEnum):
    """Format of the leaderboard."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    tex = "tex"
    html = "html"


@guarded
def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder given to bench as --out.")] = Path("runs"),
    form: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Output file.  [default: stdout; for html leaderboard.html in DIR]"),
    ] = None,
    sort: Annotated[str, typer.Option(help="Metric that decides the ranks.")] = "image_auroc",
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Recompute each run from its files; leave out runs that differ, exit status 2."),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="With --verify: the data set, to check labels and pixel counts against it.")
    ] = None,
) -> None:
    """Rank the runs of a folder. Rows are ranked together only if they were measured under the same conditions."""
    from lvlm_ad.errors import ConfigError, RunError
    from lvlm_ad.leaderboard import make_board
    from lvlm_ad.runs import read_runs

    if data is not None and not verify:
        raise ConfigError("--data is used with --verify.")
    runs, problems = read_runs(folder)
    if verify:
        from lvlm_ad.cli.progress import Bars
        from lvlm_ad.evaluate.verify import verify_runs

        with Bars() as bars:
            runs, wrong = verify_runs(runs, data, bars)
        problems += wrong
    for problem in problems:
        say(f"left out: {problem}")
    if not runs:
        none = f"No run of {folder} can be shown" if problems else f"There is no run in {folder}"
        raise RunError(f"{none}; 'lvlm-ad bench --out {folder}' makes one.")
    _write(make_board(runs, sort, verified=verify), folder, form, output, link=not verify)
    if verify and problems:
        raise typer.Exit(EXIT_USAGE)


def _write(board: Board, folder: Path, form: Format, output: Path | None, *, link: bool) -> None:
    """Write a leaderboard to a file or to stdout.

    Args:
        board: the leaderboard.
        folder: the folder of its runs.
        form: the format.
        output: the file, whose folder is created; None: stdout.
        link: whether to link the runs' own pages. Pages of runs that need verification may be a stranger's.
    """
    from rich.console import Console

    from lvlm_ad.cli.tables import print_board
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import FORMATS
    from lvlm_ad.report.board_page import board_page

    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    if form is Format.html:
        path = output or folder / "leaderboard.html"
        write_file(path, board_page(board, folder if link else None, path.parent), through=output is not None)
        say(f"leaderboard: {path}")
    elif form is not Format.table:
        text = FORMATS[form.value](board)
        if output is None:
            sys.stdout.write(text)
        else:
            write_file(output, text, through=True)
    elif output is None:
        print_board(board, table_console(BOARD_WIDTH))
    else:
        with output.open("w", encoding="utf-8") as file:
            print_board(board, Console(file=file, width=BOARD_WIDTH))
