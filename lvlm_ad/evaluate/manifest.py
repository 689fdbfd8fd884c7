"""A row's manifest: everything that its numbers depend on, and the hash of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lvlm_ad.runs import Manifest
from lvlm_ad.versions import versions

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detector import Detector
    from lvlm_ad.evaluate.session import Session

__all__ = ["Stopwatch", "dataset_facts", "facts_of", "hash_of", "make_manifest", "run_folder"]


@dataclass(frozen=True)
class Stopwatch:
    """When a run began. A clock that is set in the meantime does not change the seconds."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since then."""
        return perf_counter() - self._clock


def facts_of(session: Session, detector: Detector, row: Row) -> dict[str, Any]:
    """Return everything that decides a row's numbers."""
    plan, own, preset = session.plan, detector.facts(row), detector.model.preset
    division = {"method": "", "options": {}, "hash": ""}
    if row == "regions":
        options = dict(session.divisions.record)
        division = {"method": plan.protocol.division, "options": options, "hash": session.divisions.hash}
    return {
        "model": {
            "name": preset.name,
            "kind": preset.kind,
            "plugin": preset.plugin,
            "identity": detector.plugin.identity(),
            "row": row,
            "price": preset.price.model_dump(),
            **own.model,
        },
        "dataset": dataset_facts(plan),
        "protocol": plan.protocol.model_dump(mode="json", include=own.protocol),
        "division": division,
        "prompt": dict(own.prompt),
        "on_failure": own.on_failure,
        "seed": own.seed,
    }


def dataset_facts(plan: Plan) -> dict[str, Any]:
    """Return the manifest's "dataset"."""
    dataset = plan.dataset
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "n_images": len(dataset),
        "categories": list(dataset.categories),
        "whole": plan.whole,
        "notes": list(dataset.notes),
    }


def hash_of(facts: Mapping[str, Any]) -> str:
    """Hash what decides the answers and the metrics: neither prices nor notes, nor where the model that divides is."""
    model = {name: value for name, value in facts["model"].items() if name not in {"price", "label", "notes"}}
    options = {name: value for name, value in facts["division"]["options"].items() if name != "sam_model"}
    decides = {**facts, "model": model, "division": {**facts["division"], "options": options}}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def make_manifest(facts: Mapping[str, Any], watch: Stopwatch, environment: Mapping[str, str] | None = None) -> Manifest:
    """Make the manifest of a run that ends now.

    Args:
        facts: everything that decides the numbers.
        watch: when the run began.
        environment: what the plugin says of where it runs.
    """
    return Manifest.model_validate(
        {
            "config_hash": hash_of(facts),
            **facts,
            "versions": {**versions(), **(environment or {})},
            "started": watch.started.isoformat(timespec="seconds"),
            "seconds": watch.seconds,
        }
    )


def run_folder(out: Path, manifest: Manifest) -> Path:
    """Return where a run is written."""
    model = manifest.model
    kind = ["maps"] if model.kind == "maps" else ["dense"] if model.row == "dense" else []
    name = "-".join([model.name, *kind, manifest.dataset.name, manifest.config_hash[:8]])
    return out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")
