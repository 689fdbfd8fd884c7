"""Exports of a site: its results in the forms in which other sites list results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad import escape
from lvlm_ad.presets import ExportTargets
from lvlm_ad.site.hub_results import hub_files
from lvlm_ad.site.papers_with_code import evaluation_tables, paper_edits
from lvlm_ad.site.results import check_metrics, results_of

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Board
    from lvlm_ad.runs import Run

__all__ = ["export_files"]

_NO_TARGETS = ExportTargets()


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
