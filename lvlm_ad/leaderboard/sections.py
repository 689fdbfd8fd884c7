"""What stands apart in a table: the rows that frame it, and the published ones, each under a heading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Entry, Group

__all__ = ["Section", "lacks_intervals", "sections"]

_HEADINGS = {"frame": "frame rows", "published": "published"}
"""Kind of row -> what stands above such rows."""


@dataclass(frozen=True)
class Section:
    """Rows of a table that stand together.

    Attributes:
        heading: what stands above them; empty above the ranked rows and those measured otherwise.
        entries: one row or more.
    """

    heading: str
    entries: tuple[Entry, ...]


def sections(group: Group) -> list[Section]:
    """Return a group's rows: first those that are measured, then the frame, then published ones."""
    found: dict[str, list[Entry]] = {heading: [] for heading in ("", *_HEADINGS.values())}
    for entry in group.entries:
        found[_HEADINGS.get(entry.kind, "")].append(entry)
    return [Section(heading, tuple(entries)) for heading, entries in found.items() if entries]


def lacks_intervals(group: Group, metric: str) -> bool:
    """Say whether a row of a run has a metric without its interval."""
    return any(
        entry.run and entry.metrics[metric] is not None and metric not in entry.intervals for entry in group.entries
    )
