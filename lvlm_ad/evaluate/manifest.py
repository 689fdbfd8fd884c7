"""A row's manifest: everything that its numbers depend on, and the hash of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.runs import Manifest

if TYPE_CHECKING:
    from lvlm_ad.evaluate.config import Plan

__all__ = ["NO_DIVISION", "RowFacts", "hash_of", "make_manifest", "run_folder"]

NO_DIVISION: Mapping[str, Any] = {"method": "", "options": {}, "hash": ""}
"""Of an own map, which is not divided."""


@dataclass(frozen=True)
class RowFacts:
    """The part of a row's manifest that depends on its method: fields of the manifest by their names.

    Attributes:
        model: name, kind, plugin, identity and more.
        protocol: those fields of the protocol that influence the row.
        division: method, options and hash; empty for an own map, which is not divided.
        prompt: empty for a method that asks nothing.
        on_failure: "zero" or "exclude".
        seed: 0 where nothing depends on it.
    """

    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    division: Mapping[str, Any] = field(default_factory=lambda: NO_DIVISION)
    prompt: Mapping[str, Any] = field(default_factory=dict)
    on_failure: str = "zero"
    seed: int = 0


def make_manifest(
    plan: Plan, row: RowFacts, started: datetime, environment: Mapping[str, str] | None = None
) -> Manifest:
    """Make the manifest of a run that ends now; ``environment``: versions that the plugin reports."""
    dataset = plan.dataset
    facts = {
        **vars(row),
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n_images": len(dataset),
            "categories": list(dataset.categories),
            "whole": plan.whole,
            "notes": list(dataset.notes),
        },
    }
    return Manifest.model_validate(
        {
            "config_hash": hash_of(facts),
            **facts,
            "versions": {**versions(), **(environment or {})},
            "started": started.isoformat(timespec="seconds"),
            "seconds": (datetime.now(UTC) - started).total_seconds(),
        }
    )


def hash_of(facts: Mapping[str, Any]) -> str:
    """Hash what decides the answers and the metrics: neither prices nor notes, nor where the model that divides is."""
    model = {name: value for name, value in facts["model"].items() if name not in {"price", "label", "notes"}}
    options = {name: value for name, value in facts["division"]["options"].items() if name != "sam_model"}
    decides = {**facts, "model": model, "division": {**facts["division"], "options": options}}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def run_folder(out: Path, manifest: Manifest) -> Path:
    """Return where a run is written."""
    model = manifest.model
    kind = ["maps"] if model.kind == "maps" else ["dense"] if model.row == "dense" else []
    name = "-".join([model.name, *kind, manifest.dataset.name, manifest.config_hash[:8]])
    return out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")
