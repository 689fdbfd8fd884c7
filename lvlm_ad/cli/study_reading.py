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
    """Print a study's verdict and figures again, and write its page, CSV and LaTeX anew.

    Nothing is asked: the numbers are those of study.json.
    """
    from lvlm_ad.studies import Study

    found = Study.read(folder)
    present(found, folder.parent if folder.is_file() else folder, json=json)


def present(found: Study, folder: Path, *, json: bool) -> None:
    """Print a study and write its page.

    Raises:
        RunError: this version does not know the kind of study, its figures are damaged, or a file cannot be written.
    """
    from lvlm_ad.cli.stability_tables import show_stability
    from lvlm_ad.report.study_page import write_study

    page = write_study(found, folder)
    show_stability(found, folder, json=json)
    shell.say(f"page: {page}")
