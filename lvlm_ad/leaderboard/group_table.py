"""Tables of a metric by groups of images, such as lightings, views, or kinds or sizes of defects, and by models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.columns import INTERVALS, Column
from lvlm_ad.leaderboard.decision_columns import chosen_columns
from lvlm_ad.leaderboard.metric_columns import metric_notes
from lvlm_ad.runs import is_metric

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.board import Board
    from lvlm_ad.leaderboard.entries import Entry
    from lvlm_ad.runs import Run

__all__ = ["GROUP_FORMATS", "GroupCell", "GroupTable", "group_tables", "metrics_by_group"]

_MOST_COLUMNS = 8
"""Groups that have a column each; more groups have a row each, so that no page and no terminal is too narrow."""

_HEADS = "table by model group metric n n_good value low high run"


@dataclass(frozen=True)
class GroupCell:
    """One value of a model.

    Attributes:
        text: the value in percent, and its 95 % interval in brackets; a dash if it is undefined.
        value: a fraction in 0..1; None if undefined.
        interval: the ends of its interval; None without one.
        n: defective images of the group.
        n_good: good images of the group; None for kinds and sizes, which are measured against all good images.
    """

    text: str
    value: float | None
    interval: tuple[float, float] | None
    n: int
    n_good: int | None


@dataclass(frozen=True)
class GroupTable:
    """The models of one table of a leaderboard by groups of images.

    Attributes:
        title: the conditions in words.
        by: what groups the images, such as "lighting".
        metric: what a cell shows.
        groups: the groups.
        rows: model and run folder, and a cell for each group; None where the run has no such group.
    """

    title: str
    by: str
    metric: Column
    groups: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[GroupCell | None, ...]], ...]

    @property
    def heads(self) -> list[str]:
        """The headings of what is shown: what the cells show, then the groups, or the models if groups are rows."""
        columns = [name for name, *_ in self.rows] if self.groups_are_rows else self.groups
        return [f"{self.metric.head} by {self.by}", *columns]

    @property
    def groups_are_rows(self) -> bool:
        """Whether groups are shown as rows and models as columns: where groups are many, and more than models."""
        return len(self.groups) > max(_MOST_COLUMNS, len(self.rows))

    @property
    def shown(self) -> list[tuple[str, str, tuple[GroupCell | None, ...]]]:
        """The rows as they are shown: model and run folder, or a group and "", and the cells."""
        if not self.groups_are_rows:
            return list(self.rows)
        columns = zip(*(cells for *_, cells in self.rows), strict=True)
        return [(name, "", cells) for name, cells in zip(self.groups, columns, strict=True)]

    def texts(self) -> list[list[str]]:
        """Return the texts of the rows as they are shown: the name, and a value for each column."""
        return [[name, *("" if cell is None else cell.text for cell in cells)] for name, _, cells in self.shown]

    def notes(self) -> list[str]:
        """Return the sentences below the table."""
        has_intervals = any(cell is not None and cell.interval for *_, cells in self.rows for cell in cells)
        kinds = self.by in {"kind", "size"}
        of = "all good images of the same category" if kinds else f"the good images with this {self.by}"
        mean = "" if self.by == "kind" else "; a value is a mean over categories"
        each = f"In percent. The defects of a group are measured against {of}{mean}."
        return [each, *([INTERVALS] if has_intervals else []), *metric_notes([self.metric])]


def metrics_by_group(names: str) -> tuple[Column, ...]:
    """Return the metrics of tables by groups from their names; none for "": each table has its leading one.

    Raises:
        ConfigError: a name is unknown, or no metric.

    Example:
        >>> [column.head for column in metrics_by_group("image_auroc,segf1")]
        ['I-AUROC', 'SegF1']
    """
    columns = chosen_columns(names)[2:] if names else ()
    for column in columns:
        if not is_metric(column.name):
            raise ConfigError(f"--by-group has no {column.name!r}, only metrics such as image_auroc.")
    return columns


def group_tables(board: Board, runs: Sequence[Run], by: str, metrics: Sequence[Column] = ()) -> list[GroupTable]:
    """Measure the rows of a leaderboard by groups of images.

    Args:
        board: the leaderboard.
        runs: the runs that it was made of.
        by: "kind" or "size" (of defects), or a tag of images, such as "lighting" or "view".
        metrics: as ``metrics_by_group`` returns them; a table for each. None: the first of those that the data set's
            authors report and groups have, else image AUROC.

    Raises:
        ConfigError: no run has such groups.

    Example:
        >>> from lvlm_ad.leaderboard import make_board
        >>> group_tables(make_board([]), [], "view")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: No run here has images by 'view'.
    """
    measured = {run.dir.name: _groups(run.metrics, by) for run in runs}
    if not any(measured.values()):
        by_any = dict.fromkeys(name for run in runs for name in ("kind", "size", *run.metrics.get("tags", ())))
        known = [name for name in by_any if any(_groups(run.metrics, name) for run in runs)]
        raise ConfigError(f"No run here has images by {by!r:.80}.{nearest(by, known)}")
    tables = []
    for group in board.groups:
        rows = [(entry, measured[entry.run]) for entry in group.entries if measured.get(entry.run)]
        names = tuple(dict.fromkeys(name for _, of in rows for name in of))
        for metric in (metrics or _leading(rows)) if rows else ():
            cells = [(one.name, one.run, tuple(_cell(one, metric, of.get(name)) for name in names)) for one, of in rows]
            tables.append(GroupTable(group.title, by, metric, names, tuple(cells)))
    return tables


def _groups(metrics: Mapping[str, Any], by: str) -> Mapping[str, Mapping[str, Any]]:
    """Return name of a group -> its entry in metrics.json."""
    if by == "kind":
        kinds: Mapping[str, Mapping[str, Any]] = metrics.get("kinds", {})
        several = len(metrics["categories"]) > 1
        return {f"{name} ({at})" if several else name: one for at, of in kinds.items() for name, one in of.items()}
    found: Mapping[str, Any] = metrics.get("sizes", {}) if by == "size" else metrics.get("tags", {}).get(by, {})
    return found


def _leading(rows: Sequence[tuple[Entry, Mapping[str, Mapping[str, Any]]]]) -> tuple[Column, ...]:
    reported = dict.fromkeys(name for entry, _ in rows for name in entry.reported)
    having = [name for name in reported if any(name in one for _, of in rows for one in of.values())]
    return chosen_columns(next(iter(having), "image_auroc"))[2:]


def _cell(entry: Entry, metric: Column, group: Mapping[str, Any] | None) -> GroupCell | None:
    if group is None:
        return None
    value, ends = group.get(metric.name), group.get("interval", {}).get(metric.name)
    interval = None if ends is None else (float(ends[0]), float(ends[1]))
    # A column writes a row's value and interval; here they are the group's.
    shown = replace(entry, metrics={metric.name: value}, intervals={} if interval is None else {metric.name: interval})
    brackets = f" ({metric.interval(shown)})" if interval else ""
    return GroupCell(f"{metric.text(shown)}{brackets}", value, interval, group["n"], group.get("n_good"))


def markdown(tables: Sequence[GroupTable]) -> str:
    """Return tables as Markdown."""
    parts = []
    for table in tables:
        lines = [
            f"### {escape.markdown(table.title)}",
            "",
            escape.markdown_row(map(escape.markdown, table.heads)),
            escape.markdown_row(["---", *["---:"] * (len(table.heads) - 1)]),
            *(escape.markdown_row(map(escape.markdown, row)) for row in table.texts()),
            "",
            escape.markdown(" ".join(table.notes())),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _values(tables: Sequence[GroupTable]) -> list[dict[str, Any]]:
    found = []
    for table in tables:
        for name, run, cells in table.rows:
            for group, cell in zip(table.groups, cells, strict=True):
                if cell is not None:
                    about = [table.title, table.by, name, group, table.metric.name, cell.n, cell.n_good, cell.value]
                    found.append(
                        dict(zip(_HEADS.split(), [*about, *(cell.interval or (None, None)), run], strict=True))
                    )
    return found


def csv_text(tables: Sequence[GroupTable]) -> str:
    """Return tables as CSV: a line for each model and group, fractions in 0..1, empty where undefined."""
    return escape.csv_lines([_HEADS.split(), *([*one.values()] for one in _values(tables))])


def json_text(tables: Sequence[GroupTable]) -> str:
    """Return tables as JSON: a list of the values, fractions in 0..1, null where undefined."""
    return f"{escape.json_text({'values': _values(tables)})}\n"


GROUP_FORMATS: dict[str, Callable[[Sequence[GroupTable]], str]] = {
    "csv": csv_text,
    "json": json_text,
    "md": markdown,
}
"""File formats by name."""
