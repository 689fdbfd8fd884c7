"""The page of an inspection: its pictures, the most suspicious first, and those that a person has to look at."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import name_of
from lvlm_ad.escape import visible
from lvlm_ad.files import write_file
from lvlm_ad.leaderboard import usd
from lvlm_ad.report.page import render

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.evaluate import Inspection
    from lvlm_ad.evaluate.inspection_results import InspectedPicture

__all__ = ["write_inspection_page"]

_MOST = 20_000
"""Pictures on a page; a browser reads the page into memory."""

_FILES = {"overlay", "map"}
"""Columns that hold addresses: the browser must find the files."""


def write_inspection_page(inspection: Inspection) -> Path:
    """Write ``index.html`` into the inspection's folder, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    rows, record = inspection.pictures, inspection.record()
    # Without a score first, in the folder's order; sorting keeps the order of equal scores.
    ordered = sorted(rows, key=lambda row: -2.0 if row.score is None else -row.score)
    kept = ordered[:_MOST]
    left_out = ""
    if len(kept) < len(ordered):
        left_out = f"The page shows {len(kept):,} of {len(ordered):,} pictures; scores.csv has all."
    page = inspection.out / "index.html"
    content = render(
        "inspection.html",
        ("make.js", "inspection.js"),
        title=f"{name_of(inspection.folder)} by {inspection.model}",
        made="",
        threshold=inspection.words(),
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        tiles=_tiles(record),
        counts=inspection.counts,
        left_out=left_out,
        rows=[_shown(row) for row in kept],
    )
    write_file(page, content)
    return page


def _tiles(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return heading, value and a line below it of each tile."""
    total, cost, spent = record["pictures"], record["cost_usd"], record["spent_usd"]
    now = "" if not spent else f"{usd(spent)} by the last command"
    below = f"{record['good_pictures']} good ones for the threshold" if record["good_pictures"] else ""
    return [
        ("Alarm", f"{record['alarm']:,}", ""),
        ("Undecided", f"{record['undecided']:,}", "for a person" if record["undecided"] else ""),
        ("Pass", f"{record['pass']:,}", ""),
        ("Pictures", f"{total:,}", below),
        ("Cost, USD", usd(cost), now),
    ]


def _shown(row: InspectedPicture) -> dict[str, Any]:
    """Return a row for the page; invisible and control characters of its texts are shown by their code."""
    values = asdict(row).items()
    return {name: visible(one, "") if isinstance(one, str) and name not in _FILES else one for name, one in values}
