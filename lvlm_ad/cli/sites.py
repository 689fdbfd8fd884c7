"""``lvlm-ad leaderboard --site``: writes a static site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.cli import shell

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Column
    from lvlm_ad.runs import DataFolders, Run


def check(site: Path, gallery: str, exports: Path | None) -> None:
    """Raise what is wrong with the options, before runs are read and verified."""
    from lvlm_ad.presets import load_exports
    from lvlm_ad.site import Permissions, check_folder

    check_folder(site)
    Permissions.of(gallery)
    if exports is not None:
        load_exports(str(exports))


def write(
    runs: Sequence[Run],
    folder: Path,
    site: Path,
    sort: str,
    columns: Sequence[Column],
    *,
    verified: bool,
    data: DataFolders,
    gallery: str,
    exports: Path | None,
    left_out: Sequence[str] = (),
) -> None:
    """Write a site of the runs and the studies in a folder.

    ``left_out`` says which runs are not shown; the other arguments are those of the command.
    """
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.presets import ExportTargets, load_exports
    from lvlm_ad.site import Permissions, SiteOptions, find_studies, write_site

    studies, problems = find_studies(folder)
    if verified and studies:
        # A study's figures cannot be computed again from its files alone.
        count = "1 study is" if len(studies) == 1 else f"{len(studies)} studies are"
        shell.say(f"{count} left out: --verify cannot recompute figures of studies.")
        studies, problems = [], []
    if not runs:
        shell.say(f"There is no run in {folder}: the site shows published results and how to submit a run.")
    for problem in problems:
        shell.say(f"left out: {problem}")
    options = SiteOptions(
        sort=sort,
        columns=columns,
        verified=verified,
        data=data,
        permissions=Permissions.of(gallery),
        targets=ExportTargets() if exports is None else load_exports(str(exports)),
        left_out=left_out,
    )
    with Bars() as bars:
        page = write_site(runs, site, studies, options, bars)
    shell.say(f"site: {page}")
