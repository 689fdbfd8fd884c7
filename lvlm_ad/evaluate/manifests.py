"""A run's manifest, its hash and the name of its folder."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvlm_ad.evaluate.config import Plan

__all__ = ["hash_of", "make_manifest", "run_folder"]


def make_manifest(plan: Plan, facts: Mapping[str, Any], started: datetime, environment: Mapping[str, str]) -> Manifest:
    """Make the manifest of a run that ends now: everything that its numbers depend on."""
    dataset = plan.dataset
    limit = {} if plan.config.fpr_limit == DEFAULT_FPR_LIMIT else {"fpr_limit": plan.config.fpr_limit}
    facts = {
        "division": {"method": "", "options": {}, "hash": ""},
        "prompt": {},
        "on_failure": "zero",
        "seed": 0,
        **facts,
        "protocol": {**facts["protocol"], **limit},
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n_images": len(dataset),
            "categories": list(dataset.categories),
            "whole": plan.whole,
            "notes": list(dataset.notes),
            **({"split": dataset.split} if dataset.split else {}),
            **({} if plan.is_labelled else {"is_labelled": False}),
        },
    }
    return Manifest.model_validate(
        {
            "config_hash": hash_of(facts),
            **facts,
            "versions": {**versions(), **environment},
            "started": started.isoformat(timespec="seconds"),
            "seconds": (datetime.now(UTC) - started).total_seconds(),
        }
    )


def hash_of(facts: Mapping[str, Any]) -> str:
    """Hash a run's conditions, without the model's price, label and notes, and without the path of the SAM model."""
    model = {name: value for name, value in facts["model"].items() if name not in {"price", "label", "notes"}}
    options = {name: value for name, value in facts["division"]["options"].items() if name != "sam_model"}
    decides = {**facts, "model": model, "division": {**facts["division"], "options": options}}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def run_folder(out: Path, manifest: Manifest) -> Path:
    """Return where a run is written."""
    model = manifest.model
    kind = ["maps"] if model.kind == "maps" else ["dense"] if model.row == "dense" else []
    method = [] if manifest.method.name == "regions" else [manifest.method.name]
    name = "-".join([model.name, *kind, *method, manifest.dataset.name, manifest.config_hash[:8]])
    return out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")
