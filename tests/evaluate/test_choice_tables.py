"""Tables, ranks, comparisons and pages of runs that answered MMAD's questions."""

import csv
import io
import json
import runpy
from dataclasses import replace

import pytest

import lvlm_ad
from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import (
    CATEGORY_FORMATS,
    COMPARISON_FORMATS,
    FORMATS,
    category_table,
    make_board,
    metrics_by_category,
    metrics_by_model,
    model_tables,
    published_board,
)
from lvlm_ad.leaderboard.choice_columns import CHOICES
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.run_pages import write_comparison, write_report
from lvlm_ad.runs import read_run
from lvlm_ad.site import write_site

MODELS = '''
import hashlib

from lvlm_ad.backend import Answer


class Knows:
    """Always right, except that it sees no defect."""

    wrong = ("any defect",)

    def answer(self, request):
        right = "A" if "any defect" in request.text else "C"
        missed = any(words in request.text for words in self.wrong)
        return Answer(("B" if right == "A" else "D") if missed else right)


class Locates(Knows):
    """Sees defects everywhere, and does not know where they are."""

    wrong = ("Localization",)


class Silent(Knows):
    """Says nothing that can be read, except about detection."""

    def answer(self, request):
        return Answer("B" if "any defect" in request.text else "It depends.")
'''


@pytest.fixture(scope="module")
def made(shared, tmp_path_factory):
    """Runs of three models by their class, and the tree; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("choices")
    runpy.run_path(str(shared / "tools" / "mk_layouts.py"))["make"](folder / "trees", ["mmad"])
    (folder / "models.py").write_text(MODELS)
    names = ("Knows", "Locates", "Silent")
    runs = lvlm_ad.bench(
        models=[f"{folder / 'models.py'}:{name}" for name in names],
        dataset="mmad",
        data=folder / "trees" / "mmad",
        method="choice",
        settings={"image_size": 32, "division": "grid"},
        out=folder / "runs",
        resamples=0,
    )
    found = dict(zip(names, runs, strict=False))
    return found, runs, folder


def accuracies(run):
    """The overall average and the averages by subtask."""
    return {name: one["accuracy"] for name, one in run.metrics["choices"]["sources"]["Average"].items()}


def test_the_numbers_by_hand(made):
    """One of seven subtasks is wrong, half of detection is right; an answer that cannot be read is wrong."""
    found, _, _ = made
    assert accuracies(found["Knows"])["Average"] == pytest.approx((6 + 0.5) / 7)
    assert accuracies(found["Locates"])["Average"] == pytest.approx((5 + 0.5) / 7)
    assert accuracies(found["Silent"])["Average"] == pytest.approx(0.5 / 7)
    silent = found["Silent"].metrics["choices"]["sources"]["Average"]["Average"]
    assert silent["left_out"] == 0.5
    assert silent["as_published"] < 0.5 / 7 + 1e-9


def test_the_board_ranks_by_accuracy(made):
    """Rows are in the order of their accuracy; only differences too large for chance separate ranks."""
    _, runs, _ = made
    (group,) = [one for one in make_board(runs).groups if "method choice" in one.title]
    ranked = [one for one in group.entries if one.kind == "ranked"]
    values = [one.metrics["choice_accuracy"] for one in ranked]
    assert values == sorted(values, reverse=True)
    assert [one.rank for one in ranked] == [(1, 2), (1, 2), (3, 3)]
    assert ranked[0].difference is None
    assert ranked[2].difference == pytest.approx(-6 / 7)
    low, high = ranked[2].difference_interval
    assert low < -6 / 7 < high < 0
    assert "ranked together by accuracy" in group.ranking
    assert any("40 of 48 questions have no choice: 40 unparsable" in note for note in ranked[2].notes)


def test_published_rows_stand_beside_the_accuracy_of_detection(made):
    """In the table of a source: not ranked, above the published rows, with what differs in a note."""
    _, runs, _ = made
    whole = {"dataset": runs[0].manifest.dataset.model_copy(update={"whole": True})}
    runs = [replace(run, manifest=run.manifest.model_copy(update=whole)) for run in runs]
    group = next(one for one in published_board(runs).groups if one.conditions["part"] == "DS-MVTec")
    measured = [entry for entry in group.entries if entry.run]
    by_name = {run.dir.name: run.metrics["choices"]["sources"]["DS-MVTec"]["Anomaly Detection"] for run in runs[:3]}
    assert {one.run: one.metrics["balanced_accuracy"] for one in measured} == {
        name: one["accuracy"] for name, one in by_name.items()
    }
    assert {(one.kind, one.rank, one.conditions["method"]) for one in measured} == {("apart", None, "choice")}
    assert all("counts as wrong; MMAD's script leaves it out" in one.notes[-1] for one in measured)
    assert "AnomalyGPT [trained on this data set]" in [entry.name for entry in group.entries]


def test_every_accuracy_can_rank(made):
    """Any subtask sorts and ranks; runs without questions have no rank; an error names the right metrics."""
    _, runs, _ = made
    (group,) = [one for one in make_board(runs, "choice_localization").groups if "method choice" in one.title]
    ranked = [one for one in group.entries if one.kind == "ranked"]
    assert [one.name.split()[0] for one in ranked] == ["Knows", "Locates", "Silent"]
    assert [one.metrics["choice_localization"] for one in ranked] == [1.0, 0.0, 0.0]
    assert [one.rank for one in ranked] == [(1, 1), (2, 3), (2, 3)]
    assert "by accuracy in Defect Localization" in group.ranking
    by_accuracy = make_board(runs, "choice_accuracy")
    assert [one.rank for one in by_accuracy.groups[-1].entries] == [
        one.rank for one in make_board(runs).groups[-1].entries
    ]
    assert {one.reason for one in group.entries if one.kind == "apart"} == {"own anomaly map, not scored by region"}
    with pytest.raises(ConfigError, match="Did you mean 'choice_accuracy'"):
        make_board(runs, "choices_accuracy")
    with pytest.raises(ConfigError, match=r"Known: choice_accuracy, .*, pixel_f1_max\."):
        make_board(runs, "zzz")


def test_a_table_by_source_has_the_best_accuracy_bold(made):
    """Rows are sources, columns the models that answered questions; other metrics are chosen by themselves."""
    _, runs, _ = made
    (group,) = [one for one in make_board(runs).groups if "method choice" in one.title]
    table = category_table(group, metrics_by_category(""))
    assert [name for name, _ in table.rows] == ["DS-MVTec", "GoodsAD", "MVTec-LOCO", "VisA", "mean"]
    assert [[cell.text for cell in cells] for cells in dict(table.rows)["VisA"]] == [["92.9"], ["78.6"], ["7.1"]]
    assert [cells[0].mark for cells in dict(table.rows)["mean"]] == ["best", "second", ""]
    assert "**92.9**" in CATEGORY_FORMATS["md"]([table])
    located = category_table(group, metrics_by_category("choice_localization"))
    assert [cells[0].value for cells in dict(located.rows)["GoodsAD"]] == [1.0, 0.0, 0.0]
    with pytest.raises(ConfigError, match=r"'choice_accuracy' are sources .* 'image_auroc' categories"):
        metrics_by_category("image_auroc,choice_accuracy")
    assert len(category_table(group, metrics_by_category("image_auroc")).rows) == 5


def test_latex_of_a_comparison_has_accuracies(made):
    """Rows are sources and their mean; --columns chooses subtasks, in CSV as well."""
    found, _, _ = made
    pair = [compare_runs(found["Knows"], found["Locates"], 100)]
    tables = COMPARISON_FORMATS["tex"](pair)
    assert "{4}{c}{Accuracy}" in tables
    assert "I-AUROC" not in tables
    (mean,) = [line for line in COMPARISON_FORMATS["tex"](pair, "choice_localization").splitlines() if "mean &" in line]
    assert mean.strip().startswith("mean & 100.0 & 0.0 & ")
    both = COMPARISON_FORMATS["tex"](pair, "choice_localization,image_auroc")
    assert both.count("begin{table*}") == 2
    lines = list(csv.DictReader(io.StringIO(COMPARISON_FORMATS["csv"](pair, "choice_localization"))))
    assert {one["metric"] for one in lines} == {"accuracy, Defect Localization"}
    assert [one["category"] for one in lines] == ["DS-MVTec", "GoodsAD", "MVTec-LOCO", "VisA", "Average"]


def test_methods_of_a_model_are_compared_by_accuracy(made):
    """Accuracies lead the table of a model, and its rows have the differences that compare gives."""
    found, _, _ = made
    model = found["Knows"].manifest.model
    runs = [
        replace(run, manifest=run.manifest.model_copy(update={"model": model, "config_hash": f"{at}{'0' * 63}"}))
        for at, run in enumerate((found["Silent"], found["Knows"]))
    ]
    columns = metrics_by_model("", runs)
    assert [one.name for one in columns[:3]] == ["choice_accuracy", "choice_left_out", "choice_published"]
    ((table,), _) = model_tables(runs)
    assert [one.entry.metrics["choice_accuracy"] for one in table.rows] == pytest.approx([6.5 / 7, 0.5 / 7])
    assert table.rows[1].difference("choice_accuracy").difference == pytest.approx(-6 / 7)
    assert table.rows[1].difference("choice_left_out") is None


def test_a_run_of_other_numbers_is_not_ranked(made):
    """Where the predictions give another accuracy than metrics.json, the row is apart and says so."""
    found, _, _ = made
    run, other = found["Knows"], found["Locates"]
    changed = json.loads(json.dumps(run.metrics))
    changed["choices"]["sources"]["Average"]["Average"]["accuracy"] = 0.99
    (group,) = make_board([replace(run, metrics=changed), other]).groups
    (apart,) = [one for one in group.entries if one.kind == "apart"]
    assert "its predictions give another accuracy than metrics.json" in apart.reason


def test_accuracies_lead_every_format(made):
    """In CSV, Markdown and LaTeX the accuracies follow the name; JSON holds them; the page shows them."""
    found, runs, folder = made
    board = make_board(runs)
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    (row,) = [one for one in rows if one["model"].startswith("Knows") and "method choice" in one["group"]]
    assert float(row["choice_accuracy"]) == pytest.approx(6.5 / 7)
    assert float(row["choice_accuracy_low"]) < 6.5 / 7 < float(row["choice_accuracy_high"])
    columns = list(rows[0])
    assert columns[columns.index("model") + 1 :][: len(CHOICES)] == list(CHOICES)
    markdown = FORMATS["md"](make_board([found["Knows"]]))
    heads = [part.strip() for part in markdown.splitlines()[2].strip("|").split("|")]
    assert heads[1:4] == ["Model", "Accuracy", "Left out"]
    assert not any(head.startswith("P-") for head in heads)
    assert "92.9" in markdown
    assert "Accuracy" in FORMATS["tex"](board)
    entries = json.loads(FORMATS["json"](board))["groups"][0]["entries"]
    assert any("choice_accuracy" in one["metrics"] for one in entries)
    assert "Defect class" in board_page(board, folder)


def test_a_comparison_is_paired_on_the_same_questions(made):
    """Differences are those of the accuracies; a subtask in which both are the same is compared with an interval."""
    found, _, _ = made
    runs = [read_run(found[name].dir) for name in ("Knows", "Locates")]
    compared = compare_runs(*runs, 100)
    average = compared.choices["Average"]
    assert next(iter(average)) == "Anomaly Detection"
    assert average["Average"].difference == pytest.approx(1 / 7)
    assert average["Defect Localization"].difference == 1.0
    assert average["Defect Localization"].interval[0] > 0
    assert average["Defect Localization"].p_value < 0.05 <= average["Average"].p_value
    assert average["Defect Localization"].p_adjusted >= average["Defect Localization"].p_value
    assert average["Average"].p_adjusted == average["Average"].p_value
    assert set(compared.choices) == {"Average", "DS-MVTec", "GoodsAD", "MVTec-LOCO", "VisA"}
    same = compare_runs(runs[0], runs[0], 100).choices["VisA"]["Average"]
    assert (same.difference, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_pages_show_accuracies_and_letters(made, tmp_path):
    """The report has the table of subtasks, the letters and what was chosen for each image; a comparison has both."""
    found, _, folder = made
    run = read_run(found["Silent"].dir)
    page = write_report(run, tmp_path / "report", data=folder / "trees" / "mmad").read_text(encoding="utf-8")
    assert 'id="questions"' in page
    assert "Object Analysis" in page
    assert "40 unparsable" in page
    assert "Defect Analysis: chose nothing (unparsable), right is C." in page
    assert "Pixel AUROC</dt>" not in page
    assert "Images: ROC" in page
    assert "Pixels: ROC" not in page, "a method without maps has no pixels by score"
    runs = [read_run(found[name].dir) for name in ("Knows", "Locates")]
    both = write_comparison(runs, tmp_path / "both", resamples=100, pictures=False).read_text(encoding="utf-8")
    assert "Accuracy of answers to questions" in both
    assert "+14.3" in both


def test_a_site_shows_accuracies(made, tmp_path):
    """On the first page, on that of the data set and on that of a model."""
    site = write_site(made[1], tmp_path / "site").parent
    pages = [(site / name).read_text(encoding="utf-8") for name in ("index.html", "datasets/mmad.html")]
    pages.append(next((site / "models").glob("knows*.html")).read_text(encoding="utf-8"))
    assert "Accuracy in percent. Line" in pages[0]
    assert all("92.9" in page for page in pages), "half of one of seven subtasks is wrong"


def test_the_terminal_shows_the_table(made, lvlm_ad_command):
    """A bench ends with accuracies by source and subtask; compare begins with their differences."""
    found, _, folder = made
    done = lvlm_ad_command(
        "bench",
        *("--model", f"{folder / 'models.py'}:Knows", "--dataset", "mmad", "--data", folder / "trees" / "mmad"),
        *("--method", "choice", "--set", "image_size=32", "--no-reference-rows", "--no-report", "--resamples", 0),
        *("--out", folder / "runs"),
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy, percent; an answer without a choice is wrong" in done.stdout
    assert "Letters chosen (right), percent: A 0.0 (8.3), B 16.7 (8.3), C 83.3 (83.3), D 0.0 (0.0)." in done.stdout
    (average,) = [line for line in done.stdout.splitlines() if line.startswith("Average")]
    assert average.split()[-6:] == ["92.9", "92.9", "92.9", "0", "of", "48"]
    two = (found["Knows"].dir, found["Locates"].dir)
    lines = lvlm_ad_command("compare", *two, "--resamples", 100, "--format", "csv").stdout.splitlines()
    (line,) = [one for one in lines if 'Average,"accuracy, Average"' in one]
    assert float(line.split(",")[-5]) == pytest.approx(1 / 7)
    done = lvlm_ad_command("compare", *two, "--resamples", 100)
    assert done.stdout.splitlines()[0].strip().endswith("accuracy, mean over sources, percent")


def test_a_run_whose_questions_were_not_asked_has_its_table(made, tmp_path, lvlm_ad_command):
    """An answer without token counts ends a run with --max-cost; the script of the authors then has no record."""
    prices = ("--set", "price_input=1", "--set", "price_output=1", "--max-cost", "0.001", "--no-reference-rows")
    folder = made[2]
    asked = ("bench", "--data", folder / "trees" / "mmad", "--method", "choice", "--model", f"{folder}/models.py:Knows")
    done = lvlm_ad_command(*asked, *prices, "--out", tmp_path / "runs")
    assert done.returncode == 3, done.stderr
    assert "48 of 48" in done.stdout
    (run,) = (read_run(path.parent) for path in tmp_path.glob("runs/*/run.json"))
    assert {row["Average"]["as_published"] for row in run.metrics["choices"]["sources"].values()} == {None}
