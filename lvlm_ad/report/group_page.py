"""Models by groups of images, such as lightings, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.report.board_page import report_links
from lvlm_ad.report.page import render

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board, GroupTable

_SCRIPTS = ("sortable.js", "sortable.a11y.js", "ascending.js")


def group_page(tables: Sequence[GroupTable], board: Board, runs: Path | None = None, folder: Path | None = None) -> str:
    """Return tables by groups as one self-contained HTML file.

    Args:
        tables: as ``group_tables`` makes them.
        board: the leaderboard that they were made of.
        runs: the folder of the runs; a row leads to its report there if it has one. None: no links.
        folder: where the page will be; None: in ``runs``.

    Example:
        >>> from lvlm_ad.leaderboard import make_board
        >>> group_page([], make_board([])).startswith("<!doctype html>")
        True
    """
    links = report_links([entry for group in board.groups for entry in group.entries], runs, folder)
    by = tables[0].by if tables else "group"
    return render(
        "by_group.html", _SCRIPTS, title=f"lvlm-ad: models by {by}", made="", tables=tables, links=links, by=by
    )
