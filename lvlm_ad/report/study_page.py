"""The page of a study, and the files beside it: ``index.html``, ``study.csv`` and ``study.tex``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import RunError
from lvlm_ad.files import write_file
from lvlm_ad.leaderboard import usd
from lvlm_ad.report.efficiency_plots import efficiency_plots
from lvlm_ad.report.grounding_plots import grounding_plots
from lvlm_ad.report.page import render
from lvlm_ad.report.stability_answer import stability_checks
from lvlm_ad.report.stability_plots import stability_plots
from lvlm_ad.studies import STUDY_FORMATS, figures_of, tables_of

if TYPE_CHECKING:
    from lvlm_ad.report.stability_answer import Check
    from lvlm_ad.report.study_plots import Explained
    from lvlm_ad.studies import Study

__all__ = ["study_page", "write_study"]

_PLOTS: Mapping[str, Callable[[Any], Sequence[Explained]]] = {
    "efficiency": efficiency_plots,
    "grounding": grounding_plots,
    "stability": stability_plots,
}
"""Kind of study -> its plots."""

_CHECKS: Mapping[str, Callable[[Any], Sequence[Check]]] = {"stability": stability_checks}
"""Kind of study -> what could cause a difference between two versions; other kinds have none."""

_STATES = {
    "capped": "--max-cost ended this study early: what was not asked is missing below.",
    "incomplete": "Some answers are missing; the last table says which.",
    "interrupted": "This study was interrupted: it says what can be said so far.",
}


def write_study(study: Study, folder: Path) -> Path:
    """Write a study's page and its numbers as CSV and LaTeX beside ``study.json``.

    Args:
        study: the study.
        folder: its folder; files of an earlier page are replaced.

    Returns:
        The path of ``index.html``.

    Raises:
        RunError: this version does not know the kind of study, its figures are damaged, or a file cannot be written.
    """
    files = {
        "index.html": study_page(study),
        **{f"study.{name}": write(study) for name, write in STUDY_FORMATS.items()},
    }
    for name, text in files.items():
        try:
            write_file(folder / name, text)
        except OSError as error:
            raise RunError(f"{folder / name} cannot be written: {error.strerror}.") from error
    return folder / "index.html"


def study_page(study: Study, **site: Any) -> str:
    """Return a study as one self-contained HTML file without scripts; ``site`` is what pages of a site have besides.

    Raises:
        RunError: this version does not know the kind of study, or its figures are damaged.
    """
    figures = figures_of(study)
    return render(
        "study.html",
        title=f"lvlm-ad: {study.kind} of {study.model}",
        study=study,
        incomplete=_STATES.get(study.state, ""),
        checks=_CHECKS[study.kind](figures) if study.kind in _CHECKS else [],
        plots=_PLOTS[study.kind](figures),
        tables=tables_of(study),
        undefined=[*getattr(figures, "undefined", []), *getattr(figures, "not_compared", [])],
        failed=[one for one in study.conditions if one.failed],
        conditions=[
            {
                "record": one,
                "missing": f"{one.missing} ({one.unasked} not asked)" if one.unasked else f"{one.missing}",
                "usd": usd(one.cost_usd),
                "seconds": "" if one.seconds is None else f"{one.seconds:.2f}",
            }
            for one in study.conditions
        ],
        **{"made": "", **site},
    )
