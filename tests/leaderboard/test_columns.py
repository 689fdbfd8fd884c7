"""Columns by choice, and the columns of decisions."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from lvlm_ad.cli.terminal import print_board
from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import FORMATS, chosen_columns, make_board
from lvlm_ad.report.board_page import board_page

DECISIONS = {
    "threshold": "0.5",
    "kind": "fixed",
    "mean": {
        "recall": 0.9,
        "miss": 0.1,
        "false_alarm": 0.25,
        "precision": None,
        "balanced_accuracy": 0.825,
        "interval": {"recall": [0.7, 0.97], "balanced_accuracy": [0.71, 0.91]},
    },
    "pooled": {"precision_at_prevalence": 0.035, "interval": {}},
    "categories": {"a": {"recall": 1.0, "interval": {}}},
    "calibration": {"brier": 0.1234, "ece": 0.05, "n": 10},
    "abstention": {"max_coverage": 0.8, "points": [[0.5, 0.0]]},
    "cost": {
        "per_part": 1.25,
        "interval": [0.5, 3.0],
        "prevalence": 0.01,
        "prices": {"miss": 100.0, "false_alarm": 5.0, "check": 0.0, "model": None},
    },
}
ALL = (
    "image_auroc,balanced_accuracy,recall,miss,false_alarm,precision,precision_at_prevalence,cost_per_part,brier,ece,"
    "max_coverage"
)


@pytest.fixture
def decided(make_run):
    """A function that makes a run with decisions, any part of them changed."""

    def make(name, **changes):
        run = make_run(name)
        return replace(run, metrics={**run.metrics, "decisions": {**DECISIONS, **changes}})

    return make


def terminal(board, columns):
    """The leaderboard with these columns as a wide terminal shows it."""
    out = io.StringIO()
    print_board(board, Console(file=out, width=200), columns)
    return out.getvalue()


def test_each_format_shows_the_chosen_columns_and_no_other(decided):
    """Values, intervals in brackets, and what the columns mean; the other metrics are left out."""
    columns, board = chosen_columns("recall,cost_per_part,brier"), make_board([decided("m")])
    texts = [terminal(board, columns), board_page(board, columns=columns)]
    texts += [FORMATS[form](board, columns) for form in ("md", "tex")]
    for text in texts:
        for shown in ("90.0", "1.25", "0.123", "0.5", "3.00", "Threshold of all decisions", "miss 100"):
            assert shown in text, (shown, text)
        assert "P-AUROC</th>" not in text
        assert "PRO |" not in text
    assert "90.0 (70\N{EN DASH}97)" in texts[0]
    assert "1.25 (0.5\N{EN DASH}3.00)" in texts[2]


def test_csv_has_the_chosen_columns_with_their_ends(decided):
    """Fractions and prices as numbers, empty where undefined; a column without intervals has no ends."""
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"](make_board([decided("m")]), chosen_columns(ALL))))
    assert (row["balanced_accuracy"], row["recall_low"], row["precision"], row["precision_low"]) == (
        "0.825",
        "0.7",
        "",
        "",
    )
    assert (row["cost_per_part"], row["cost_per_part_high"]) == ("1.25", "3.0")
    assert (row["precision_at_prevalence"], row["max_coverage"]) == ("0.035", "0.8")
    assert "pixel_ap" not in row
    assert "ece_low" not in row


def test_json_is_whole_whatever_the_columns(decided):
    """It holds every metric and the decisions, without the points of curves."""
    board = make_board([decided("m")])
    text = FORMATS["json"](board, chosen_columns("recall"))
    assert text == FORMATS["json"](board)
    decisions = json.loads(text)["groups"][0]["entries"][0]["decisions"]
    assert decisions["abstention"] == {"max_coverage": 0.8}
    assert decisions["mean"]["balanced_accuracy"] == 0.825


def test_rows_with_different_thresholds_are_named(decided, make_run):
    """So are rows without decisions, which older versions wrote; published rows are not."""
    runs = [decided("fixed one"), decided("other", kind="conformal", threshold="conformal:0.05"), make_run("old")]
    board, columns = make_board(runs), chosen_columns("recall")
    for text in (FORMATS["md"](board, columns), terminal(board, columns)):
        words = " ".join(text.split())
        assert "different thresholds" in words
        assert "): fixed one; conformal:0.05" in words.replace("\\", "")
        assert "No decisions are stored for old" in words


def test_without_decision_columns_nothing_is_said_of_thresholds(decided):
    """The usual table is as it was."""
    board = make_board([decided("m")])
    assert "hreshold" not in FORMATS["md"](board)
    assert "hreshold" not in terminal(board, chosen_columns(""))


@pytest.mark.parametrize(("name", "hint"), [("balanced_acuracy", "balanced_accuracy"), ("image_aurok", "image_auroc")])
def test_an_unknown_column_is_refused(name, hint):
    """The message names the nearest column."""
    with pytest.raises(ConfigError, match=hint):
        chosen_columns(f"recall,{name}")


def test_a_run_whose_decisions_are_no_decisions_hides_no_other(make_run, decided):
    """Values of unknown origin: a row that cannot be written is left out with a message."""
    from lvlm_ad.leaderboard import writable

    broken = decided("broken", calibration=3)
    kept, problems = writable([make_run("good"), broken])
    assert [run.manifest.row_name for run in kept] == ["good"]
    assert len(problems) == 1
