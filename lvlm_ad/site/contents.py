"""What the pages of a site share: tables with their places, models, studies, and the names of pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard import COLUMNS, model_title
from lvlm_ad.presets import ExportTargets
from lvlm_ad.runs import folders_of
from lvlm_ad.site.image_sets import image_sets
from lvlm_ad.site.slugs import slugs

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board, Column, Entry, Group
    from lvlm_ad.runs import DataFolders, Run
    from lvlm_ad.studies import Study

__all__ = ["Contents", "ModelRow", "Table"]


@dataclass(frozen=True)
class Table:
    """A table of comparable rows.

    Attributes:
        group: the table.
        image_set: the key of its set of images, as in ``Contents.tables``.
        title: the title of its set of images.
        number: its number on the page of its set of images.
    """

    group: Group
    image_set: str
    title: str
    number: int

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return str(self.group.conditions["dataset"])

    @property
    def ranked(self) -> list[Entry]:
        """The ranked rows, best first."""
        return [entry for entry in self.group.entries if entry.kind == "ranked"]


@dataclass(frozen=True)
class ModelRow:
    """A row of a model, the table that it is in, and its run."""

    table: Table
    entry: Entry
    run: Run


@dataclass(frozen=True)
class Contents:
    """Everything that a site shows.

    Attributes:
        runs: the runs, each in a folder of another name.
        board: their leaderboard.
        published: published results, with the runs on the same test sets.
        studies: the studies of these models.
        columns: the columns of tables; ``COLUMNS``: the default ones.
        verified: whether the runs were verified.
        data: the data sets that they were compared with.
        downloads: path in the site -> text of feeds and exports.
        targets: what the owner states about the site.
        left_out: sentences on the runs that are not shown.
    """

    runs: Sequence[Run]
    board: Board
    published: Board
    studies: Sequence[Study] = ()
    columns: Sequence[Column] = COLUMNS
    verified: bool = False
    data: DataFolders = None
    downloads: Mapping[str, str] = field(default_factory=dict)
    targets: ExportTargets = field(default_factory=ExportTargets)
    left_out: Sequence[str] = ()

    @cached_property
    def tables(self) -> dict[str, list[Table]]:
        """Set of images -> its tables, that with the most ranked rows first; published test sets come first."""
        known = {group.conditions["dataset"] for group in self.published.groups}
        groups = sorted(self.board.groups, key=lambda one: (one.conditions["dataset"] not in known, one.title))
        found: dict[str, list[Table]] = {}
        for group, (key, title) in zip(groups, image_sets(groups), strict=True):
            found.setdefault(key, []).append(Table(group, key, title, 0))
        for key, tables in found.items():
            tables.sort(key=lambda one: (-len(one.ranked), -one.group.conditions["n_images"]))
            found[key] = [replace(table, number=number) for number, table in enumerate(tables, start=1)]
        return found

    @cached_property
    def by_folder(self) -> dict[str, Run]:
        """Name of a run's folder -> the run."""
        return {run.dir.name: run for run in self.runs}

    @cached_property
    def models(self) -> dict[str, list[ModelRow]]:
        """Model -> its rows; chat models first, then other methods, reference rows last."""
        found: dict[str, list[ModelRow]] = {}
        for run in sorted(self.runs, key=lambda run: (_order(run), model_title(run.manifest).lower())):
            found.setdefault(model_title(run.manifest), [])
        for table in (table for tables in self.tables.values() for table in tables):
            for entry in table.group.entries:
                if entry.run in self.by_folder:
                    run = self.by_folder[entry.run]
                    found[model_title(run.manifest)].append(ModelRow(table, entry, run))
        return {name: rows for name, rows in found.items() if rows}

    @cached_property
    def dataset_pages(self) -> dict[str, str]:
        """Set of images -> its page."""
        return {name: f"datasets/{slug}.html" for name, slug in slugs(self.tables).items()}

    @cached_property
    def model_pages(self) -> dict[str, str]:
        """Model -> its page."""
        return {name: f"models/{slug}.html" for name, slug in slugs(self.models).items()}

    @cached_property
    def study_folders(self) -> list[str]:
        """The folder of each study's page."""
        names = [f"{study.kind} {study.model} {study.dataset}" for study in self.studies]
        # Two studies may be of the same kind, model and data set.
        numbered = [
            f"{name} {names[:at].count(name) + 1}" if name in names[:at] else name for at, name in enumerate(names)
        ]
        own = slugs(numbered)
        return [f"studies/{own[name]}" for name in numbered]

    def verified_in_words(self, image_sets: Iterable[str]) -> str:
        """Say what was verified of the runs on some sets of images; empty: nothing, or there is no run."""
        if not self.verified or not self.runs:
            return ""
        recomputed = "Every run was verified: its numbers were recomputed from its files"
        checked: dict[bool, list[str]] = {True: [], False: []}
        for one in image_sets:
            table = self.tables[one][0]
            checked[bool(folders_of(self.data, table.dataset))].append(table.title)
        if not checked[True]:
            return f"{recomputed}. Labels and pixel counts were not compared with the data set's images and masks."
        if not checked[False]:
            return f"{recomputed}, and its labels and pixel counts were compared with the images and masks."
        against, others = (", ".join(checked[one]) for one in (True, False))
        return (
            f"{recomputed}. Labels and pixel counts were compared with the images and masks of {against}, not with "
            f"those of {others}."
        )

    def dates(self) -> str:
        """When the runs were started, such as "2026-01-01 to 2026-02-03"; empty without a run."""
        days = sorted(run.manifest.started[:10] for run in self.runs)
        return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""

    def model_of(self, entry: Entry) -> str:
        """Return the model of a measured row."""
        return model_title(self.by_folder[entry.run].manifest)

    def model_links(self, entries: Sequence[Entry], root: str) -> dict[str, str]:
        """Return run -> the page of its model, ``root``: relative path from the page to the first page."""
        return {
            entry.run: f"{root}{self.model_pages[self.model_of(entry)]}"
            for entry in entries
            if entry.run in self.by_folder
        }

    def page_values(self, current: str, root: str) -> dict[str, Any]:
        """Return what every template of the site needs: ``current`` is the page's path."""
        return {
            "made": self.dates(),
            "site": {
                "root": root,
                "has_runs": bool(self.runs),
                "current": current,
                "feeds": [one for one in self.downloads if "/feeds/" in f"/{one}"],
            },
        }


def _order(run: Run) -> int:
    # Chat models, other methods, reference rows.
    model = run.manifest.model
    return 0 if model.kind == "backend" else 2 if model.frame else 1
