"""Files of results for models at the Hugging Face hub, which collects them on the page of a benchmark.

The form is that of https://huggingface.co/docs/hub/eval-results and of eval_results.yaml in huggingface/hub-docs, read
in November 2026: a list of results, each with dataset.id and dataset.task_id, value, date, source and notes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.site.results import Result, utc

if TYPE_CHECKING:
    from lvlm_ad.presets import ExportTargets

__all__ = ["hub_files"]


def hub_files(results: Sequence[Result], targets: ExportTargets) -> dict[str, str]:
    """Return the files for the repositories of models, one for each run.

    Only models with a name at the hub get files, and only for data sets whose benchmark ``targets`` names.

    Returns:
        Path "org/name/.eval_results/DATASET_HASH.yaml" -> text. HASH begins the run's configuration hash.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        target = targets.datasets.get(result.dataset)
        if target is None or target.huggingface is None:
            continue
        values = result.percents(target.huggingface.tasks)
        if not (result.hub_id and values):
            continue
        # config_hash comes from somebody else's file; the other parts of the path are checked.
        digits = re.sub("[^0-9a-z]", "", result.run.manifest.config_hash[:8])
        name = f"{result.dataset}_{digits}.yaml"
        found.setdefault(f"{result.hub_id}/.eval_results/{name}", []).extend(
            {
                "dataset": {"id": target.huggingface.id, "task_id": task},
                "value": value,
                "date": utc(result.run.manifest.started).date().isoformat(),
                **_source(targets),
                "notes": result.setup,
            }
            for task, value in values.items()
        )
    return {path: "".join(map(_yaml_item, entries)) for path, entries in found.items()}


def _source(targets: ExportTargets) -> dict[str, Any]:
    if not targets.source_url:
        return {}
    name = {"name": targets.source_name} if targets.source_name else {}
    return {"source": {"url": targets.source_url, **name}}


def _yaml_item(values: Mapping[str, Any]) -> str:
    """Write an item of a list as YAML. Every scalar is JSON, which YAML reads as what it is."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{key}:", *(f"  {inner}: {_scalar(text)}" for inner, text in value.items())]
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return "\n".join(f"{'  ' if at else '- '}{line}" for at, line in enumerate(lines)) + "\n"


def _scalar(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
