"""Builds a site from runs: every file of it, and then the folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard import COLUMNS, make_board, model_title, published_board
from lvlm_ad.log import Progress
from lvlm_ad.presets import ExportTargets
from lvlm_ad.runs import datasets_without, each_separately
from lvlm_ad.site.contents import Contents
from lvlm_ad.site.exports import export_files, missing_exports
from lvlm_ad.site.feeds import feed_files
from lvlm_ad.site.folder import check_folder, write_files
from lvlm_ad.site.index import index_page
from lvlm_ad.site.model import model_page
from lvlm_ad.site.pages import dataset_page, published_page, study_files, submit_page
from lvlm_ad.site.permissions import Permissions
from lvlm_ad.site.pictures import Galleries
from lvlm_ad.studies import Study, figures_of

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Column
    from lvlm_ad.runs import DataFolders, Run

__all__ = ["SiteOptions", "find_studies", "site_files", "write_site"]


@dataclass(frozen=True)
class SiteOptions:
    """What a site shows, and how.

    Attributes:
        sort: the metric that ranks.
        columns: the columns of tables; ``COLUMNS``: the default ones.
        verified: whether the runs were verified.
        data: the folder of a data set, or folders by name, against which they were verified, and for pictures; other
            pictures are read where they were when this machine made the runs.
        permissions: which data sets' pictures may be shown.
        targets: the benchmarks of other sites, for the exports.
        left_out: sentences on the runs that are not shown, as ``left_out_notes`` makes them.
    """

    sort: str = "image_auroc"
    columns: Sequence[Column] = COLUMNS
    verified: bool = False
    data: DataFolders = None
    permissions: Permissions = field(default_factory=Permissions)
    targets: ExportTargets = field(default_factory=ExportTargets)
    left_out: Sequence[str] = ()


_DEFAULT_OPTIONS = SiteOptions()


def write_site(
    runs: Sequence[Run],
    folder: Path,
    studies: Sequence[Study] = (),
    options: SiteOptions = _DEFAULT_OPTIONS,
    progress: Progress | None = None,
) -> Path:
    """Write a site and return its first page; the same runs give the same bytes.

    Args:
        runs: the runs, from one folder.
        folder: the site's folder: new, empty, or an earlier site, which is replaced.
        studies: the studies to show.
        options: what it shows, and how.
        progress: receives how far the site has come.

    Raises:
        ConfigError: there is no such metric, or the exports' targets name one that no result has.
        RunError: the folder holds other things, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_site([], Path(folder)).name
        ...     sorted(path.name for path in Path(folder).iterdir())
        'index.html'
        ['exports', 'feeds', 'index.html', 'published.html', 'site.json', 'submit.html']
    """
    progress = progress or Progress()
    check_folder(folder)
    unchecked = datasets_without(runs, options.data) if options.verified else []
    board = make_board(runs, options.sort, verified=options.verified, unchecked=unchecked)
    published = published_board(runs, options.sort)
    contents = Contents(runs, board, published, studies, options.columns, options.verified, options.data)
    pages = {run.dir.name: contents.model_pages.get(model_title(run.manifest), "") for run in runs}
    feeds = feed_files(board, published, runs, options.targets.site_url, pages)
    exports = export_files(board, runs, options.targets)
    for note in missing_exports(exports, options.targets):
        progress.note(note)
    downloads = {**feeds, **exports}
    contents = replace(contents, downloads=downloads, targets=options.targets, left_out=options.left_out)
    with ExitStack() as stack:
        files = site_files(contents, Galleries(options.permissions, options.data, progress, stack), progress)
    for path in write_files(folder, files):
        progress.note(
            f"{folder / path} is no longer part of the site. It was changed by hand and therefore kept; delete it if "
            "you do not need it."
        )
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
