"""Writes leaderboards in every format: to stdout, or to a file."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.cli import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.leaderboard import Board, Column, Filters
    from lvlm_ad.runs import Run

Format = StrEnum("Format", ["table", "md", "csv", "json", "tex", "html"])


def write(
    board: Board,
    columns: Sequence[Column],
    folder: Path,
    form: Format,
    output: Path | None,
    *,
    link: bool,
    left_out: Sequence[str] = (),
) -> None:
    """Write a leaderboard to a file or to stdout.

    Without ``link`` a page does not lead to the runs' own pages. ``left_out`` says on a page which runs are not shown.
    """
    from rich.console import Console

    from lvlm_ad.cli.terminal import print_board
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import FORMATS
    from lvlm_ad.report.board_page import board_page

    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    if form is Format.html:
        path = output or folder / "leaderboard.html"
        page = board_page(board, folder if link else None, path.parent, columns, left_out)
        write_file(path, page, through=output is not None)
        shell.say(f"leaderboard: {path}")
    elif form is not Format.table:
        write_text(FORMATS[form.value](board, columns), output)
    elif output is None:
        print_board(board, shell.table_console(shell.BOARD_WIDTH), columns)
    else:
        with output.open("w", encoding="utf-8") as file:
            print_board(board, Console(file=file, width=shell.BOARD_WIDTH), columns)


def write_published(folder: Path, sort: str, filters: Filters, columns: str, form: Format, output: Path | None) -> None:
    """Write published results, with the runs of a folder beside them if there is one."""
    from lvlm_ad.errors import RunError
    from lvlm_ad.leaderboard import chosen_published, published_board, writable
    from lvlm_ad.runs import UNREADABLE, left_out_notes, measured_runs, read_runs, run_folders

    chosen = chosen_published(columns)
    # Published results need no run; only a folder that was named must be there.
    absent = folder == Path("runs") and not folder.is_dir()
    if not (absent or folder.exists()):
        raise RunError(
            f"There is no folder {folder}. Published results need none: 'lvlm-ad leaderboard --published' shows them, "
            "with the runs in the folder runs beside them if there is one."
        )
    found, problems = ([], []) if absent else read_runs(folder)
    runs, without = measured_runs(found)
    runs, wrong = writable(runs)
    for problem in (*problems, *without, *wrong):
        shell.say(f"left out: {problem}")
    board = published_board(runs, sort, filters=filters)
    if not board.groups:
        raise RunError(filters.why_none())
    if form is Format.html and output is None:
        output = Path("published.html")
    left_out = [] if absent else left_out_notes(run_folders(folder), found, UNREADABLE)
    write(board, chosen, folder, form, output, link=not absent, left_out=left_out)


def write_by_category(
    board: Board, metrics: Sequence[Column], form: Format, output: Path | None, *, reference_rows: bool
) -> None:
    """Write the models of each group by category."""
    from lvlm_ad.errors import RunError
    from lvlm_ad.leaderboard import CATEGORY_FORMATS, category_table

    tables = [category_table(group, metrics, reference_rows=reference_rows) for group in board.groups]
    tables = [table for table in tables if table.models]
    if not tables:
        raise RunError("There are only reference rows; --reference-rows shows them by category.")
    write_text(CATEGORY_FORMATS["md" if form is Format.table else form.value](tables), output)


def write_by_group(
    board: Board,
    runs: Sequence[Run],
    by: str,
    metrics: Sequence[Column],
    folder: Path,
    form: Format,
    output: Path | None,
    *,
    link: bool,
) -> None:
    """Write the models of each group by groups of images; ``link`` as in ``write``."""
    from lvlm_ad.cli.group_tables import group_tables_text
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import GROUP_FORMATS, group_tables
    from lvlm_ad.report.group_page import group_page

    tables = group_tables(board, runs, by, metrics)
    if form is Format.html:
        path = output or folder / f"leaderboard-by-{by}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, group_page(tables, board, folder if link else None, path.parent), through=output is not None)
        shell.say(f"models by {by}: {path}")
    elif form is not Format.table:
        write_text(GROUP_FORMATS[form.value](tables), output)
    else:
        console = shell.table_console(shell.BOARD_WIDTH)
        write_text(group_tables_text(tables, console.width), output)


def write_by_model(
    runs: Sequence[Run],
    sort: str,
    metrics: Sequence[Column],
    folder: Path,
    form: Format,
    output: Path | None,
    *,
    link: bool,
) -> None:
    """Write the methods of each model side by side; ``link`` as in ``write``."""
    from rich.console import Console

    from lvlm_ad.cli.model_tables import print_model_tables
    from lvlm_ad.errors import RunError
    from lvlm_ad.files import write_file
    from lvlm_ad.leaderboard import MODEL_FORMATS, model_tables
    from lvlm_ad.report.model_page import model_page

    tables, problems = model_tables(runs, sort)
    for problem in problems:
        shell.say(f"left out: {problem}")
    if not tables:
        raise RunError(
            f"No model of {folder} was measured by two methods on the same images at the same image size; run "
            "'lvlm-ad bench --method NAME' for another one."
        )
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    if form is Format.html:
        path = output or folder / "leaderboard-by-model.html"
        page = model_page(tables, metrics, folder if link else None, path.parent)
        write_file(path, page, through=output is not None)
        shell.say(f"methods of each model: {path}")
    elif form is not Format.table:
        write_text(MODEL_FORMATS[form.value](tables, metrics), output)
    elif output is None:
        print_model_tables(tables, metrics, shell.table_console(shell.BOARD_WIDTH))
    else:
        with output.open("w", encoding="utf-8") as file:
            print_model_tables(tables, metrics, Console(file=file, width=shell.BOARD_WIDTH))


def write_figures(board: Board, folder: Path, *, reference_rows: bool) -> None:
    """Write the figures, and name the models that they have no room for."""
    from lvlm_ad.report.paper_figures import save_board_figures

    left_out = save_board_figures(board, folder, reference_rows=reference_rows)
    shell.say(f"figures: {folder}")
    if left_out:
        shell.say(f"No room in the bars for {', '.join(left_out)}.")


def write_text(text: str, output: Path | None) -> None:
    """Write a text to a file or to stdout."""
    from lvlm_ad.files import write_file

    if output is None:
        sys.stdout.write(text)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_file(output, text, through=True)
