"""``lvlm-ad leaderboard --by-model`` on runs of real benches."""

import csv
import io
import json

import pytest

USAGE = 2


@pytest.fixture
def leaderboard(method_runs, in_process):
    """A function that runs the command on the runs of one model by three methods, with its oracle."""
    folder = method_runs["drawer"].dir.parent

    def run(*arguments, status=0):
        done = in_process(["leaderboard", folder, *arguments])
        assert done.returncode == status, done.stderr
        return done

    return run


def test_methods_stand_side_by_side_in_every_format(leaderboard, tmp_path):
    """Questions are those that were asked: three of zoom; differences are those to the method regions."""
    assert "boxes [binary]" in leaderboard("--by-model").stdout
    lines = list(csv.DictReader(io.StringIO(leaderboard("--by-model", "-f", "csv").stdout)))
    asked = {line["method"]: float(line["value"]) for line in lines if line["name"] == "questions"}
    assert asked == {"regions": 1, "zoom": 3, "boxes [binary]": 1}
    assert {line["reference"] for line in lines} == {"regions"}
    assert len(json.loads(leaderboard("--by-model", "-f", "json").stdout)["tables"]) == 1
    assert "| boxes " in leaderboard("--by-model", "-f", "md", "--columns", "image_auroc,miou_box").stdout
    leaderboard("--by-model", "-f", "tex", "-o", tmp_path / "methods.tex")
    assert r"\begin{tabular}" in (tmp_path / "methods.tex").read_text()
    leaderboard("--by-model", "-f", "html", "-o", tmp_path / "methods.html")
    assert "One model, asked in different ways" in (tmp_path / "methods.html").read_text()


def test_what_does_not_go_together_is_refused(leaderboard, tmp_path):
    """One line says what to leave out; a folder in which no model has two methods says what to do."""
    for more in (["--by-category"], ["--figures", tmp_path]):
        assert "--by-model cannot be combined" in leaderboard("--by-model", *more, status=USAGE).stderr
    assert "no differences of 'recall'" in leaderboard("--by-model", "--columns", "recall", status=USAGE).stderr


def test_the_usual_leaderboard_has_a_table_for_each_method(leaderboard):
    """The oracle frames the table of its method, and metrics of places stand where a method has them."""
    groups = json.loads(leaderboard("-f", "json").stdout)["groups"]
    names = {
        group["conditions"].get("method", "regions"): [one["name"] for one in group["entries"]] for group in groups
    }
    assert names == {
        "boxes": ["drawer (boxes) [binary]", "oracle (boxes)"],
        "zoom": ["drawer (zoom)"],
        "regions": ["drawer"],
    }
    (boxes,) = [group for group in groups if group["conditions"].get("method") == "boxes"]
    assert boxes["entries"][1]["metrics"]["miou_box"] == 1
