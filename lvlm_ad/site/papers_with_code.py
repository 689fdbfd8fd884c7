"""Results for Papers with Code: its old form, which archives read, and rows for the site that stands in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lvlm_ad import escape
from lvlm_ad.leaderboard.choice_values import RANKING, accuracy_title
from lvlm_ad.presets import ExportTargets, published_rows
from lvlm_ad.runs import metric_title

if TYPE_CHECKING:
    from lvlm_ad.site.results import Result

__all__ = ["evaluation_tables", "paper_edits"]

_LARGEST_EDIT = 50
"""Operations of one edit of a paper."""

_TASK = "Anomaly Detection"


def evaluation_tables(results: Sequence[Result], targets: ExportTargets) -> list[dict[str, Any]]:
    """Return results in the form of evaluation-tables.json, in percent: a task, its data sets, and their tables.

    The README of github.com/paperswithcode/sota-extractor describes the form (Task, Dataset, Link, Sota, SotaRow). A
    table of the leaderboard is a subdataset: rows of different tables must not be ranked together. No paper reports the
    rows, so those fields are empty.
    """
    titles = {row.test_set.dataset: row.test_set.title for row in published_rows() if not row.test_set.part}
    by_dataset: dict[str, list[Result]] = {}
    for result in results:
        by_dataset.setdefault(result.dataset, []).append(result)
    datasets = [
        {
            "dataset": titles.get(name, name),
            "description": "",
            "subdatasets": [_table(list(rows)) for _, rows in groupby(of_set, key=lambda one: one.group.title)],
            "dataset_links": [],
            "dataset_citations": [],
            "sota": {"metrics": [], "rows": []},
        }
        for name, of_set in sorted(by_dataset.items())
    ]
    source = {"title": targets.source_name or "lvlm-ad leaderboard", "url": targets.source_url}
    return [
        {
            "task": _TASK,
            "description": "Visual anomaly detection by vision-language models, measured with lvlm-ad; in percent.",
            "subtasks": [],
            "datasets": datasets,
            "source_link": source if targets.source_url else None,
        }
    ]


def _table(results: Sequence[Result]) -> dict[str, Any]:
    metrics = {name: value for result in results for name, value in result.metrics.items() if value is not None}
    titles = {name: _title(name) for name in metrics}
    return {
        "subdataset": results[0].group.title,
        "description": results[0].group.ranking,
        "subdatasets": [],
        "dataset_links": [],
        "dataset_citations": [],
        "sota": {
            "metrics": list(titles.values()),
            "rows": [
                {
                    "model_name": result.entry.name,
                    "paper_title": "",
                    "paper_url": "",
                    "paper_date": None,
                    "code_links": [],
                    "model_links": _model_links(result),
                    "metrics": result.percents(titles),
                }
                for result in results
            ],
        },
    }


def _title(metric: str) -> str:
    return accuracy_title(metric).capitalize() if metric in RANKING else metric_title(metric)


def _model_links(result: Result) -> list[dict[str, str]]:
    return [{"title": result.hub_id, "url": f"https://huggingface.co/{result.hub_id}"}] if result.hub_id else []


def paper_edits(results: Sequence[Result], targets: ExportTargets) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name of a file, and the operations that add results to a paper at paperswithcode.co.

    The form is that of "operations" in an edit document, as described in standalone_cli/README.md of
    github.com/huggingface/pwc-cli ("Edit a paper with your agent"), read in November 2026. An edit has at most 50
    operations, so a data set may have several files.
    """
    for dataset, target in targets.datasets.items():
        benchmark = target.paperswithcode
        if benchmark is None:
            continue
        found = [(one, one.percents(benchmark.metrics)) for one in results if one.dataset == dataset]
        operations = [
            {
                "section": "evaluations",
                "payload": {
                    "task_id": benchmark.task_id,
                    "dataset_id": benchmark.dataset_id,
                    "model_name": escape.visible(result.entry.name, ""),
                    "methodology": result.setup,
                    "metrics": values,
                    **({"source_url": targets.source_url} if targets.source_url else {}),
                },
            }
            for result, values in found
            if values
        ]
        for at in range(0, len(operations), _LARGEST_EDIT):
            part = f"-{at // _LARGEST_EDIT + 1}" if at else ""
            yield f"{dataset}{part}.json", operations[at : at + _LARGEST_EDIT]
