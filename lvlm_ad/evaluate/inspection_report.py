"""What an inspection found, and the files that say it: scores.csv, good.csv and inspection.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.good_pictures import threshold_words
from lvlm_ad.evaluate.inspected import Decision, InspectedPicture, InspectedPictures
from lvlm_ad.files import own_folder, read_file, write_file
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.decisions import Threshold
    from lvlm_ad.evaluate.inspection_plan import InspectionPlan

__all__ = ["Inspection"]

SCHEMA_VERSION = 1
"""Of inspection.json."""

_LARGEST_RECORD = 10_000_000
"""Bytes of an inspection.json that is read."""


class Inspection:
    """An inspection, under way or finished.

    Attributes:
        folder: the pictures.
        out: the folder of the results.
        model: the name of the model.
        choice: how the threshold is chosen.
        threshold: the threshold; None: it is not chosen yet.
        spent_usd: what this command has spent, as far as prices are known.
    """

    def __init__(self, plan: InspectionPlan) -> None:
        self._plan = plan
        self.folder, self.out, self.choice = plan.config.folder, plan.out, plan.choice
        self.model = plan.plan.models[0].preset.name
        self.found, self.good = InspectedPictures(), InspectedPictures()
        self.spent_usd = 0.0
        self.facts: dict[str, Any] = {}

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
        return "There is no threshold yet." if self.threshold is None else threshold_words(self.choice, self.threshold)

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
            "identity": self.facts.get("identity", {}),
            "category": self._plan.category,
            "protocol": plan.protocol.model_dump(mode="json"),
            "division": {"method": plan.protocol.division, "options": plan.division.model_dump(mode="json")},
            "prompt": plan.prompt.model_dump(mode="json"),
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
