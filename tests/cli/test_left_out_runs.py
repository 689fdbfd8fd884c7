"""Runs that are left out are named on the pages, and the messages say which run has what problem."""

import json
import shutil
from pathlib import Path

import pytest

OUT = Path(__file__).parents[1] / "data" / "v0_1" / "out"
LEFT_OUT = "2 runs are left out (incomplete or damaged): broken, without-manifest."


@pytest.fixture
def runs(tmp_path):
    """A folder with two sound runs, a damaged one and an incomplete one."""
    folder = tmp_path / "secret" / "runs"
    for name in ("chance-folder-9a2c38f4", "contrast-folder-afc5fe2f"):
        shutil.copytree(OUT / name, folder / name)
    for name, file in (("broken", "run.json"), ("without-manifest", "predictions.jsonl")):
        (folder / name).mkdir()
        (folder / name / file).write_text("{}")
    return folder


def test_the_leaderboards_page_names_the_runs_that_it_leaves_out(runs, lvlm_ad_command):
    """By the names of their folders; where these are, the page does not say."""
    for more in ([], ["--published"]):
        done = lvlm_ad_command("leaderboard", runs, "--format", "html", "-o", "page.html", *more)
        assert done.returncode == 0, done.stderr
        page = Path("page.html").read_text()
        assert LEFT_OUT in page
        assert "secret" not in page


@pytest.mark.slow
def test_the_sites_first_page_names_the_runs_that_it_leaves_out(runs, lvlm_ad_command):
    """Damaged ones, and with --verify false ones, which have another reason."""
    false = runs / "chance-folder-9a2c38f4" / "metrics.json"
    metrics = json.loads(false.read_text())
    metrics["mean"]["image_auroc"] = 0.99
    false.write_text(json.dumps(metrics))
    done = lvlm_ad_command("leaderboard", runs, "--verify", "--site", "site")
    assert done.returncode == 2
    page = Path("site/index.html").read_text()
    assert LEFT_OUT in page
    why = "not verified: recomputing gave other numbers, or was not possible"
    assert f"1 run is left out ({why}): chance-folder-9a2c38f4." in page
    assert "secret" not in page


def test_without_a_problem_nothing_is_said(runs, lvlm_ad_command):
    """A page of sound runs has no such line."""
    shutil.rmtree(runs / "broken")
    shutil.rmtree(runs / "without-manifest")
    assert lvlm_ad_command("leaderboard", runs, "--format", "html", "-o", "page.html").returncode == 0
    assert "left out" not in Path("page.html").read_text()


def test_each_run_is_named_that_a_data_folder_does_not_fit(runs, lvlm_ad_command):
    """The folder is not that of the runs' data set, so that each message has the same reason."""
    Path("wrong").mkdir()
    done = lvlm_ad_command("leaderboard", runs, "--verify", "--data", "wrong")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "wrong" in line]
    assert [line.partition("left out: ")[2].partition(":")[0] for line in said] == [
        str(runs / name) for name in ("chance-folder-9a2c38f4", "contrast-folder-afc5fe2f")
    ]


def test_published_rows_need_no_folder(lvlm_ad_command):
    """A folder that is not there is an error, which says how to see the published rows alone."""
    done = lvlm_ad_command("leaderboard", "no-such-folder", "--published")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lvlm-ad: There is no folder no-such-folder. Published results need none: ")
    assert "'lvlm-ad leaderboard --published'" in line
    assert lvlm_ad_command("leaderboard", "--published").returncode == 0
