"""Tables of published results: which rows they have, what filters leave, and every format."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from lvlm_ad.cli.terminal import print_board
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.leaderboard import FORMATS, Filters, chosen_published, make_board, published_board
from lvlm_ad.report.board_page import board_page

TITLES = ["MVTec AD", "VisA", "DS-MVTec: MVTec AD in MMAD", "VisA in MMAD", "MVTec LOCO in MMAD", "GoodsAD in MMAD"]


def names(group, kind="published"):
    """The rows of a kind."""
    return [entry.name for entry in group.entries if entry.kind == kind]


def test_there_is_a_table_for_each_test_set_without_any_run():
    """No row has a rank or an interval; rows are ordered by image AUROC, or by balanced accuracy."""
    board = published_board()
    assert [group.title for group in board.groups] == TITLES
    assert [len(group.entries) for group in board.groups] == [12, 11, 18, 12, 8, 8]
    for group in board.groups:
        assert {(entry.kind, entry.rank, len(entry.intervals)) for entry in group.entries} == {("published", None, 0)}
        metric = "image_auroc" if group.entries[0].metrics["image_auroc"] is not None else "balanced_accuracy"
        values = [entry.metrics.get(metric) or 0 for entry in group.entries]
        assert values == sorted(values, reverse=True)
    assert names(board.groups[2])[6] == "AnomalyGPT [trained on this data set]"
    assert "AnomalyGPT" in names(board.groups[3])


def test_a_mark_is_explained_in_words():
    """The note does not repeat the mark, and names the data set by its title."""
    notes = {entry.name: entry.notes for group in published_board().groups for entry in group.entries}
    assert notes["AnomalyGPT [trained on this data set]"] == (
        "it was trained on MVTec AD, which the test images are from",
    )
    assert "it scores all unlabelled test images together" in notes["MuSc [transductive]"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(method="regions"), [["GPT-4V-AD"], ["GPT-4V-AD"]]),
        (
            Filters(trained_on="nothing", method="maps"),
            [["WinCLIP", "WinCLIP", "MuSc [transductive]"], ["WinCLIP"] * 2],
        ),
        (Filters(shots=4), [["Qwen2.5-VL-7B", "LLaVA-OneVision-7B", "Qwen2.5-VL-3B"]]),
        (Filters(trained_on="mvtec", shots=1), [["AnomalyGPT [trained on this data set]"], *[["AnomalyGPT"]] * 3]),
        (Filters(shots=3), []),
    ],
)
def test_filters_leave_the_rows_with_all_conditions(filters, expected):
    """Training data, reference images and method; a table without rows is left out."""
    assert [names(group) for group in published_board(filters=filters).groups] == expected


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(trained_on="mvtek"), "--trained-on: no row has 'mvtek'. Did you mean 'mvtec'?"),
        (Filters(method="yesno"), "--method: no row has 'yesno'. Did you mean 'yes-no'?"),
    ],
)
def test_an_unknown_name_is_an_error(make_run, filters, message):
    """It suggests the nearest one, with runs and without."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        published_board(filters=filters)
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_board([make_run("a")], filters=filters)


def test_filters_choose_runs_too(make_run, make_reference_row, make_own_map):
    """By reference images and method; reference rows stay beside others, and ranks do not change."""
    made = [make_run("a", 0.9), make_run("b", 0.3), make_run("c", 0.7, protocol={"shots": 2}), make_own_map("d", 0.8)]
    runs = [*made, make_reference_row("chance", 0.5)]
    (whole,) = [group for group in make_board(runs).groups if group.conditions["shots"] == 0]
    ranks = {entry.name: entry.rank for entry in whole.entries}
    (group,) = make_board(runs, filters=Filters(shots=0, method="regions")).groups
    assert {entry.name: entry.rank for entry in group.entries} == {name: ranks[name] for name in ("a", "b", "chance")}
    (group,) = make_board(runs, filters=Filters(shots=2)).groups
    assert [entry.name for entry in group.entries] == ["c", "chance"]
    assert [run.manifest.model.name for run in Filters(method="maps").runs(runs)] == ["d", "chance"]
    assert make_board(runs, filters=Filters(trained_on="visa")).groups == make_board(runs).groups
    with pytest.raises(RunError, match="No run has the given --shots and --method"):
        Filters(shots=7).checked_runs(runs)


def test_filters_choose_published_rows_beside_runs(make_run):
    """The rows below measured ones obey the same conditions."""
    (group,) = make_board([make_run("a", dataset="mvtec")], filters=Filters(trained_on="nothing")).groups
    assert names(group) == ["WinCLIP", "WinCLIP", "GPT-4V-AD", "MuSc [transductive]"]


def test_runs_stand_beside_published_rows_without_ranks(make_run, make_reference_row):
    """All runs on the whole test split share the table, each with its conditions; no value of theirs changes."""
    runs = [
        make_run("zero", 0.8, dataset="mvtec"),
        make_run("two", 0.9, dataset="mvtec", protocol={"shots": 2}),
        make_run("part", 0.9, dataset="mvtec", whole=False),
        make_run("elsewhere", 0.9),
        make_reference_row("chance", 0.5, dataset="mvtec"),
    ]
    group = published_board(runs).groups[0]
    assert [heading for heading, _ in group.sections()] == ["not ranked", "reference rows", "published"]
    assert names(group, "apart") == ["two", "zero"]
    assert names(group, "frame") == ["chance"]
    assert len(names(group)) == 12
    two = group.entries[0]
    assert (two.rank, two.metrics["image_auroc"]) == (None, 0.9)
    assert two.intervals["image_auroc"] == (pytest.approx(0.8), 1.0)
    assert two.conditions == {"shots": 2, "method": "regions", "source": "measured here"}
    assert "2 reference images" in two.notes[-1]
    # Nobody published rows with two reference images on MVTec AD.
    assert TITLES[0] not in [one.title for one in published_board(runs, filters=Filters(shots=2)).groups]


def test_every_format_shows_numbers_conditions_and_sources():
    """Percent in tables, fractions in CSV and JSON; the place of each number is named."""
    board = published_board(filters=Filters(method="choice"))
    out = io.StringIO()
    print_board(board, Console(file=out, width=140))
    texts = [FORMATS["md"](board), FORMATS["tex"](board), board_page(board), out.getvalue()]
    for text in texts:
        flat = re.sub(r"\\(?!allowbreak)|\\allowbreak(\{\})?|\s+", lambda one: " " if one[0].isspace() else "", text)
        for words in ("GPT-4o", "81.3", "87.6", "choice", "MMAD, ICLR 2025", "jam-cc/MMAD", "Nothing is ranked"):
            assert words in flat, words
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    row = next(one for one in rows if one["model"] == "GPT-4o" and one["group"] == TITLES[2])
    assert (row["trained_on"], row["shots"], row["method"]) == ("nothing", "1", "choice")
    assert (float(row["balanced_accuracy"]), float(row["f1"])) == (pytest.approx(0.813), pytest.approx(0.889))
    assert (row["source"], row["rank"]) == ("MMAD, ICLR 2025", "")
    entries = json.loads(FORMATS["json"](board))["groups"][0]["entries"]
    assert entries[0]["conditions"]["where"].startswith("all_result/")
    assert {entry["conditions"]["trained_on_test_set"] for entry in entries} == {True, False}


def test_why_two_sources_differ_is_said_once():
    """In each table and format one sentence for both rows of WinCLIP; a terminal names each source once, below all."""
    board = published_board(filters=Filters(trained_on="nothing", method="maps"))
    out = io.StringIO()
    print_board(board, Console(file=out, width=100_000))
    texts = [FORMATS["md"](board), FORMATS["tex"](board), re.sub("<script.*?</script>|<tr.*?>", "", board_page(board))]
    for text in [*texts, out.getvalue()]:
        assert text.count("give different numbers") == 2
    assert [out.getvalue().count(words) for words in ("WinCLIP (arXiv 2303.14814)", "7HHHHH")] == [1, 1]


def test_columns_are_those_that_rows_have_or_that_are_chosen():
    """Pixel metrics only where somebody published them; a wrong name suggests the right one."""
    board = published_board()
    heads = [FORMATS["md"](board).split("### ")[at].splitlines()[2] for at in (1, 3)]
    assert heads[0].startswith(
        "| # | Model | Trained on | I-AUROC | I-AP | I-F1 | P-AUROC | P-AP | P-F1 | PRO | Shots |"
    )
    assert heads[1] == "| # | Model | Trained on | Bal. acc. | Recall | Precision | F1 | Shots | Method | Source |"
    chosen = FORMATS["md"](board, chosen_published("shots,image_auroc"))
    assert chosen.splitlines()[2] == "| # | Model | Shots | I-AUROC |"
    with pytest.raises(ConfigError, match="Did you mean 'trained_on'"):
        chosen_published("trained_onn")


def test_the_page_speaks_of_published_rows():
    """It does not say that rows can be compared, and explains neither marks nor intervals that it has not."""
    page = board_page(published_board())
    assert "published results</h1>" in page
    assert "so they can be compared" not in page
    assert "95 % interval" not in page
    assert page.count('class="text condition"') == 3 * 69
