"""Comparisons in the form of papers."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from lvlm_ad.compare import Comparison, Difference
from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import COMPARISON_FORMATS, compared_metrics, missing_metrics
from lvlm_ad.runs import METRIC_NAMES

UNDEFINED = dict.fromkeys(METRIC_NAMES, Difference(None, None))


def comparison(second="b_2", categories=("nut", "[bolt"), **changes):
    """A comparison in which image AUROC differs by 0.2, with p-value 0.02 in each category and in the mean."""
    difference = Difference(0.9, 0.7, 0.2, (0.05, 0.35), p_value=0.02)
    values = {**UNDEFINED, "image_auroc": difference, **changes}
    return Comparison(
        names=("a&1", second),
        resamples=1000,
        notes=("no interval of some <metric>",),
        mean=values,
        categories=dict.fromkeys(categories, values),
        images=[],
    )


def test_csv_has_a_line_for_each_pair_category_and_metric():
    """Fractions, empty where undefined; p-values adjusted for all tests of a metric."""
    text = COMPARISON_FORMATS["csv"]([comparison(), comparison("c")], "", "demo: 8 images")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 2 * 3 * len(METRIC_NAMES)
    first = lines[0]
    assert [first[name] for name in ("condition", "first", "second", "category", "metric")] == [
        "demo: 8 images",
        "a&1",
        "b_2",
        "nut",
        "image_auroc",
    ]
    assert [float(first[name]) for name in ("value", "second_value", "difference", "low", "high", "p", "p_holm")] == [
        0.9,
        0.7,
        0.2,
        0.05,
        0.35,
        0.02,
        0.08,
    ]
    (mean,) = [one for one in lines if (one["second"], one["category"], one["metric"]) == ("c", "mean", "image_auroc")]
    assert float(mean["p_holm"]) == 0.04
    assert lines[1]["value"] == lines[1]["p"] == ""
    chosen = COMPARISON_FORMATS["csv"]([comparison()], "pixel_ap")
    assert {line["metric"] for line in csv.DictReader(io.StringIO(chosen))} == {"pixel_ap"}


def test_latex_marks_what_differs_and_writes_signs():
    """Bold where the adjusted p-value is below 0.05; a minus is no hyphen; names are escaped."""
    worse = Difference(0.5, 0.75, -0.25, (-0.5, 0.0), p_value=0.05)
    text = COMPARISON_FORMATS["tex"]([comparison(pixel_auroc=worse)], "", "demo: 8 images")
    assert r"\caption{a\&1 (1) against b\_2 (2). demo: 8 images.}" in text
    assert re.search(r"nut & 90.0 & 70.0 & \\textbf\{\+20.0\} .*\(\+5.0 to \+35.0\)\} & 0.040 &", text)
    assert r"50.0 & 75.0 & $-$25.0 {\scriptsize ($-$50.0 to 0.0)} & 0.100 \\" in text
    assert "{}[bolt &" in text
    assert text.index("[bolt") < text.rindex(r"\midrule") < text.index("mean &")
    assert r"No interval of some \textless{}metric\textgreater{}." in text


def test_metrics_are_chosen_and_split_two_by_two():
    """All seven need four tables for each pair; a single category has no mean."""
    text = COMPARISON_FORMATS["tex"]([comparison(categories=["nut"])], ",".join(METRIC_NAMES))
    assert text.count(r"\begin{table*}") == 4
    assert "mean &" not in text
    with pytest.raises(ConfigError, match="recall"):
        compared_metrics("recall")
    with pytest.raises(ConfigError, match="image_auroc"):
        compared_metrics("image_auroq")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--columns", "image_ap"], "need --format csv or tex"),
        (["--format", "tex", "--json"], "cannot be combined"),
        (["--format", "csv", "--html", "x"], "cannot be combined"),
        (["--format", "csv", "--columns", "cost_usd"], "cost_usd"),
    ],
)
def test_options_that_do_not_fit_are_refused(lvlm_ad_command, given, words):
    """Before a run is read."""
    done = lvlm_ad_command("compare", "none", "nowhere", *given)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: apt-get install texlive-latex-base")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_the_differences_compile(tmp_path, columns):
    """With whatever a name contains; the tables fit the page."""
    wild = 'a_b & c% $x$ #1 {y} ~ ^ \\z <t> | " \u2764 \u6f22'
    text = COMPARISON_FORMATS["tex"]([comparison(wild * 5, categories=[wild, "*x", "n" * 300])], ",".join(METRIC_NAMES))
    packages = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    (tmp_path / "t.tex").write_text(f"{packages}\n{text}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_the_authors_metrics_lead_and_notes_are_of_shown_columns():
    """CSV starts with them, LaTeX shows them alone; a note on another metric is left out."""
    known = Difference(0.9, 0.7, 0.2, (0.05, 0.35), p_value=0.02)
    notes = ("SegF1: no map", "Image AP, SegF1: no interval", "Image AP: no interval", "few categories: uncertain")
    values = {"segf1": known, **UNDEFINED}
    pair = Comparison(("a", "b"), 1000, notes, values, {"nut": values}, [])
    lines = list(csv.DictReader(io.StringIO(COMPARISON_FORMATS["csv"]([pair]))))
    assert [line["metric"] for line in lines] == ["segf1", *METRIC_NAMES]
    text = COMPARISON_FORMATS["tex"]([pair])
    assert "SegF1" in text
    assert "I-AUROC" not in text
    assert "SegF1: no map. Image AP, SegF1: no interval. Few categories: uncertain." in text
    assert missing_metrics([pair], "segf1,classf1,miou_box") == ["classf1", "miou_box"]
