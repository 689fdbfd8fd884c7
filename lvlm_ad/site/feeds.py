"""Feeds of a site: its tables as JSON and CSV, the JSON schema of the former, and a JSON feed of new runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lvlm_ad import escape
from lvlm_ad.leaderboard import COLUMNS, Board, Entry, Group, percent, usd
from lvlm_ad.leaderboard.formats import csv_text
from lvlm_ad.site.feed_schema import FEED_KINDS, FEED_VERSION, Feed, FeedRow, FeedTable, feed_schema
from lvlm_ad.site.results import utc

if TYPE_CHECKING:
    from lvlm_ad.runs import Manifest, Run

__all__ = ["feed_files"]

_NO_PAGES: Mapping[str, str] = {}
_NEW_RUNS = "feeds/runs.json"
_NEWEST = 50
"""Runs in the feed of new runs."""

_DATA = ("schema_version", "dataset", "part")
_CONDITIONS = ("n_images", "whole_test_split", "method", "division", "prompt", "shots", "image_size")
_ORIGIN = ("config_hash", "lvlm_ad_version", "started")
"""The first columns of the CSV feeds."""


def feed_files(
    board: Board, published: Board, runs: Sequence[Run], site_url: str = "", pages: Mapping[str, str] = _NO_PAGES
) -> dict[str, str]:
    """Return the feeds of a site.

    Metrics are fractions in 0..1, costs are USD; a value that is undefined is null in JSON and an empty cell in CSV.

    Args:
        board: the tables of runs.
        published: the tables of published results.
        runs: the runs of both.
        site_url: the address of the site's folder; empty: unknown, then the feed of new runs has no links.
        pages: folder of a run -> the page to which its item leads.

    Returns:
        Path in the site -> text: leaderboard.json, leaderboard.csv, published.json, published.csv, runs.json and
        schema.json in ``feeds/``.

    Example:
        >>> list(feed_files(Board(()), Board(()), []))[:2]
        ['feeds/leaderboard.json', 'feeds/leaderboard.csv']
    """
    manifests = {run.dir.name: run.manifest for run in runs}
    texts = {
        "leaderboard.json": escape.json_text(asdict(_feed(board, manifests))),
        "leaderboard.csv": _csv(board, manifests, (*_DATA, *_CONDITIONS, *_ORIGIN)),
        "published.json": escape.json_text(asdict(_feed(published, manifests))),
        # Tables of published results already have columns for conditions.
        "published.csv": _csv(published, manifests, (*_DATA, *_ORIGIN)),
        "runs.json": escape.json_text(_new_runs(board, runs, site_url, pages)),
        "schema.json": escape.json_text(feed_schema()),
    }
    return {f"feeds/{name}": text if text.endswith("\n") else f"{text}\n" for name, text in texts.items()}


def _feed(board: Board, manifests: Mapping[str, Manifest]) -> Feed:
    groups = [
        FeedTable(**{**_values(group), "entries": tuple(_row(entry, manifests) for entry in group.entries)})
        for group in board.groups
    ]
    return Feed(FEED_VERSION, board.sort, tuple(groups))


def _row(entry: Entry, manifests: Mapping[str, Manifest]) -> FeedRow:
    kind = FEED_KINDS.get(entry.kind, entry.kind)
    return FeedRow(**{**_values(entry), "kind": kind, **_origin(manifests.get(entry.run))})


def _values(of: Entry | Group) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def _origin(manifest: Manifest | None) -> dict[str, str]:
    """Return where the numbers of a run come from; empty texts for a published row."""
    if manifest is None:
        return dict.fromkeys(_ORIGIN, "")
    version = manifest.versions.get("lvlm-ad", "")
    return {"config_hash": manifest.config_hash, "lvlm_ad_version": version, "started": manifest.started}


def _csv(board: Board, manifests: Mapping[str, Manifest], names: Sequence[str]) -> str:
    """Write tables as CSV with the columns ``names`` before those of every leaderboard."""

    def facts(group: Group, entry: Entry) -> list[Any]:
        known = {"schema_version": FEED_VERSION, **group.conditions, **_facts(entry, manifests.get(entry.run))}
        return [known.get(name) for name in names]

    return csv_text(board, COLUMNS, before=names, facts=facts, kinds=FEED_KINDS)


def _facts(entry: Entry, manifest: Manifest | None) -> dict[str, Any]:
    """Return the conditions and the origin of a row."""
    if manifest is None:
        return {**{name: entry.conditions.get(name) for name in _CONDITIONS}, **_origin(None)}
    return {
        "n_images": manifest.dataset.n_images,
        "whole_test_split": manifest.dataset.whole,
        "method": manifest.method.name,
        "division": manifest.division.method,
        "prompt": manifest.prompt.name,
        "shots": manifest.protocol.get("shots", 0),
        "image_size": manifest.protocol.get("image_size"),
        **_origin(manifest),
    }


def _new_runs(board: Board, runs: Sequence[Run], site_url: str, pages: Mapping[str, str]) -> dict[str, Any]:
    """Return a feed of the newest runs, without reference rows (https://jsonfeed.org/version/1.1)."""
    start = f"{site_url.rstrip('/')}/"
    titles = {entry.run: (group.title, entry) for group in board.groups for entry in group.entries if entry.run}
    dated = [(utc(run.manifest.started), run.dir.name, run.manifest) for run in runs if run.dir.name in titles]
    items = []
    for started, name, manifest in sorted(dated, key=lambda one: one[:2], reverse=True):
        conditions, entry = titles[name]
        if entry.kind == "frame":
            continue
        auroc, cost = percent(entry.metrics.get("image_auroc")), usd(entry.cost_usd)
        items.append(
            {
                "id": name,
                **({"url": f"{start}{quote(pages.get(name, ''))}"} if site_url else {}),
                "title": f"{entry.name} on {manifest.dataset.name}",
                "content_text": f"Image AUROC {auroc} %, cost {cost} USD. {conditions}",
                "date_published": started.isoformat(timespec="seconds"),
                "tags": [manifest.dataset.name, manifest.method.name],
            }
        )
    about = "The newest runs of this leaderboard, with the date on which each was started."
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "lvlm-ad leaderboard: new runs",
        **({"home_page_url": start, "feed_url": f"{start}{_NEW_RUNS}"} if site_url else {}),
        "description": about,
        "items": items[:_NEWEST],
    }
