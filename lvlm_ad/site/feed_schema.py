"""The form of the JSON feeds, whose schema is ``feeds/schema.json``: each field explains itself there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

__all__ = ["FEED_KINDS", "FEED_VERSION", "Feed", "FeedRow", "FeedTable", "feed_schema"]

FEED_VERSION = 1
"""The version of the feeds' form. It rises when a field goes away or changes its meaning, not when one is added."""

FEED_KINDS = MappingProxyType({"frame": "reference", "apart": "not_ranked"})
"""Kind of an ``Entry`` -> what feeds call it; other kinds have the same name."""

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class FeedRow:
    """A row of a table. Metrics are fractions in 0..1, costs are USD; what is undefined or unknown is null."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    """The model and its method, with marks in square brackets."""
    kind: Literal["ranked", "reference", "not_ranked", "published"]
    """ranked; reference: a reference row, such as chance; not_ranked: it cannot be ranked with the others, for the
    stated reason; published: its authors' numbers, not measured here."""
    rank: tuple[int, int] | None
    """The lowest and the highest rank that the row may have among the ranked rows of its table, with 95 % confidence
    for all rows together; null for rows without a rank."""
    metrics: Mapping[str, float | None]
    """Metric -> value. Of all metrics a higher value is better, but of false_alarms and choice_unread a lower one."""
    intervals: Mapping[str, tuple[float, float]]
    """Metric -> lower and upper end of its 95 % interval. Metrics without an interval are missing."""
    coverage: float | None
    """Fraction of the images that have a usable answer; null for published rows."""
    cost_usd: float | None
    """Cost of all answers."""
    usd_per_image: float | None
    """Cost of one image that was asked about, whether or not it was answered."""
    usd_per_point: float | None
    """Cost of an image divided by the percent points of image AUROC above 50, which is chance; null where the interval
    of image AUROC does not lie above chance, and where some images were not answered."""
    difference: float | None
    """The metric that ranks minus that of the table's best row, at most 0; null for that row."""
    difference_interval: tuple[float, float] | None
    """Lower and upper end of the 95 % interval of the difference."""
    may_be_on_front: bool | None
    """Whether no ranked row is surely better in image AUROC (the 95 % interval of the difference excludes 0) and costs
    no more; null without a cost."""
    front_probability: float | None
    """Probability in 0..1, over bootstrap samples of images, that no ranked row has at least the same image AUROC at
    no higher cost, and is better in one of the two; null without a cost, and for a row that is ranked alone."""
    reason: str
    """Why a row of the kind not_ranked has no rank; else empty."""
    notes: tuple[str, ...]
    """What a reader must know about the row."""
    run: str
    """Name of the run's folder; empty for published rows."""
    categories: Mapping[str, Mapping[str, float | None]]
    """Category -> metric -> value."""
    sources: Mapping[str, Mapping[str, float | None]]
    """Source of multiple-choice questions -> accuracy -> value."""
    category_intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    """Category -> metric -> lower and upper end of its 95 % interval."""
    decisions: Mapping[str, Any]
    """"decisions" of the run's metrics.json, without curves; empty if the run has none."""
    reported: tuple[str, ...]
    """The metrics that the data set's authors report, in their order."""
    conditions: Mapping[str, Any]
    """In tables of published results, the row's trained_on, shots, method and source; else empty."""
    config_hash: str
    """SHA-256 over everything that the numbers depend on; empty for published rows."""
    lvlm_ad_version: str
    """Version of lvlm-ad that measured the row; empty for published rows."""
    started: str
    """When the run was started, ISO 8601; empty for published rows."""


@dataclass(frozen=True)
class FeedTable:
    """A table: rows that were measured under the same conditions."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    title: str
    """The conditions in words."""
    conditions: Mapping[str, Any]
    """Name of a condition -> its value."""
    entries: tuple[FeedRow, ...]
    """The rows, best first; reference rows after the others, published rows last."""
    ranking: str
    """How many rows are ranked together, why none is, or why no row has an interval; may be empty."""
    sources: tuple[str, ...]
    """Where the numbers of the published rows were read, one text for each source."""


@dataclass(frozen=True)
class Feed:
    """The content of leaderboard.json and of published.json."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    """Version of this form. It rises when a field goes away or changes its meaning, not when one is added."""
    sort: str
    """The metric that ranks."""
    groups: tuple[FeedTable, ...]
    """The tables."""


def feed_schema() -> dict[str, Any]:
    """Return the JSON schema of a feed (draft 2020-12).

    Example:
        >>> feed_schema()["properties"]["sort"]["description"]
        'The metric that ranks.'
    """
    schema = TypeAdapter(Feed).json_schema(mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        for field in part["properties"].values():
            # The lines of a docstring are those of the source.
            field["description"] = " ".join(field["description"].split())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
