"""Tables of a metric by groups of images."""

import csv
import io
import json
from dataclasses import replace

import pytest

from lvlm_ad.cli.group_tables import group_tables_text
from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import GROUP_FORMATS, group_tables, make_board, metrics_by_group
from lvlm_ad.report.group_page import group_page


def entry(value, ends=None, name="segf1", **more):
    """A group's entry in metrics.json."""
    interval = {} if ends is None else {name: list(ends)}
    return {"n": 4, "image_auroc": value, name: value, "interval": interval, **more}


@pytest.fixture
def runs(make_run):
    """Two runs by lighting, size and kind; one has no light "dim"."""
    made = [make_run("a", 0.9), make_run("b", 0.7)]
    for run, value in zip(made, (0.9, None), strict=True):
        lights = {"dim": entry(0.5, n_good=3), "bright": entry(value, None if value is None else (0.2, 1.0), n_good=3)}
        run.metrics["reported"] = ["pixel_aupro@0.05", "segf1"]
        run.metrics["tags"] = {"lighting": lights if value else {"bright": lights["bright"]}}
        run.metrics["kinds"] = {"a": {"dent": entry(0.5), "hole": entry(0.25)}}
    return made


def test_the_leading_metric_of_each_group_with_its_interval(runs):
    """It is the first that the authors report and groups have; a run without a group has an empty cell."""
    (table,) = group_tables(make_board(runs), runs, "lighting")
    assert table.metric.name == "segf1"
    assert table.heads == ["SegF1 by lighting", "dim", "bright"]
    assert table.texts() == [["a", "50.0", "90.0 (20\N{EN DASH}100)"], ["b", "", "\N{EN DASH}"]]
    assert any("good images with this lighting" in note for note in table.notes())


def test_kinds_are_named_with_their_category(runs):
    """A kind of a data set of several categories is that of one of them."""
    (table,) = group_tables(make_board(runs), runs, "kind", metrics_by_group("image_auroc"))
    assert table.groups == ("dent (a)", "hole (a)")
    assert table.texts()[0] == ["a", "50.0", "25.0"]


@pytest.fixture
def many_kinds(runs):
    """A table of two models by twelve kinds of defect."""
    for run in runs:
        kinds = {f"scratch_number_{at}": entry(0.05 * at, (0.0, 1.0), name="image_auroc") for at in range(12)}
        run.metrics["kinds"] = {"a_long_category": kinds}
    (table,) = group_tables(make_board(runs), runs, "kind", metrics_by_group("image_auroc"))
    return table


def test_many_groups_are_rows(many_kinds):
    """Twelve kinds would make a page too wide: each is a row, and models are columns, in every format."""
    assert many_kinds.heads == ["I-AUROC by kind", "a", "b"]
    value = "5.0 (0\N{EN DASH}100)"
    assert many_kinds.texts()[1] == ["scratch_number_1 (a_long_category)", value, value]
    assert f"| scratch\\_number\\_1 (a\\_long\\_category) | {value} | {value} |" in GROUP_FORMATS["md"]([many_kinds])
    assert len(json.loads(GROUP_FORMATS["json"]([many_kinds]))["values"]) == 24


@pytest.mark.parametrize("width", [48, 80])
def test_a_narrow_terminal_breaks_no_word(many_kinds, width):
    """Columns without room stand in a block below, with the names of the rows; no heading and no value is broken."""
    wide = replace(many_kinds, rows=tuple((f"model-{at}-of-eight", "", many_kinds.rows[0][2]) for at in range(8)))
    lines = group_tables_text([wide], width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert [word for word in words if word.startswith("model-")] == [f"model-{at}-of-eight" for at in range(8)]
    assert words.count("(0\N{EN DASH}100)") == 8 * 12
    assert words.count("I-AUROC") > 1


def test_every_format_has_the_values(runs):
    """CSV and JSON have fractions with their ends, Markdown and the page the texts."""
    board = make_board(runs)
    tables = group_tables(board, runs, "lighting")
    lines = list(csv.DictReader(io.StringIO(GROUP_FORMATS["csv"](tables))))
    found = [(one["model"], one["group"], one["value"], one["low"], one["n_good"]) for one in lines]
    assert found == [("a", "dim", "0.5", "", "3"), ("a", "bright", "0.9", "0.2", "3"), ("b", "bright", "", "", "3")]
    values = json.loads(GROUP_FORMATS["json"](tables))["values"]
    assert [one["value"] for one in values] == [0.5, 0.9, None]
    assert "| a | 50.0 | 90.0" in GROUP_FORMATS["md"](tables)
    page = group_page(tables, board)
    assert "90.0 (20\N{EN DASH}100)" in page
    assert "SegF1 by lighting" in page


def test_unknown_groups_and_metrics_are_errors(runs):
    """The message names those that there are."""
    with pytest.raises(ConfigError, match=r"images by 'lightning'\. Did you mean 'lighting'"):
        group_tables(make_board(runs), runs, "lightning")
    with pytest.raises(ConfigError, match="no 'recall', only metrics"):
        metrics_by_group("recall")


def test_the_command_shows_the_table(lvlm_ad_command, tmp_path):
    """The demo by size of defect, in the terminal and as a page; LaTeX is refused."""
    bench = ("bench", "--model", "chance", "--no-reference-rows", "--limit", "2", "--out", tmp_path)
    assert lvlm_ad_command(*bench, "--category", "brick", "--division", "grid").returncode == 0
    done = lvlm_ad_command("leaderboard", tmp_path, "--by-group", "size")
    assert "I-AUROC by size" in done.stdout
    assert lvlm_ad_command("leaderboard", tmp_path, "--by-group", "size", "--format", "html").returncode == 0
    assert (tmp_path / "leaderboard-by-size.html").is_file()
    assert lvlm_ad_command("leaderboard", tmp_path, "--by-group", "size", "--format", "tex").returncode == 2
