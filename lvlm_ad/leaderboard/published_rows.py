"""Rows of published results, and the conditions by which a user chooses rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, RunError, nearest
from lvlm_ad.leaderboard.entries import Entry
from lvlm_ad.presets import NOTHING, PublishedRow, published_rows
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

__all__ = ["MAPS", "Filters", "method_of", "published_entries", "published_sources", "shots_of"]

MAPS = "maps"
"""How rows with an anomaly map of their own were inspected."""

_TESTED = "trained on this data set"
_TRANSDUCTIVE = "transductive"


@dataclass(frozen=True)
class Filters:
    """Conditions that rows must have; the default keeps every row.

    Attributes:
        trained_on: a data set that the method was trained on, or "nothing"; "" for any. Runs do not record it.
        shots: the number of reference images; None for any.
        method: how images are inspected: a method's name, such as "regions", or "maps"; "" for any.

    Example:
        >>> [row.model for row in Filters(trained_on="nothing", method="regions").published()]
        ['GPT-4V-AD', 'GPT-4V-AD']
    """

    trained_on: str = ""
    shots: int | None = None
    method: str = ""

    @property
    def narrows_runs(self) -> bool:
        """Whether runs can be left out; ``trained_on`` leaves out none, because runs do not record it."""
        return self.shots is not None or bool(self.method)

    def check(self, runs: Sequence[Run] = ()) -> None:
        """Check the names; ``runs`` may have methods that no published row has.

        Raises:
            ConfigError: no published row is trained on that data set, or neither a published row nor a run has that
                method; the message names the known ones.
        """
        rows = published_rows()
        trained = {name for row in rows for name in row.trained_on}
        methods = {row.method for row in rows} | {method_of(run) for run in runs}
        for option, name, known in (
            ("--trained-on", self.trained_on, trained),
            ("--method", self.method, methods),
        ):
            if name and name not in known:
                raise ConfigError(f"{option}: no row has {name!r:.80}.{nearest(name, sorted(known))}")

    def published(self) -> list[PublishedRow]:
        """Return the published results that have the conditions."""
        return [
            row
            for row in published_rows()
            if (not self.trained_on or self.trained_on in row.trained_on)
            and self.shots in {None, row.shots}
            and self.method in {"", row.method}
        ]

    def why_none(self) -> str:
        """Say why no row is shown: the conditions, and the numbers of reference images that published rows have.

        Example:
            >>> Filters(shots=3, method="maps").why_none()
            'No row has --shots 3 and --method maps. Published rows have 0, 1, 2, 4 reference images.'
        """
        given = {"--trained-on": self.trained_on, "--shots": self.shots, "--method": self.method}
        conditions = " and ".join(f"{name} {value}" for name, value in given.items() if value not in {None, ""})
        known = ", ".join(map(str, sorted({row.shots for row in published_rows()})))
        return f"No row has {conditions}. Published rows have {known} reference images."

    def runs(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs with these shots and this method; reference rows stay, unless nothing else does."""
        kept = [
            run
            for run in runs
            if _is_reference(run) or (self.shots in {None, shots_of(run)} and self.method in {"", method_of(run)})
        ]
        return [] if self.narrows_runs and all(map(_is_reference, kept)) else kept

    def checked_runs(self, runs: Sequence[Run]) -> list[Run]:
        """Return ``runs(...)``; raise if only reference rows are left.

        Raises:
            ConfigError: as ``check``.
            RunError: no run but reference rows has the conditions.
        """
        self.check(runs)
        kept = self.runs(runs)
        if not kept:
            raise RunError("No run has the given --shots and --method; 'lvlm-ad leaderboard' shows all runs.")
        return kept


def shots_of(run: Run) -> int:
    """Return the number of reference images of a run."""
    shots: int = run.manifest.protocol.get("shots", 0)
    return shots


def method_of(run: Run) -> str:
    """Return how a run's images were inspected: the method's name; "maps" for a baseline's own map."""
    return MAPS if run.manifest.model.row == "dense" else run.manifest.method.name


def _is_reference(run: Run) -> bool:
    return run.manifest.model.frame and run.manifest.model.row != "dense"


def published_entries(rows: Sequence[PublishedRow], *, origin: bool = True) -> list[Entry]:
    """Return the rows of published results, which have neither a rank nor an interval.

    Args:
        rows: the published results.
        origin: whether the notes begin with "published, not measured here" and the source.
    """
    return [_entry(row, origin=origin) for row in rows]


def published_sources(rows: Sequence[PublishedRow]) -> tuple[str, ...]:
    """Say where the numbers of rows were read and what their metrics mean, one text for each source."""
    sources = dict.fromkeys(row.source for row in rows)
    return tuple(f"{one.name}: {one.where}. {one.definitions}" for one in sources)


def _entry(row: PublishedRow, *, origin: bool) -> Entry:
    marks = [*([_TESTED] if row.is_trained_on_test_set else []), *([_TRANSDUCTIVE] if row.transductive else [])]
    explained = {
        _TESTED: f"it was trained on {_title_of(row.test_set.images_of)}, which the test images are from",
        _TRANSDUCTIVE: "it scores all unlabelled test images together",
    }
    trained = "" if row.trained_on == (NOTHING,) else f", trained on {', '.join(row.trained_on)}"
    return Entry(
        f"{row.model} [{', '.join(marks)}]" if marks else row.model,
        "published",
        None,
        {**dict.fromkeys(METRIC_NAMES), **{name: round(value / 100, 6) for name, value in row.values.items()}},
        notes=(
            *(("published, not measured here", f"{row.source.name}{trained}") if origin else ()),
            *map(explained.__getitem__, marks),
            *row.notes,
        ),
        conditions=_conditions(row),
    )


def _title_of(dataset: str) -> str:
    """Return the title of a data set that is a test set itself; the name of any other."""
    titles = {row.test_set.dataset: row.test_set.title for row in published_rows() if not row.test_set.part}
    return titles.get(dataset, dataset)


def _conditions(row: PublishedRow) -> dict[str, Any]:
    return {
        "trained_on": ", ".join(row.trained_on),
        "shots": row.shots,
        "method": row.method,
        "source": row.source.name,
        "year": row.source.year,
        "where": row.source.where,
        "trained_on_test_set": row.is_trained_on_test_set,
    }
