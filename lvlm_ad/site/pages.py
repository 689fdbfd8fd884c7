"""The pages of data sets, of published results, of studies, and on how to submit a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.escape import json_text
from lvlm_ad.leaderboard import Board, Group
from lvlm_ad.report.board_page import BOARD_SCRIPTS, board_values
from lvlm_ad.report.page import render
from lvlm_ad.report.study_page import study_page
from lvlm_ad.site.permissions import licence_of
from lvlm_ad.studies import STUDY_FORMATS

if TYPE_CHECKING:
    from lvlm_ad.site.contents import Contents
    from lvlm_ad.studies import Study

__all__ = ["dataset_page", "published_page", "study_files", "submit_page"]


def dataset_page(contents: Contents, images: str) -> str:
    """Return the page of a set of images: its tables, and its published results in tables of their own."""
    page, tables = contents.dataset_pages[images], contents.tables[images]
    dataset, title = tables[0].dataset, tables[0].title
    measured = [_of_kinds(table.group, published=False) for table in tables]
    published = [one for one in contents.published.groups if one.conditions["dataset"] == dataset]
    board = Board((*measured, *(_of_kinds(one, published=True) for one in published)), contents.board.sort)
    run = contents.by_folder[next(entry.run for entry in measured[0].entries if entry.run)]
    return render(
        "site_dataset.html",
        BOARD_SCRIPTS,
        title=f"{title}: zero-shot visual anomaly detection",
        name=title,
        licence=licence_of(dataset),
        notes=run.manifest.dataset.notes,
        n_measured=len(measured),
        verified=contents.verified_in_words([images]),
        **board_values(board, lambda group: contents.model_links(group.entries, "../"), contents.columns),
        **contents.page_values(page, "../"),
    )


def _of_kinds(group: Group, *, published: bool) -> Group:
    """Return a table with its published rows alone, or without them; sources are those of published rows."""
    entries = tuple(entry for entry in group.entries if (entry.kind == "published") == published)
    return replace(group, entries=entries, sources=group.sources if published else ())


def published_page(contents: Contents) -> str:
    """Return the page of published results, with the runs on the same test sets."""
    return render(
        "leaderboard.html",
        BOARD_SCRIPTS,
        title="Published results: zero-shot visual anomaly detection",
        left_out=(),
        **board_values(contents.published, lambda group: contents.model_links(group.entries, "")),
        **contents.page_values("published.html", ""),
    )


def submit_page(contents: Contents) -> str:
    """Return the page on how to submit a run."""
    return render(
        "site_submit.html",
        title="How to submit a run",
        n_runs=len(contents.runs),
        verified=contents.verified_in_words(contents.tables),
        source_url=contents.targets.source_url,
        source_name=contents.targets.source_name,
        **contents.page_values("submit.html", ""),
    )


def study_files(contents: Contents, study: Study, folder: str) -> dict[str, str]:
    """Return a study's page and the files beside it: path -> text.

    Raises:
        RunError: this version does not know the kind of study, or its figures are damaged.
    """
    page = f"{folder}/index.html"
    return {
        page: study_page(study, **{**contents.page_values(page, "../../"), "made": ""}),
        f"{folder}/study.json": f"{json_text(study.model_dump(mode='json'))}\n",
        **{f"{folder}/study.{name}": write(study) for name, write in STUDY_FORMATS.items()},
    }
