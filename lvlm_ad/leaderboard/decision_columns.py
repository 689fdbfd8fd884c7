"""Columns of decisions at a threshold, which a leaderboard shows on request, and the choice of columns.

They stand beside what benchmarks of multiple-choice questions report, such as MMAD (Jiang et al., ICLR 2025,
arXiv 2410.09453): balanced accuracy, and on request recall and precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.decisions import KINDS
from lvlm_ad.errors import ConfigError, listed, nearest
from lvlm_ad.leaderboard.choice_columns import CHOICES
from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, UNKNOWN, Column, percent, shortened, usd
from lvlm_ad.leaderboard.reported_columns import reported_column
from lvlm_ad.leaderboard.shape_columns import SHAPES
from lvlm_ad.runs import is_reported

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.entries import Entry

Interval = tuple[float, float]

_NAMED = 4
"""Rows that a note names; more are counted."""


def _three_digits(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


@dataclass(frozen=True)
class DecisionColumn(Column):
    """A column of "decisions" in metrics.json.

    Attributes:
        part: the part of "decisions" that holds the value.
        about: what it is, for the note below a table.
        lower_is_better: whether a low value is a good one.
    """

    part: str = "mean"
    about: str = ""
    lower_is_better: bool = False

    def value(self, entry: Entry) -> float | None:
        """Return a row's value; None if it has no decisions, or the value is undefined."""
        value: float | None = (entry.decisions.get(self.part) or {}).get(self.name.removeprefix("cost_"))
        return value

    def ends(self, entry: Entry) -> Interval | None:
        """Return the ends of the value's 95 % interval; None without one."""
        interval = (entry.decisions.get(self.part) or {}).get("interval") if self.bracketed else None
        ends = interval.get(self.name) if isinstance(interval, Mapping) else interval
        return (float(ends[0]), float(ends[1])) if ends else None

    def interval(self, entry: Entry) -> str:
        """Return the interval as text; a cost has no per cent."""
        ends = self.ends(entry)
        if self.write is percent or ends is None:
            return super().interval(entry)
        return "\N{EN DASH}".join(map(self.write, ends))

    def note(self, entries: Sequence[Entry]) -> str:
        """Explain the column."""
        known = {_setting(entry, self.part) for entry in entries if self.value(entry) is not None} - {""}
        setting = f" ({known.pop()})" if len(known) == 1 else " (which differ between rows)" if known else ""
        return f"{self.head}: {self.about}{setting}."


def _rate(name: str, head: str, short: str, about: str, **options: Any) -> DecisionColumn:
    return DecisionColumn(name, head, short, percent, bracketed=options.pop("bracketed", True), about=about, **options)


_FIGURES = (
    _rate("balanced_accuracy", "Bal. acc.", "bal.\nacc.", "mean of recall and the share of good images that pass"),
    _rate("recall", "Recall", "recall", "share of defective images that alarm"),
    _rate("miss", "Miss", "miss", "share of defective images that pass", lower_is_better=True),
    _rate("false_alarm", "False alarm", "false\nalarm", "share of good images that alarm", lower_is_better=True),
    _rate("precision", "Precision", "precision", "share of alarms that are defective, among these test images"),
    _rate(
        "precision_at_prevalence",
        "Prec. at prev.",
        "prec. at\nprev.",
        "precision on a line with the stated prevalence",
        part="pooled",
        bracketed=False,
    ),
    DecisionColumn(
        "cost_per_part",
        "Cost/part",
        "cost/\npart",
        usd,
        bracketed=True,
        part="cost",
        about="expected cost of a part, in the currency of the prices",
        lower_is_better=True,
    ),
    DecisionColumn(
        "brier",
        "Brier",
        "Brier",
        _three_digits,
        part="calibration",
        about="mean squared difference between score and label",
        lower_is_better=True,
    ),
    DecisionColumn(
        "ece",
        "ECE",
        "ECE",
        _three_digits,
        part="calibration",
        about="expected calibration error in ten bins; high by chance on few images",
        lower_is_better=True,
    ),
    _rate(
        "max_coverage",
        "Decided",
        "decided\n%",
        "share of images whose answer gives a score",
        part="abstention",
        bracketed=False,
    ),
)

# A terminal without room for all leaves out the last ones first.
DECISIONS: Mapping[str, DecisionColumn] = {
    column.name: replace(column, drop=len(_FIGURES) - at) for at, column in enumerate(_FIGURES)
}
"""Columns of decisions by name."""


def chosen_columns(names: str) -> tuple[Column, ...]:
    """Return rank, name and the columns that a user names, separated by commas.

    Args:
        names: such as "image_auroc,balanced_accuracy,recall"; "" for all usual columns.

    Raises:
        ConfigError: there is no such column; the message suggests the nearest names.

    Example:
        >>> [column.head for column in chosen_columns("image_auroc,recall")]
        ['#', 'Model', 'I-AUROC', 'Recall']
        >>> chosen_columns("recal")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: There is no column 'recal'. Did you mean 'recall'?
    """
    known: dict[str, Column] = {
        column.name: column for column in (*NUMBERS, *SHAPES.values(), *CHOICES.values(), *DECISIONS.values())
    }
    wanted = list(dict.fromkeys(name.strip().lower().replace("-", "_") for name in names.split(",") if name.strip()))
    known |= {name: reported_column(name) for name in wanted if is_reported(name)}
    for name in wanted:
        if name not in known:
            raise ConfigError(f"There is no column {name!r}.{nearest(name, known)}")
    return (*COLUMNS[:2], *(known[name] for name in wanted)) if wanted else COLUMNS


def decision_notes(entries: Sequence[Entry], columns: Sequence[Column]) -> list[str]:
    """Say what the decision columns mean, how the thresholds were chosen, and which rows have none.

    Returns:
        Sentences; empty if there is no decision column.
    """
    chosen = [column for column in columns if isinstance(column, DecisionColumn)]
    if not chosen:
        return []
    # Rows may share a name.
    rows: dict[str, dict[str, None]] = {}
    missing: dict[str, None] = {}
    for entry in entries:
        if entry.kind != "published":
            kept = rows.setdefault(_threshold(entry), {}) if entry.decisions else missing
            kept[shortened(entry.name)] = None
    notes = []
    if len(rows) == 1:
        notes.append(f"Threshold of all decisions: {next(iter(rows))}.")
    elif rows:
        each = "; ".join(f"{words}: {listed([*names], _NAMED)}" for words, names in rows.items())
        notes.append(f"The rows have different thresholds, so their decisions cannot be compared directly. {each}.")
    if missing:
        names = listed([*missing], _NAMED)
        notes.append(
            f"No decisions are stored for {names}; run the same bench again to add them from the stored answers."
        )
    notes += [note for entry in entries if (note := _partial(entry))]
    return [*notes, *(column.note(entries) for column in chosen)]


def _partial(entry: Entry) -> str:
    """Say that some categories have no threshold, so that means stand for the others alone; empty if all have one."""
    categories: Mapping[str, Mapping[str, Any]] = entry.decisions.get("categories", {})
    without = [name for name, rates in categories.items() if all(rate is None for rate in rates.values())]
    if not without:
        return ""
    return (
        f"{shortened(entry.name)}: no threshold for {len(without)} of {len(categories)} categories "
        f"({listed(without, _NAMED)}); its rates and costs are those of the others."
    )


def _threshold(entry: Entry) -> str:
    kind, spec = str(entry.decisions.get("kind", "unknown")), str(entry.decisions.get("threshold", ""))
    return f"{spec} ({KINDS.get(kind, kind)})"


def _setting(entry: Entry, part: str) -> str:
    """Return the prevalence and the prices that a value depends on; empty if it depends on none."""
    cost: Mapping[str, Any] = entry.decisions.get("cost") or {}
    if part not in {"pooled", "cost"}:
        return ""
    prevalence = entry.decisions.get("prevalence", cost.get("prevalence"))
    known = [] if prevalence is None else [f"prevalence {prevalence:g}"]
    prices: Mapping[str, Any] = cost.get("prices", {}) if part == "cost" else {}
    known += [f"{name.replace('_', ' ')} {price:g}" for name, price in prices.items() if price]
    return ", ".join(known)
