"""What an inspection found: one row a picture, and the files that say it: scores.csv, good.csv, inspection.json."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lvlm_ad._version import versions
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.pictures import folder_order
from lvlm_ad.decisions import promise
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.escape import csv_cell
from lvlm_ad.evaluate.detectors import method_facts
from lvlm_ad.evaluate.painting import named_places
from lvlm_ad.files import own_folder, read_file, write_file
from lvlm_ad.text2seg import UNANSWERED
from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.lexer import Text

if TYPE_CHECKING:
    from lvlm_ad.decisions import Choice, Threshold
    from lvlm_ad.evaluate.detectors import Prediction
    from lvlm_ad.evaluate.inspection_plan import InspectionPlan

__all__ = ["Decision", "InspectedPicture", "InspectedPictures", "Inspection", "inspected"]

Decision = Literal["alarm", "undecided", "pass"]

_WHY = {"refused": "The model declined to answer.", "truncated": "The answer was cut off before its score."}
_NO_SCORE = "The answer holds no image score."
"""Why there is no decision, where the reading of the answer says nothing about it."""

_LONGEST_REASON = 400
_MOST_REGIONS = 10
_LINES = 1000
"""Rows that are turned into text at a time."""

SCHEMA_VERSION = 1
"""Of inspection.json."""

_LARGEST_RECORD = 10_000_000
"""Bytes of an inspection.json that is read."""


@dataclass(frozen=True, slots=True)
class InspectedPicture:
    """One picture: a line of scores.csv.

    Attributes:
        path: its path in the folder, with slashes.
        score: the image anomaly score in [0, 1]; None without one.
        decision: "alarm", "pass", or "undecided": there is no score.
        reason: what the model said, shortened to one line, with " | " between answers; empty for a method that writes
            no text.
        regions: number:score of the ten regions with the highest scores above 0, the highest first; of another place,
            what and where it is, such as box(10,20,30,40):0.9.
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
    named = [(name, score) for name, score in named_places(record) if score > 0]
    return InspectedPicture(
        path,
        record.image_score if outcome.dense is None else float(outcome.dense.image),
        reason=_reason([step.text for step in record.steps] or [record.text]) if paid else "",
        regions=" ".join(f"{name}:{score:.4g}" for name, score in named[:_MOST_REGIONS]),
        status=record.status,
        cost_usd=record.cost_usd if paid else 0.0,
        note=" ".join(record.notes) or ("" if record.image_score is not None else _WHY.get(record.status, _NO_SCORE)),
    )


def _reason(answers: Sequence[str]) -> str:
    """Return what the answers say, without reasoning that comes before each, in one line."""
    words = " | ".join(" ".join((answer_part(Text.of(text)).text or text).split()) for text in answers)
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
        return {decision: counts[decision] for decision in get_args(Decision)}

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


class Inspection:
    """An inspection, under way or finished.

    Attributes:
        folder: the pictures.
        out: the folder of the results.
        model: the name of the model.
        choice: how the threshold is chosen.
        threshold: the threshold; None: it is not chosen yet.
        spent_usd: what this command has spent, as far as prices are known.
        identity: the options that decide the model's answers.
    """

    def __init__(self, plan: InspectionPlan) -> None:
        self._plan = plan
        self.folder, self.out, self.choice = plan.config.folder, plan.out, plan.choice
        name, method = plan.plan.models[0].preset.name, plan.plan.method_name
        self.model = name if method == "regions" else f"{name} ({method})"
        self.found, self.good = InspectedPictures(), InspectedPictures()
        self.spent_usd = 0.0
        self.identity: Mapping[str, Any] = {}

    @property
    def threshold(self) -> Threshold | None:
        """The threshold; None before it is chosen."""
        return self.found.threshold

    @property
    def pictures(self) -> list[InspectedPicture]:
        """The rows of scores.csv, in the folder's order."""
        return self.found.rows()

    @property
    def counts(self) -> dict[Decision, int]:
        """How many pictures have each decision."""
        return self.found.counts()

    @property
    def status(self) -> int:
        """The exit status: 1 some picture alarms; 3 none does, but some are undecided; 0 every picture passed."""
        counts = self.counts
        return 1 if counts["alarm"] else 3 if counts["undecided"] else 0

    @property
    def scores_file(self) -> Path:
        """The file of scores and decisions."""
        return self.out / "scores.csv"

    def words(self) -> str:
        """Say when a picture alarms."""
        return "There is no threshold yet." if self.threshold is None else _threshold_words(self.choice, self.threshold)

    def record(self) -> dict[str, Any]:
        """Return the content of inspection.json: counts, and everything that scores and decisions depend on."""
        rows, good = self.pictures, self.good.rows()
        answered = [row.cost_usd for row in (*rows, *good) if row.status not in UNANSWERED]
        cost = None if None in answered else sum(one or 0.0 for one in answered)
        threshold = {} if self.threshold is None else self.threshold.record()
        plan = self._plan.plan
        return {
            "schema_version": SCHEMA_VERSION,
            "folder": os.path.realpath(self.folder),
            "model": self.model,
            "pictures": len(rows),
            **{str(decision): count for decision, count in self.counts.items()},
            "cost_usd": cost,
            "spent_usd": None if cost is None else self.spent_usd,
            "threshold": {"spec": self.choice.text, "kind": self.choice.kind, **threshold},
            "good_pictures": len(good),
            "identity": dict(self.identity),
            "category": self._plan.category,
            "protocol": plan.protocol.model_dump(mode="json"),
            "division": {"method": plan.protocol.division, "options": plan.division.model_dump(mode="json")},
            "prompt": plan.prompt_of(plan.models[0]).model_dump(mode="json"),
            **({} if plan.method_name == "regions" else {"method": method_facts(plan)}),
            "seed": plan.config.seed,
            "versions": versions(),
        }

    def start(self) -> None:
        """Create the folder of the results.

        Raises:
            ConfigError: it holds the results of another folder or model.
            OSError: it cannot be created, or contains links.
        """
        file = self.out / "inspection.json"
        try:
            before = json.loads(read_file(file, _LARGEST_RECORD))
            other = (str(before["folder"]), str(before["model"]))
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            other = None
        if other is not None and other != (os.path.realpath(self.folder), self.model):
            raise ConfigError(
                f"{shown(self.out)} holds the inspection of {shown(other[0])} by {shown(other[1])}; give another --out."
            )
        own_folder(self.out)
        if not file.exists():
            # What is drawn in here must not be taken for pictures, even if this command is killed before it writes.
            self._write_record()

    def write(self) -> None:
        """Write scores.csv, good.csv and inspection.json, each whole or not at all."""
        self.found.write(self.scores_file)
        if len(self.good):
            self.good.write(self.out / "good.csv")
        self._write_record()

    def _write_record(self) -> None:
        text = json.dumps(self.record(), indent=2, ensure_ascii=False, allow_nan=False)
        write_file(self.out / "inspection.json", f"{text}\n")


def _threshold_words(choice: Choice, threshold: Threshold) -> str:
    """Say when a picture alarms, and what is known about false alarms."""
    limit = f"above {threshold.value:.4g}" if threshold.strict else f"of {threshold.value:.4g} or more"
    words = f"Alarm: a score {limit}"
    if threshold.kind == "fixed":
        return f"{words}."
    words += f", chosen by {choice.text} from {threshold.n} good pictures"
    if threshold.guarantee is None or threshold.bound95 is None:
        return f"{words}; it guarantees no false-alarm rate."
    return f"{words}; {promise(threshold.guarantee, threshold.bound95)}."
