"""Puts runs that can be compared into one table, ranks them, and writes notes beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from lvlm_ad.leaderboard.choice_ranking import rank_choices
from lvlm_ad.leaderboard.choice_values import ACCURACY, CHOICE_METRICS, RANKING
from lvlm_ad.leaderboard.conditions import breadth, conditions_of, fits, titles_of
from lvlm_ad.leaderboard.entries import ALL_SHAPE_METRICS, LOWER_IS_BETTER, Entry, make_entry
from lvlm_ad.leaderboard.evidence import Evidence
from lvlm_ad.leaderboard.published_rows import Filters, published_entries, published_sources
from lvlm_ad.leaderboard.ranking import rank_rows
from lvlm_ad.leaderboard.sorting import check_sort
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES, Manifest, Run, is_metric, metric_title

if TYPE_CHECKING:
    from lvlm_ad.presets import PublishedRow

_HEADINGS = {"ranked": "", "apart": "not ranked", "frame": "reference rows", "published": "published"}
"""Kind of row -> heading of its section, in the order of the sections."""


_SHARING = {
    "all rows": {"ranked", "apart", "frame"},
    "all but reference rows": {"ranked", "apart"},
    "all that are not ranked": {"apart"},
    "all published rows": {"published"},
}
"""Rows that may share a note, which is then said once, and their kinds."""


@dataclass(frozen=True)
class Group:
    """One table: rows that were measured under the same conditions.

    Attributes:
        title: the conditions in words.
        conditions: the conditions by name.
        entries: the rows, best first; reference rows after the others, published rows last.
        ranking: how many rows are ranked together, why none is, or why no row has an interval; may be empty.
        sources: where the numbers of the published rows were read, one text for each source.
    """

    title: str
    conditions: Mapping[str, Any]
    entries: tuple[Entry, ...]
    ranking: str = ""
    sources: tuple[str, ...] = ()

    def sections(self) -> list[tuple[str, list[Entry]]]:
        """Return the rows in sections, each with its heading; the first section, of ranked rows, has none."""
        sections = groupby((entry for _, entry in self.rows()), key=lambda entry: entry.kind)
        return [(_HEADINGS[kind], list(entries)) for kind, entries in sections]

    def rows(self) -> list[tuple[int, Entry]]:
        """Return the rows in the order of the sections, each with its number in ``entries``."""
        return sorted(enumerate(self.entries), key=lambda row: list(_HEADINGS).index(row[1].kind))

    def notes(self, *, reasons: bool = True) -> list[tuple[int, str, str]]:
        """Return the number, the name and the notes of each row that has notes.

        Notes that all measured rows share come first, with the number -1, then those of all that are no reference rows,
        and of all that are not ranked. Without ``reasons``, those why a row is not ranked are left out.
        """

        def of(entry: Entry) -> list[str]:
            return [note for note in entry.notes if reasons or note != entry.reason]

        shared: dict[str, str] = {}
        for name, kinds in _SHARING.items():
            several = [of(entry) for entry in self.entries if entry.kind in kinds]
            for note in several[0] if len(several) > 1 else ():
                if all(note in one for one in several):
                    shared.setdefault(note, name)
        # Published rows of the same name, of different sources, share the note why these differ: the first one has it.
        said, own = set[tuple[str, str]](), []
        for number, entry in self.rows():
            mine = [note for note in of(entry) if entry.kind not in _SHARING.get(shared.get(note, ""), ())]
            texts = [note for note in mine if (entry.name, note) not in said]
            said |= {(entry.name, note) for note in texts if entry.kind == "published"}
            own.append((number, entry.name, texts))
        notes = [*((-1, name, [note for note in shared if shared[note] == name]) for name in _SHARING), *own]
        return [(number, name, "; ".join(texts)) for number, name, texts in notes if texts]

    @property
    def reason(self) -> str:
        """Why no row of the section "not ranked" is ranked, if several rows share one reason; else empty."""
        reasons = [entry.reason for entry in self.entries if entry.kind == "apart"]
        return reasons[0] if len(reasons) > 1 and len(set(reasons)) == 1 else ""

    def place(self, entry: Entry, metric: str) -> Literal["best", "second", ""]:
        """Whether a row has the best or second best value, as printed, of the ranked rows; a single one has neither."""
        ranked = [one for one in self.entries if one.rank is not None]
        known = is_metric(metric) or metric in {*ALL_SHAPE_METRICS, *CHOICE_METRICS}
        if entry.rank is None or len(ranked) == 1 or not known:
            return ""
        values = {one.run: round(100 * value, 1) for one in ranked if (value := one.metrics.get(metric)) is not None}
        best = sorted(set(values.values()), reverse=metric not in LOWER_IS_BETTER)[:2]
        value = values.get(entry.run)
        return "" if value not in best else "best" if value == best[0] else "second"


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        groups: the tables, sorted by title.
        sort: the metric that ranks.
    """

    groups: tuple[Group, ...]
    sort: str = "image_auroc"


_NO_FILTERS = Filters()


def make_board(
    runs: Sequence[Run],
    sort: str = "image_auroc",
    *,
    verified: bool = False,
    unchecked: Collection[str] = (),
    filters: Filters = _NO_FILTERS,
) -> Board:
    """Group and rank runs.

    Runs share a table if they agree in data set, image size, division, painting, prompt, number of reference images,
    and method with its options and its convention for coordinates. Prompt and convention need not agree where each
    model is asked in those of its preset: they then belong to the model. A baseline is asked nothing and is in the
    table of each prompt of the method "regions". Reference rows are in each table of their division and in each table
    without one; the oracle is in those of its method. Own maps are in each table with as many reference images. Own
    maps, methods that are given the truth, and rows that do not cover all images are shown without a rank.

    Args:
        runs: the runs.
        sort: the metric that ranks; in a table of multiple-choice questions image AUROC stands for their accuracy.
            Pixel AUROC orders rows with equal values, but does not change ranks.
        verified: whether the runs were recomputed; rows that cannot be, such as expected scores, are then not ranked.
        unchecked: names of data sets; notes say that their images and masks were not compared with labels and pixels.
        filters: the conditions of the rows that are shown. A table that keeps only reference rows is left out.

    Raises:
        ConfigError: there is no such metric, or no row has a name that ``filters`` gives.

    Example:
        >>> make_board([])
        Board(groups=(), sort='image_auroc')
    """
    check_sort(sort, runs)
    filters.check(runs)
    runs = filters.runs(runs)
    tables: list[tuple[dict[str, Any], list[Run]]] = []
    # Each run joins the tables that it fits, and begins one where there is none.
    for run in sorted(runs, key=breadth):
        fitting = [members for conditions, members in tables if fits(run, conditions)]
        if not fitting:
            fitting = [[]]
            tables.append((conditions_of(run.manifest), fitting[0]))
        for members in fitting:
            members.append(run)
    evidence = Evidence(verified=verified)
    titles = titles_of([members[0].manifest for _, members in tables])
    groups = [
        _group(title, conditions, members, sort, evidence, verified=verified, unchecked=unchecked, filters=filters)
        for title, (conditions, members) in zip(titles, tables, strict=True)
    ]
    if filters.narrows_runs:
        groups = [group for group in groups if any(entry.kind in {"ranked", "apart"} for entry in group.entries)]
    return Board(tuple(sorted(groups, key=lambda group: group.title)), sort)


def _group(
    title: str,
    conditions: Mapping[str, Any],
    runs: Sequence[Run],
    sort: str,
    evidence: Evidence,
    *,
    verified: bool,
    unchecked: Collection[str],
    filters: Filters,
) -> Group:
    manifest = runs[0].manifest  # of the run that began the table
    known = {"verified": verified, "unchecked": manifest.dataset.name in unchecked}
    if sort == "image_auroc" and any(run.metrics.get("choices") for run in runs):
        sort = ACCURACY
    by_name: dict[str, list[Manifest]] = {}
    for run in runs:
        by_name.setdefault(run.manifest.row_name, []).append(run.manifest)
    rows = [(run, make_entry(run, by_name[run.manifest.row_name], sort, evidence, **known)) for run in runs]
    rows.sort(key=lambda row: _order(row[1], sort))
    candidates = [row for row in rows if row[1].kind == "ranked"]
    ranked, ranking = rank_choices(candidates, sort) if sort in RANKING else rank_rows(candidates, sort, evidence)
    measured = sorted(
        (*ranked, *(entry for _, entry in rows if entry.kind != "ranked")), key=lambda one: _order(one, sort)
    )
    # Published numbers cover the whole test split, with AUPRO up to 0.3.
    is_usual = manifest.dataset.whole and manifest.fpr_limit == DEFAULT_FPR_LIMIT
    published = [row for row in filters.published() if is_usual and _is_beside(row, manifest.dataset.name)]
    entries = (*measured, *sorted(published_entries(published), key=lambda one: _order(one, sort)))
    ranking = ranking or _no_interval(rows, sort, evidence)
    return Group(title, conditions, entries, ranking, published_sources(published))


def _is_beside(row: PublishedRow, dataset: str) -> bool:
    """Whether a published row is of the same images as the runs of a data set, and has a metric that they have."""
    same = row.test_set.dataset == dataset and not row.test_set.part
    return same and any(name in row.values for name in METRIC_NAMES)


def _no_interval(rows: Sequence[tuple[Run, Entry]], sort: str, evidence: Evidence) -> str:
    """Say why no row has an interval of the ranking metric; empty if one has, or if a row gives the reason itself."""
    if sort in RANKING:
        return ""
    named = any(metric_title(sort) in entry.reason for _, entry in rows)
    if named or any(sort in entry.intervals for _, entry in rows):
        return ""
    reasons = [evidence.metrics(run)["mean"].get("no_interval", {}).get(sort) for run, _ in rows]
    return next((f"No interval of {metric_title(sort)}: {reason}." for reason in reasons if reason), "")


def _order(entry: Entry, sort: str) -> tuple[bool, float, float]:
    return entry.kind == "frame", -_value(entry, sort), -_value(entry, "pixel_auroc")


def _value(entry: Entry, metric: str) -> float:
    value = entry.metrics.get(metric)
    return -1.0 if value is None else value
