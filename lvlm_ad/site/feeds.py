"""Feeds of a site: its tables as JSON and CSV, the JSON schema of the former, and a JSON feed of new runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from pydantic import ConfigDict, TypeAdapter

from lvlm_ad import escape
from lvlm_ad.leaderboard import COLUMNS, Board, Entry, Group, percent, usd
from lvlm_ad.leaderboard.formats import csv_text
from lvlm_ad.site.results import utc

if TYPE_CHECKING:
    from lvlm_ad.runs import Manifest, Run

__all__ = ["FEED_VERSION", "Feed", "FeedRow", "FeedTable", "feed_files"]

FEED_VERSION = 1
"""The version of the feeds' form. It rises when a field goes away or changes its meaning, not when one is added."""

_NO_PAGES: Mapping[str, str] = {}
_NEW_RUNS = "feeds/runs.json"
_NEWEST = 50
"""Runs in the feed of new runs."""

_DATA = ("schema_version", "dataset", "part")
_CONDITIONS = ("n_images", "whole_test_split", "method", "division", "prompt", "shots", "image_size")
_ORIGIN = ("config_hash", "lvlm_ad_version", "started")
"""The first columns of the CSV feeds."""

# Every field is written, whatever its value.
_STRICT = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


@dataclass(frozen=True)
class FeedRow(Entry):
    """A row of a feed: an ``Entry``, and where its numbers come from.

    Attributes:
        config_hash: SHA-256 over everything that the numbers depend on; empty for published rows.
        lvlm_ad_version: the version that measured it; empty for published rows.
        started: when the run was started, UTC, ISO 8601; empty for published rows.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    config_hash: str = ""
    lvlm_ad_version: str = ""
    started: str = ""


@dataclass(frozen=True)
class FeedTable(Group):
    """A table of a feed: a ``Group``."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    entries: tuple[FeedRow, ...]


@dataclass(frozen=True)
class Feed:
    """The content of leaderboard.json and of published.json.

    Attributes:
        schema_version: ``FEED_VERSION``.
        sort: the metric that ranks.
        groups: the tables.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    sort: str
    groups: tuple[FeedTable, ...]


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
    schema = TypeAdapter(Feed).json_schema(mode="serialization")
    texts = {
        "leaderboard.json": escape.json_text(asdict(_feed(board, manifests))),
        "leaderboard.csv": csv_text(board, COLUMNS, before=_columns(manifests, (*_DATA, *_CONDITIONS, *_ORIGIN))),
        "published.json": escape.json_text(asdict(_feed(published, manifests))),
        # A table of published results has columns for conditions.
        "published.csv": csv_text(published, COLUMNS, before=_columns(manifests, (*_DATA, *_ORIGIN))),
        "runs.json": escape.json_text(_new_runs(board, runs, site_url, pages)),
        "schema.json": escape.json_text({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}),
    }
    return {f"feeds/{name}": text if text.endswith("\n") else f"{text}\n" for name, text in texts.items()}


def _feed(board: Board, manifests: Mapping[str, Manifest]) -> Feed:
    groups = [
        FeedTable(**{**_values(group), "entries": tuple(_row(entry, manifests) for entry in group.entries)})
        for group in board.groups
    ]
    return Feed(FEED_VERSION, board.sort, tuple(groups))


def _row(entry: Entry, manifests: Mapping[str, Manifest]) -> FeedRow:
    manifest = manifests.get(entry.run)
    return FeedRow(**_values(entry), **({} if manifest is None else _origin(manifest)))


def _values(of: Entry | Group) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def _origin(manifest: Manifest) -> dict[str, Any]:
    return {
        "config_hash": manifest.config_hash,
        "lvlm_ad_version": manifest.versions.get("lvlm-ad", ""),
        "started": manifest.started,
    }


def _columns(manifests: Mapping[str, Manifest], names: Sequence[str]) -> dict[str, Callable[[Group, Entry], Any]]:
    """Return the columns of a CSV feed that come before those of every leaderboard."""

    def facts(group: Group, entry: Entry) -> dict[str, Any]:
        manifest = manifests.get(entry.run)
        first = {"schema_version": FEED_VERSION, "dataset": group.conditions["dataset"]}
        if manifest is None:
            published = {"method": entry.conditions.get("method"), "shots": entry.conditions.get("shots")}
            return {**first, **published, "part": group.conditions.get("part")}
        return {
            **first,
            "part": group.conditions.get("part"),
            "n_images": manifest.dataset.n_images,
            "whole_test_split": manifest.dataset.whole,
            "method": manifest.method.name,
            "division": manifest.division.method,
            "prompt": manifest.prompt.name,
            "shots": manifest.protocol.get("shots", 0),
            "image_size": manifest.protocol.get("image_size"),
            **_origin(manifest),
        }

    def column(name: str) -> Callable[[Group, Entry], Any]:
        return lambda group, entry: facts(group, entry).get(name)

    return {name: column(name) for name in names}


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
