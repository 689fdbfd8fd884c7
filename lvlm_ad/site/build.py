"""Builds a site from runs: every file of it, and then the folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard import COLUMNS, make_board, published_board
from lvlm_ad.log import Progress
from lvlm_ad.runs import each_separately
from lvlm_ad.site.contents import Contents
from lvlm_ad.site.folder import check_folder, write_files
from lvlm_ad.site.index import index_page
from lvlm_ad.site.model import model_page
from lvlm_ad.site.pages import dataset_page, published_page, study_files, submit_page
from lvlm_ad.site.permissions import Permissions
from lvlm_ad.site.pictures import Galleries
from lvlm_ad.studies import Study, figures_of

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Column
    from lvlm_ad.runs import Run

__all__ = ["find_studies", "site_files", "write_site"]

_NO_PERMISSIONS = Permissions()


def write_site(
    runs: Sequence[Run],
    folder: Path,
    *,
    studies: Sequence[Study] = (),
    sort: str = "image_auroc",
    columns: Sequence[Column] = COLUMNS,
    verified: str = "",
    permissions: Permissions = _NO_PERMISSIONS,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a site and return its first page; the same runs give the same bytes.

    Args:
        runs: the runs, from one folder.
        folder: the site's folder: new, empty, or an earlier site, which is replaced.
        studies: the studies to show.
        sort: the metric that ranks.
        columns: the columns of tables; ``COLUMNS``: the usual ones.
        verified: what was verified, in a sentence; empty: nothing.
        permissions: which data sets' pictures may be shown.
        data: a folder of a data set, for its pictures; None: where the images were when this machine made the runs.
        progress: receives how far the site has come.

    Raises:
        ConfigError: there is no such metric.
        RunError: the folder holds other things, or cannot be written.
    """
    progress = progress or Progress()
    check_folder(folder)
    board = make_board(runs, sort, verified=bool(verified))
    contents = Contents(runs, board, published_board(runs, sort), studies, columns, verified)
    with ExitStack() as stack:
        files = site_files(contents, Galleries(permissions, data, progress, stack), progress)
    write_files(folder, files)
    return folder / "index.html"


def site_files(contents: Contents, galleries: Galleries, progress: Progress) -> dict[str, str | bytes]:
    """Return every file of a site: path -> content."""
    progress.start("pages", len(contents.tables) + len(contents.models) + len(contents.studies))
    files: dict[str, str | bytes] = {**contents.downloads}
    for dataset, page in contents.dataset_pages.items():
        files[page] = dataset_page(contents, dataset)
        progress.advance()
    for model, page in contents.model_pages.items():
        files[page] = model_page(contents, model, galleries.of(contents, model))
        progress.advance()
    for study, folder in zip(contents.studies, contents.study_folders, strict=True):
        files |= study_files(contents, study, folder)
        progress.advance()
    progress.finish()
    return {
        "index.html": index_page(contents),
        "published.html": published_page(contents),
        "submit.html": submit_page(contents),
        **files,
        **galleries.files,
    }


def find_studies(folder: Path) -> tuple[list[Study], list[str]]:
    """Return the studies below a folder of runs, and a message for each that cannot be read."""

    def read(path: Path) -> Study:
        study = Study.read(path)
        figures_of(study)
        return study

    paths = sorted({*folder.glob("*/study.json"), *folder.glob("*/*/study.json")})
    return each_separately(paths, read)
