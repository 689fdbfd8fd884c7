"""``lvlm-ad study show`` and ``compare``: read studies that were made before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli import shell

if TYPE_CHECKING:
    from lvlm_ad.studies import Study

StudyFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder, OUT/studies/NAME.")]


@shell.guarded
def show(folder: StudyFolder, json: shell.Json = False) -> None:
    """Show a study again.

    Prints its verdict and figures, and writes its page, CSV and LaTeX anew. Nothing is asked: the numbers are those of
    study.json.
    """
    from lvlm_ad.studies import Study

    found = Study.read(folder)
    show_and_write(found, folder.parent if folder.is_file() else folder, json=json)


@shell.guarded
def compare(
    first: StudyFolder,
    second: Annotated[Path, typer.Argument(metavar="DIR", help="Another study of the same kind on the same images.")],
    json: shell.Json = False,
) -> None:
    """Compare two studies.

    They are of one kind and about the same images, such as those of two versions of a model. Shows a verdict and the
    differences, first minus second, with 95 % intervals. Images are compared one by one where that can be done: an
    image that is hard for both models does not make their difference uncertain.
    """
    from dataclasses import asdict

    from lvlm_ad.cli.study_comparison import show_comparison
    from lvlm_ad.studies import compare_studies

    found = compare_studies(first, second)
    if json:
        differences = [{**asdict(one), "difference": one.difference.model_dump()} for one in found.differences]
        shell.print_json({**asdict(found), "differences": differences})
    else:
        show_comparison(found)


def show_and_write(found: Study, folder: Path, *, json: bool) -> None:
    """Print a study and write its page.

    Raises:
        RunError: this version does not know the kind of study, its figures are damaged, or a file cannot be written.
    """
    from lvlm_ad.cli.efficiency_tables import show_efficiency
    from lvlm_ad.cli.grounding_tables import show_grounding
    from lvlm_ad.cli.stability_tables import show_stability
    from lvlm_ad.report.study_page import write_study

    page = write_study(found, folder)
    shows = {"efficiency": show_efficiency, "grounding": show_grounding, "stability": show_stability}
    shows[found.kind](found, folder, json=json)
    shell.say(f"page: {page}")
