"""What an inspection found: one row a picture, kept in scores.csv."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from lvlm_ad.datasets.pictures import folder_order
from lvlm_ad.errors import DataError
from lvlm_ad.escape import csv_cell
from lvlm_ad.files import write_file
from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.lexer import Text

if TYPE_CHECKING:
    from lvlm_ad.decisions import Threshold
    from lvlm_ad.evaluate.detectors import Prediction

__all__ = ["DECISIONS", "Decision", "InspectedPicture", "InspectedPictures", "inspected"]

Decision = Literal["alarm", "undecided", "pass"]

DECISIONS: tuple[Decision, ...] = get_args(Decision)

_WHY = {"refused": "The model declined to answer.", "truncated": "The answer was cut off before its score."}
_NO_SCORE = "The answer holds no image score."
"""Why there is no decision, where the reading of the answer says nothing about it."""

_LONGEST_REASON = 400
_MOST_REGIONS = 10
_LINES = 1000
"""Rows that are turned into text at a time."""


@dataclass(frozen=True, slots=True)
class InspectedPicture:
    """One picture: a line of scores.csv.

    Attributes:
        path: its path in the folder, with slashes.
        score: the image anomaly score in [0, 1]; None without one.
        decision: "alarm", "pass", or "undecided": there is no score.
        reason: what the model said, shortened to one line; empty for a method that writes no text.
        regions: number:score of the ten regions with the highest scores above 0, the highest first.
        status: what was read from the answer, see ``text2seg.Status``; "unreadable": the file is no picture that can be
            read.
        cost_usd: what the answer costs, also if it was stored before; None: unknown, or not asked.
        note: why there is no decision, and what else is to be known.
        overlay: the file of the picture with its suspicious regions, relative to the inspection's folder; "": none.
        map: the file of its anomaly map, likewise.
    """

    path: str
    score: float | None = None
    decision: Decision = "undecided"
    reason: str = ""
    regions: str = ""
    status: str = "unasked"
    cost_usd: float | None = None
    note: str = "not asked yet"
    overlay: str = ""
    map: str = ""

    def with_files(self, overlay: str = "", map: str = "") -> InspectedPicture:  # noqa: A002 - the column's name
        """Return the row with the names of the files drawn of its picture."""
        return replace(self, overlay=overlay, map=map)


_COLUMNS = tuple(one.name for one in fields(InspectedPicture))


def inspected(path: str, outcome: Prediction | DataError, *, paid: bool) -> InspectedPicture:
    """Make a row, without its decision.

    Args:
        path: the picture's path in the folder.
        outcome: the prediction, or why the file cannot be used.
        paid: whether the answer is a model's text.
    """
    if isinstance(outcome, DataError):
        return InspectedPicture(path, status="unreadable", cost_usd=0.0, note=str(outcome))
    record = outcome.record
    named = sorted(((number, score) for number, score in record.regions.items() if score > 0), key=lambda one: -one[1])
    return InspectedPicture(
        path,
        record.image_score if outcome.dense is None else float(outcome.dense.image),
        reason=_reason(record.text) if paid else "",
        regions=" ".join(f"{number}:{score:.4g}" for number, score in named[:_MOST_REGIONS]),
        status=record.status,
        cost_usd=record.cost_usd if paid else 0.0,
        note=" ".join(record.notes) or ("" if record.image_score is not None else _WHY.get(record.status, _NO_SCORE)),
    )


def _reason(text: str) -> str:
    """Return what an answer says, without reasoning that comes before it, in one line."""
    words = " ".join((answer_part(Text.of(text)).text or text).split())
    return words if len(words) <= _LONGEST_REASON else f"{words[: _LONGEST_REASON - 3]}..."


class InspectedPictures:
    """The rows of an inspection by their paths; safe for several threads."""

    def __init__(self) -> None:
        self._rows: dict[str, InspectedPicture] = {}
        self._lock = threading.Lock()
        self.threshold: Threshold | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def expect(self, paths: Iterable[str]) -> None:
        """Add pictures that are still to be asked about; one that has a row begins anew."""
        with self._lock:
            self._rows |= {path: InspectedPicture(path) for path in paths}

    def put(self, row: InspectedPicture) -> InspectedPicture:
        """Add or replace a row, decide on it, and return it."""
        row = self._decided(row)
        with self._lock:
            self._rows[row.path] = row
        return row

    def decide(self, threshold: Threshold) -> None:
        """Decide on all rows, and on those to come."""
        self.threshold = threshold
        with self._lock:
            self._rows = {path: self._decided(row) for path, row in self._rows.items()}

    def _decided(self, row: InspectedPicture) -> InspectedPicture:
        if self.threshold is None or row.score is None:
            return row
        return replace(row, decision="alarm" if self.threshold.alarms(row.score) else "pass")

    def rows(self) -> list[InspectedPicture]:
        """Return the rows in the folder's order."""
        with self._lock:
            rows = list(self._rows.values())
        return sorted(rows, key=lambda row: folder_order(row.path))

    def counts(self) -> dict[Decision, int]:
        """Return how many pictures have each decision."""
        with self._lock:
            counts = Counter(row.decision for row in self._rows.values())
        return {decision: counts[decision] for decision in DECISIONS}

    def write(self, path: Path) -> None:
        """Write all rows as CSV, whole or not at all."""
        write_file(path, _lines(self.rows()))


def _lines(rows: list[InspectedPicture]) -> Iterator[bytes]:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for start in range(0, max(len(rows), 1), _LINES):
        writer.writerows([csv_cell(getattr(row, name)) for name in _COLUMNS] for row in rows[start : start + _LINES])
        yield text.getvalue().encode("utf-8", "replace")
        text.seek(0)
        text.truncate()
