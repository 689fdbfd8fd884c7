"""What the tests of pages share: a run of version 0.1.0 with its images, and its pages."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.leaderboard import Board, Entry, Group, published_board
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.run_pages import write_comparison, write_report
from lvlm_ad.runs import METRIC_NAMES, read_run

FROZEN = Path(__file__).parents[1] / "data" / "v0_1"
CATEGORIES = ["bolt", "nut"]


@pytest.fixture(scope="session")
def images():
    """The folder of the run's images: two categories, 22 images."""
    return FROZEN / "images"


@pytest.fixture
def run_folder(tmp_path):
    """A copy of the run's folder, which a test may change."""
    return Path(shutil.copytree(FROZEN / "out" / "gpt-4o-folder-fc646b85", tmp_path / "sent" / "run"))


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory):
    """A run with refused, unparsable and truncated answers, on regions of a 3 x 3 grid."""
    folder = tmp_path_factory.mktemp("kept") / "gpt-4o-folder-fc646b85"
    return read_run(Path(shutil.copytree(FROZEN / "out" / folder.name, folder)))


def renamed(run, name, change_score=lambda score: score):
    """A run under another name, with other scores."""
    manifest = run.manifest.model_copy(update={"model": run.manifest.model.model_copy(update={"name": name})})
    records = [
        one.model_copy(update={"image_score": None if one.image_score is None else change_score(one.image_score)})
        for one in run.predictions
    ]
    return replace(run, manifest=manifest, predictions=records, dir=run.dir.with_name(name))


@pytest.fixture(scope="session")
def two_runs(kept_run):
    """The run, and one that scores images the other way round; their names are long and differ at the end."""
    long = "a-model-with-a-very-long-name-that-ends-in-"
    return [renamed(kept_run, f"{long}one"), renamed(kept_run, f"{long}two", lambda score: 1 - score)]


@pytest.fixture(scope="session")
def report(kept_run, images, tmp_path_factory):
    """The run's page."""
    return write_report(kept_run, tmp_path_factory.mktemp("report"), data=images)


@pytest.fixture(scope="session")
def comparison(two_runs, images, tmp_path_factory):
    """The page of the two runs."""
    return write_comparison(two_runs, tmp_path_factory.mktemp("comparison"), resamples=50, data=images)


def entry(name, auroc, **changes):
    """A row with the same value for every metric."""
    metrics = dict.fromkeys(METRIC_NAMES, auroc)
    given = {"kind": "ranked", "rank": (1, 1), "coverage": 1.0, "cost_usd": 0.0, "run": f"{name}-run"}
    given |= {
        "categories": {one: dict(metrics) for one in CATEGORIES},
        "intervals": {"image_auroc": (auroc - 0.1, auroc)},
    }
    return Entry(name, metrics=metrics, **(given | changes))


@pytest.fixture(scope="session", name="make_entry")
def make_entry_fixture():
    """The function ``entry``."""
    return entry


@pytest.fixture(scope="session")
def board():
    """Two tables; the first has rows of every kind but "apart", and costs."""
    rows = (
        entry("best", 0.9, cost_usd=2.0, usd_per_image=0.02, usd_per_point=0.05),
        entry("cheap", 0.8, rank=(2, 2), cost_usd=1.0, usd_per_image=0.01, notes=("a note of its own",)),
        entry("chance", 0.5, kind="frame", rank=None, usd_per_image=0.0),
        entry("paper", 0.95, kind="published", rank=None, coverage=None, cost_usd=None, run="", categories={}),
    )
    group = Group("mvtec: 2 categories", {"categories": CATEGORIES}, rows)
    other = Group("visa: 2 categories", {"categories": CATEGORIES}, (entry("alone", 0.7),))
    return Board((group, other))


@pytest.fixture(scope="session")
def leaderboard(board, tmp_path_factory):
    """The leaderboard's page; one row is linked to its report."""
    folder = tmp_path_factory.mktemp("leaderboard")
    (folder / "best-run" / "report").mkdir(parents=True)
    (folder / "best-run" / "report" / "index.html").write_text("")
    (folder / "leaderboard.html").write_text(board_page(board, folder), encoding="utf-8")
    return folder / "leaderboard.html"


@pytest.fixture(scope="session")
def published(kept_run, tmp_path_factory):
    """The page of published results, with a run beside those on MVTec AD."""
    dataset = kept_run.manifest.dataset.model_copy(update={"name": "mvtec", "whole": True})
    run = replace(kept_run, manifest=kept_run.manifest.model_copy(update={"dataset": dataset}))
    path = tmp_path_factory.mktemp("published") / "published.html"
    path.write_text(board_page(published_board([run])), encoding="utf-8")
    return path
