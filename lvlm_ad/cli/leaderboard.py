"""``lvlm-ad leaderboard``: the runs of a folder, ranked where they can be compared."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.shell import guarded, say

__all__ = ["leaderboard"]


class Format(StrEnum):
    """How the leaderboard is written."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    tex = "tex"
    html = "html"


@guarded
def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder given to bench as --out.")] = Path("runs"),
    form: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file.  [default: stdout; for html leaderboard.html in DIR]"),
    ] = None,
    sort: Annotated[str, typer.Option(help="The metric that ranks.")] = "image_auroc",
) -> None:
    """Rank the runs of a folder. Rows are ranked together only if they were measured under the same conditions."""
    from rich.console import Console

    from lvlm_ad.cli.tables import print_board
    from lvlm_ad.errors import RunError
    from lvlm_ad.leaderboard import FORMATS, make_board
    from lvlm_ad.runs import read_runs

    runs, problems = read_runs(folder)
    for problem in problems:
        say(f"left out: {problem}")
    if not runs:
        raise RunError(f"{folder} holds no run; 'lvlm-ad bench --out {folder}' makes one.")
    board = make_board(runs, sort)
    if form is Format.table and output is None:
        # A pipe has no width; the table needs about 110 columns.
        print_board(board, Console(width=None if sys.stdout.isatty() else 140))
        return
    if form is Format.table:
        with output.open("w", encoding="utf-8") as file:  # type: ignore[union-attr]
            print_board(board, Console(file=file, width=140))
        return
    if form is Format.html:
        from lvlm_ad.report.board_page import board_page

        output = output or folder / "leaderboard.html"
        output.write_text(board_page(board, folder, output.parent), encoding="utf-8")
        say(f"leaderboard: {output}")
        return
    text = FORMATS[form.value](board)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
