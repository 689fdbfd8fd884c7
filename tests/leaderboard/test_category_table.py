"""Tables in the form of papers: categories by models."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import CATEGORY_FORMATS, category_table, make_board, metrics_by_category
from lvlm_ad.leaderboard.category_table import MARKED
from lvlm_ad.leaderboard.columns import UNKNOWN
from lvlm_ad.runs import METRIC_NAMES


@pytest.fixture
def by_category(make_run):
    """A function that makes a run from the image AUROC and the pixel AUROC of each category."""

    def make(name, pairs, **changes):
        run = make_run(name, **changes)
        categories = {
            category: {**dict.fromkeys(METRIC_NAMES), "image_auroc": pair[0], "pixel_auroc": pair[1]}
            for category, pair in pairs.items()
        }
        return replace(run, metrics={**run.metrics, "categories": categories})

    return make


def tables(runs, names="", **options):
    """The tables of all groups of these runs."""
    return [category_table(group, metrics_by_category(names), **options) for group in make_board(runs).groups]


def row(table, name):
    """The texts of a row, with a letter for each mark: B best, S second; ? is a dash."""
    letters = {"best": "B", "second": "S", "": ""}
    cells = [[f"{cell.text}{letters[cell.mark]}" for cell in pair] for pair in dict(table.rows)[name]]
    return ["/".join(texts).replace(UNKNOWN, "?") for texts in cells]


def test_best_and_second_are_marked_in_each_row_and_metric(by_category):
    """What is printed alike is marked alike; the place after several best is the second."""
    runs = [
        by_category("x", {"a": (0.9, 0.5), "b": (0.80004, None)}, auroc=0.9),
        by_category("y", {"a": (0.8, 0.7), "b": (0.80001, None)}, auroc=0.8),
        by_category("z", {"a": (0.7, 0.6), "b": (0.1, None)}, auroc=0.7),
    ]
    (table,) = tables(runs)
    assert table.heads == ["x", "y", "z"]
    assert row(table, "a") == ["90.0B/50.0", "80.0S/70.0B", "70.0/60.0S"]
    assert row(table, "b") == ["80.0B/?", "80.0B/?", "10.0S/?"]
    assert row(table, "mean") == ["90.0B/90.0B", "80.0S/80.0S", "70.0/70.0"]
    assert MARKED in table.notes()


def test_a_single_model_has_no_mark_and_a_single_category_no_mean(by_category):
    """There is nothing to compare with, and the mean would repeat the row."""
    one = by_category("x", {"a": (1.0, 1.0)}, auroc=1.0)
    dataset = one.manifest.dataset.model_copy(update={"categories": ["a"]})
    one = replace(one, manifest=one.manifest.model_copy(update={"dataset": dataset}))
    (table,) = tables([one])
    assert [(name, [cell.mark for pair in cells for cell in pair]) for name, cells in table.rows] == [("a", ["", ""])]
    assert MARKED not in table.notes()


def test_rows_without_rank_have_no_mark_and_reference_rows_come_on_request(
    by_category, make_own_map, make_reference_row
):
    """The note says why a model has no rank."""
    runs = [by_category(name, {"a": (value, 0.5)}, auroc=value) for name, value in (("x", 0.6), ("y", 0.5))]
    runs += [make_own_map("map", 0.99), make_reference_row("oracle", 1.0)]
    (table,) = tables(runs)
    assert table.heads == ["x", "y", "map (dense)*"]
    assert row(table, "mean")[0] == "60.0B/60.0B"
    assert row(table, "mean")[2] == "99.0/99.0"
    assert any(note.startswith("* Not ranked: map (dense) (") for note in table.notes())
    (table,) = tables(runs, reference_rows=True)
    assert table.heads[3:] == ["oracle"]
    assert row(table, "a")[3] == "100.0/100.0"


def test_without_ranks_nothing_is_marked(by_category):
    """The best of values that nobody can tell apart is not bold; the note says why."""
    runs = [by_category(name, {"a": (value, 0.5)}, auroc=value) for name, value in (("x", 1.0), ("y", 0.0))]
    (group,) = make_board(runs).groups
    entries = tuple(replace(entry, rank=None) for entry in group.entries)
    table = category_table(replace(group, entries=entries, ranking="Too few images."), metrics_by_category(""))
    assert row(table, "a") == ["100.0/50.0", "0.0/50.0"]
    assert table.notes()[0] == "Too few images."


def test_a_mean_over_fewer_categories_has_no_mark(make_run):
    """A note says for which categories a model has no threshold."""
    runs = []
    for name, figures, recall in (
        ("x", {"a": 0.5, "b": 0.7}, 0.6),
        ("y", {"a": 0.3, "b": 0.5}, 0.4),
        ("z", {"a": 0.9}, 0.9),
    ):
        run = make_run(name)
        categories = {key: {"recall": figures[key]} if key in figures else {"reason": "few"} for key in "ab"}
        decisions = {
            "threshold": "conformal:0.1",
            "kind": "conformal",
            "mean": {"recall": recall},
            "categories": categories,
        }
        runs.append(replace(run, metrics={**run.metrics, "decisions": decisions}))
    (table,) = tables(runs, "recall")
    assert row(table, "mean") == ["60.0B", "40.0S", "90.0"]
    assert row(table, "a") == ["50.0S", "30.0", "90.0B"]
    assert "z: no threshold for 1 of 2 categories (b); its rates and costs are those of the others." in table.notes()


def test_low_rates_of_wrong_decisions_are_the_best(make_run):
    """Rates of decisions have values by category, too."""
    runs = []
    for name, miss in (("x", 0.1), ("y", 0.3)):
        run = make_run(name)
        decisions = {
            "threshold": "0.5",
            "kind": "fixed",
            "mean": {"miss": miss, "interval": {}},
            "categories": {"a": {"miss": miss}},
        }
        runs.append(replace(run, metrics={**run.metrics, "decisions": decisions}))
    (table,) = tables(runs, "miss")
    assert {name: row(table, name) for name, _ in table.rows} == {
        "a": ["10.0B", "30.0S"],
        "b": ["?", "?"],
        "mean": ["10.0B", "30.0S"],
    }
    assert any("Threshold" in note for note in table.notes())


@pytest.mark.parametrize("name", ["cost_usd", "ece", "image_aurok"])
def test_what_has_no_value_by_category_is_refused(name):
    """Before anything is read."""
    with pytest.raises(ConfigError, match=name):
        metrics_by_category(name)


def test_one_csv_holds_several_tables_and_copies_of_a_run(by_category):
    """Fractions; a model's columns are empty in the lines of other tables."""
    runs = [by_category(name, {"a": (1 / 3, 0.5), "b": (0.5, None)}) for name in "xy"]
    runs.append(by_category("x", {"a": (0.25, 0.5)}, dataset="other"))
    copy = by_category("y", {"a": (0.75, 0.5)}, config_hash=runs[1].manifest.config_hash)
    lines = list(csv.DictReader(io.StringIO(CATEGORY_FORMATS["csv"](tables([*runs, copy])))))
    assert [line["category"] for line in lines] == ["a", "b", "mean"] * 2
    assert lines[0]["x image_auroc"] == str(1 / 3)
    assert lines[1]["x pixel_auroc"] == ""
    assert lines[3]["x image_auroc"] == "0.25"
    of_y = [name for name in lines[0] if name.startswith("y ")]
    assert len(of_y) == 4
    assert {lines[0][name] for name in of_y if "image" in name} == {str(1 / 3), "0.75"}
    assert {lines[3][name] for name in of_y} == {""}


def test_many_models_are_split_and_keep_the_marks_of_the_whole(by_category):
    """Each part says which it is; one best value in all parts together."""
    runs = [by_category(f"model-{n:02}", {"a": (n / 100, n / 100)}, auroc=n / 100) for n in range(1, 31)]
    text = CATEGORY_FORMATS["tex"](tables(runs))
    assert text.count(r"\begin{table*}") == text.count("Part ") > 2
    assert text.count(r"\textbf{30.0}") == 4
    for n in range(1, 31):
        assert text.count(f"model-{n:02}") == 1
    assert max(len(re.findall("model-", line)) for line in text.splitlines()) <= 7


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: apt-get install texlive-latex-base")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_the_table_by_category_compiles(make_run, tmp_path, columns):
    """With whatever a name contains, and with many models; it fits the page."""
    wild = ['a_b & c% $x$ #1 {y} ~ ^ \\z <t> | " \u2764 \u6f22', "[x] *y", "*z", "n" * 400]
    runs = [make_run(name, 0.7, model={"notes": ["w" * 200]}) for name in (*wild, *map(str, range(20)))]
    named = []
    for run in runs:
        dataset = run.manifest.dataset.model_copy(update={"categories": wild})
        named.append(replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset})))
    packages = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    text = CATEGORY_FORMATS["tex"](tables(named))
    (tmp_path / "t.tex").write_text(f"{packages}\n{text}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
