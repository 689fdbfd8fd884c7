"""Exports of a site: its results in the forms in which other sites list results."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from lvlm_ad import escape
from lvlm_ad.presets import ExportTargets
from lvlm_ad.site.hub_results import hub_files
from lvlm_ad.site.papers_with_code import evaluation_tables, paper_edits
from lvlm_ad.site.results import check_metrics, results_of

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board
    from lvlm_ad.runs import Run

__all__ = ["export_files", "missing_exports"]

_NO_TARGETS = ExportTargets()

_NEEDED = "it needs a run on the whole test split that can be ranked and has one of the metrics"


def export_files(board: Board, runs: Sequence[Run], targets: ExportTargets = _NO_TARGETS) -> dict[str, str]:
    """Return the exports of a site.

    They hold the rows that can be ranked, of the whole test split: see ``results_of``.

    Args:
        board: the tables of runs.
        runs: the runs.
        targets: the benchmarks of other sites, which only the owner of the leaderboard can name. Without them there is
            nothing for the Hugging Face hub and for paperswithcode.co.

    Returns:
        Path in the site -> text: ``exports/evaluation-tables.json``,
        ``exports/huggingface/ORG/MODEL/.eval_results/DATASET_HASH.yaml`` and ``exports/paperswithcode/DATASET.json``.

    Raises:
        ConfigError: ``targets`` names a metric that no result of its data set has.

    Example:
        >>> from lvlm_ad.leaderboard import make_board
        >>> list(export_files(make_board([]), []))
        ['exports/evaluation-tables.json']
    """
    results = results_of(board, runs)
    check_metrics(results, targets)
    tables = {"evaluation-tables.json": evaluation_tables(results, targets)}
    edits = {f"paperswithcode/{name}": operations for name, operations in paper_edits(results, targets)}
    hub = {f"huggingface/{path}": text for path, text in hub_files(results, targets).items()}
    files = {**{path: f"{escape.json_text(value)}\n" for path, value in {**tables, **edits}.items()}, **hub}
    return {f"exports/{path}": text for path, text in files.items()}


def missing_exports(files: Collection[str], targets: ExportTargets) -> list[str]:
    """Say for which benchmarks that the owner names no result was exported, and what is needed.

    Args:
        files: the paths that ``export_files`` returned.
        targets: the benchmarks of other sites.

    Example:
        >>> benchmark = {"id": "org/name", "tasks": {"image_auroc": "detection"}}
        >>> targets = ExportTargets(datasets={"visa": {"huggingface": benchmark}})
        >>> missing_exports([], targets)[0].partition(": ")[0]
        'No file of visa for the Hugging Face hub'
    """
    notes = []
    for dataset, target in targets.datasets.items():
        of_hub = re.compile(rf"exports/huggingface/.*/{re.escape(dataset)}_[0-9a-z]*\.yaml")
        if target.huggingface and not any(map(of_hub.fullmatch, files)):
            notes.append(
                f"No file of {dataset} for the Hugging Face hub: {_NEEDED}, of a model that lvlm-ad ran itself "
                "(transformers, vllm) by its name at the hub."
            )
        if target.paperswithcode and f"exports/paperswithcode/{dataset}.json" not in files:
            notes.append(f"No file of {dataset} for Papers with Code: {_NEEDED}.")
    return notes
