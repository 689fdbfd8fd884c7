"""Everything that a run's numbers depend on, for its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Backend
from lvlm_ad.baseline import Baseline, Row

if TYPE_CHECKING:
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.divide import Divisions
    from lvlm_ad.plugins import Model

__all__ = ["facts_of", "hash_of"]


def facts_of(
    plan: Plan, model: Model, plugin: Backend | Baseline, row: Row, divisions: Divisions, prompt: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that decides the numbers."""
    frame, sees_truth = (plugin.reference_row, plugin.sees_truth) if isinstance(plugin, Baseline) else (False, False)
    dataset = plan.dataset
    return {
        "model": {
            "name": model.preset.name,
            "kind": model.preset.kind,
            "plugin": model.preset.plugin,
            "identity": plugin.identity(),
            "row": row,
            "frame": frame,
            "sees_truth": sees_truth,
            "price": model.preset.price.model_dump(),
            "label": plugin.label if isinstance(plugin, Baseline) else model.label,
            "notes": list(plugin.notes) if isinstance(plugin, Baseline) else [],
        },
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n_images": len(dataset),
            "categories": list(dataset.categories),
            "whole": plan.whole,
            "notes": list(dataset.notes),
        },
        "protocol": plan.protocol.model_dump(mode="json", include=_shaping(plan, plugin, row)),
        "division": {
            "method": plan.protocol.division if row == "regions" else "",
            "options": dict(divisions.record) if row == "regions" else {},
            "hash": divisions.hash if row == "regions" else "",
        },
        "prompt": prompt,
        # A baseline does not fail.
        "on_failure": plan.config.on_failure if isinstance(plugin, Backend) else "zero",
        "seed": plan.config.seed if _seeded(plan, plugin) else 0,
    }


def _shaping(plan: Plan, plugin: Backend | Baseline, row: Row) -> set[str]:
    """Return the fields of a protocol that shape a row; the division is recorded by itself, defaults filled in."""
    if isinstance(plugin, Backend):
        marks = {"prompt", "visual", "border_width", "number_size", "number_style"}
        # Only where it is not as ever: runs of versions that knew no other scoring keep their hash.
        scoring = {"scoring"} if plan.protocol.scoring != "text" else set()
        return {"image_size", "binary", "shots", *marks, *scoring}
    regions = {"binary"} if row == "regions" else set()
    return {"image_size"} | regions | (set() if plugin.reference_row else {"shots"})


def _seeded(plan: Plan, plugin: Backend | Baseline) -> bool:
    """Say whether the seed decides anything: random scores, or which reference images are shown."""
    if isinstance(plugin, Baseline) and (plugin.seeded or plugin.reference_row):
        return plugin.seeded
    return plan.protocol.shots > 0


def hash_of(facts: Mapping[str, Any]) -> str:
    """Hash what decides the answers and the metrics; a price or a note does not, nor where a division's model lay."""
    model = {name: value for name, value in facts["model"].items() if name not in {"price", "label", "notes"}}
    options = {name: value for name, value in facts["division"]["options"].items() if name != "sam_model"}
    decides = {**facts, "model": model, "division": {**facts["division"], "options": options}}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
