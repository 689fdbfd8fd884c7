"""``lvlm-ad leaderboard`` and ``report``: read the runs of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli import boards, shell, sites
from lvlm_ad.cli.boards import Format
from lvlm_ad.cli.data_folders import data_folders

if TYPE_CHECKING:
    from lvlm_ad.runs import DataFolders, Run


@shell.guarded
def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder given to bench as --out.")] = Path("runs"),
    form: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Output file.  [default: stdout; html: leaderboard.html in DIR, or published.html]"
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Metric that decides the ranks, such as pixel_ap or choice_accuracy.")
    ] = "image_auroc",
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Show these columns: metrics, costs or decisions, such as recall.  [default: all but decisions]",
        ),
    ] = "",
    by_category: Annotated[
        bool,
        typer.Option(
            "--by-category",
            help="Table as in papers: rows are categories, columns are models; --format md (default), csv or tex.",
        ),
    ] = False,
    by_model: Annotated[
        bool,
        typer.Option(
            "--by-model",
            help="Table for each model: its methods side by side, with paired differences, and with cost per image.",
        ),
    ] = False,
    by_group: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Table of models by lighting, view, kind or size; not as tex.",
            show_default=False,
        ),
    ] = "",
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write figures as PDF and PNG: bars by category, scores against cost."),
    ] = None,
    reference_rows: Annotated[
        bool,
        typer.Option("--reference-rows", help="With --by-category and --figures: include chance, contrast and oracle."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Recompute each run from its files; leave out runs that differ, exit status 2."),
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATH",
            help="Folder of the data set; for several, NAME=PATH once for each. --verify checks labels and pixel "
            "counts there; --site takes its pictures from there.",
            show_default=False,
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a static site: pages of data sets, models and studies, and feeds."),
    ] = None,
    gallery: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="With --site: beside demo and visa, show pictures of these data sets, which you may publish; none: "
            "no pictures.",
            show_default=False,
        ),
    ] = "",
    exports: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --site: TOML file of export targets, your ids at the Hugging Face hub and Papers with Code.",
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Show results of papers and repositories, a table for each test set; runs in DIR stand above them.",
        ),
    ] = False,
    trained_on: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Only published rows of methods trained on NAME; nothing: on no anomaly data."
        ),
    ] = "",
    shots: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Only rows, published or yours, with N reference images.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Only rows, published or yours, of this method; maps: anomaly maps of their own."
        ),
    ] = "",
) -> None:
    """Rank the runs of a folder. Rows are ranked together only if they were measured under the same conditions."""
    from lvlm_ad.leaderboard import (
        Filters,
        chosen_columns,
        make_board,
        metrics_by_category,
        metrics_by_group,
        metrics_by_model,
    )
    from lvlm_ad.runs import datasets_without

    others = {
        "--format": form is not Format.table,
        "--output": output,
        "--by-category": by_category,
        "--by-model": by_model,
        "--by-group": by_group,
        "--figures": figures,
        "--published": published,
        "--trained-on": trained_on,
        "--shots": shots is not None,
        "--method": method,
    }
    without_site = ", ".join(name for name, value in others.items() if value)
    _check_clashes(
        {
            "--data needs --verify or --site.": data and not (verify or site),
            "--gallery needs --site.": bool(gallery) and site is None,
            "--exports needs --site.": exports is not None and site is None,
            f"--site takes --sort, --columns, --verify, --data, --gallery and --exports, not {without_site}.": (
                site is not None and without_site
            ),
            "--reference-rows needs --by-category or --figures; other tables always have them.": (
                reference_rows and not by_category and figures is None
            ),
            "--by-model cannot be combined with --by-category or --figures.": by_model and (by_category or figures),
            f"--by-category takes --format md, csv or tex, not {form.value}.": (
                by_category and form in {Format.json, Format.html}
            ),
            "--by-group cannot be combined with --by-category, --by-model, --figures or --published.": by_group
            and (by_category or by_model or figures or published),
            "--by-group takes --format table, md, csv, json or html, not tex.": by_group and form is Format.tex,
            "--trained-on chooses published rows, and tables by category and by model have none.": bool(
                trained_on and (by_category or by_model)
            ),
            "--published cannot be combined with --by-category, --by-model, --figures or --verify.": (
                published and (by_category or by_model or figures or verify)
            ),
        }
    )
    filters = Filters(trained_on, shots, method)
    folders = data_folders(data or ())
    if published:
        boards.write_published(folder, sort, filters, columns, form, output)
        return
    if site is not None:
        sites.check(site, gallery, exports)
    choose = metrics_by_model if by_model else metrics_by_category if by_category else chosen_columns
    choose = metrics_by_group if by_group else choose
    chosen = choose(columns)
    runs, problems, left_out = _shown_runs(folder, folders, verify=verify, may_be_none=site is not None)
    if site is not None:
        sites.write(
            runs,
            folder,
            site,
            sort,
            chosen,
            verified=verify,
            data=folders,
            gallery=gallery,
            exports=exports,
            left_out=left_out,
        )
        raise typer.Exit(shell.EXIT_USAGE if verify and problems else 0)
    runs = filters.checked_runs(runs)
    if by_model:
        chosen = metrics_by_model(columns, runs)
        boards.write_by_model(runs, sort, chosen, folder, form, output, link=not verify)
        raise typer.Exit(shell.EXIT_USAGE if verify and problems else 0)
    unchecked = datasets_without(runs, folders)
    board = make_board(runs, sort, verified=verify, unchecked=unchecked, filters=filters)
    if by_group:
        boards.write_by_group(board, runs, by_group, chosen, folder, form, output, link=not verify)
    elif by_category:
        boards.write_by_category(board, chosen, form, output, reference_rows=reference_rows)
    else:
        # Runs that need verification may be a stranger's, and so may their pages.
        boards.write(board, chosen, folder, form, output, link=not verify, left_out=left_out)
    if figures is not None:
        boards.write_figures(board, figures, reference_rows=reference_rows)
    if verify and problems:
        raise typer.Exit(shell.EXIT_USAGE)


def _check_clashes(clashes: Mapping[str, object]) -> None:
    """Raise the first message whose clash is true."""
    from lvlm_ad.errors import ConfigError

    for message, clash in clashes.items():
        if clash:
            raise ConfigError(message)


def _runs_in(folder: Path) -> tuple[list[Run], list[str], list[str]]:
    """Read the runs that have metrics, and say how many have none.

    Also returns what is wrong with damaged runs, and a sentence for a page that names them.
    """
    from lvlm_ad.errors import RunError
    from lvlm_ad.runs import UNREADABLE, left_out_notes, measured_runs, read_runs, run_folders

    found, problems = read_runs(folder)
    runs, without = measured_runs(found)
    if found and not runs:
        raise RunError(f"No run of {folder} can be shown. {' '.join(without)}")
    for note in without:
        shell.say(f"left out: {note}")
    return runs, problems, left_out_notes(run_folders(folder), found, UNREADABLE)


def _shown_runs(
    folder: Path, data: DataFolders, *, verify: bool, may_be_none: bool
) -> tuple[list[Run], list[str], list[str]]:
    """Return the runs of a folder that can be shown, verified if that is wanted.

    Also returns what is wrong with the others, and sentences for a page that name these.

    Raises:
        RunError: there is no such folder; it has no run that can be shown, unless nothing is wrong with any and
            ``may_be_none``: a site of published results needs no run.
    """
    from lvlm_ad.errors import RunError, listed
    from lvlm_ad.leaderboard import writable
    from lvlm_ad.runs import UNVERIFIED, UNWRITABLE, datasets_without, left_out_notes

    runs, problems, left_out = _runs_in(folder)
    if verify:
        from lvlm_ad.cli.terminal import Bars
        from lvlm_ad.evaluate.verify import verify_runs

        folders = [run.dir for run in runs]
        with Bars() as bars:
            runs, wrong = verify_runs(runs, data, bars)
        problems += wrong
        left_out += left_out_notes(folders, runs, UNVERIFIED)
        if unchecked := datasets_without(runs, data):
            shell.say(
                f"Labels and pixel counts of runs on {listed(unchecked):.200} were not compared with the images and "
                "masks; give the folder of each data set with --data NAME=PATH."
            )
    folders = [run.dir for run in runs]
    runs, wrong = writable(runs)
    problems += wrong
    left_out += left_out_notes(folders, runs, UNWRITABLE)
    for problem in problems:
        shell.say(f"left out: {problem}")
    if not runs and (problems or not may_be_none):
        none = f"No run of {folder} can be shown" if problems else f"There is no run in {folder}"
        raise RunError(f"{none}; 'lvlm-ad bench --out {folder}' makes one.")
    return runs, problems, left_out


@shell.guarded
def report(
    run: shell.RunFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page's folder.  [default: report in the run's folder]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set.  [default: its folder at the time of the run]")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show the images with marks and maps.")] = True,
    figures: Annotated[bool, typer.Option("--figures", help="Also write the plots as PDF and PNG.")] = False,
    json: shell.Json = False,
) -> None:
    """Write a run as a web page.

    It shows metrics with intervals, curves, outcomes, and every image with its answer and map. The page is a folder
    with index.html. It opens from disk and loads nothing from the network. It contains the images: consider
    their licence before you publish it.
    """
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.report.run_pages import write_report
    from lvlm_ad.runs import only_run, read_run

    folder = only_run(run)
    with Bars() as bars:
        page = write_report(
            read_run(folder),
            output or folder / "report",
            data=data,
            pictures=pictures,
            figures=figures,
            progress=bars,
        )
    name_page("report", page, json=json)


def name_page(kind: str, page: Path, *, json: bool) -> None:
    """Say where a page is; with ``json`` also on stdout."""
    shell.say(f"{kind}: {page}")
    if json:
        shell.print_json({"page": str(page)})
