"""The methods of one model side by side."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from lvlm_ad.cli.model_tables import print_model_tables
from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import MODEL_FORMATS, metrics_by_model, model_tables
from lvlm_ad.report.model_page import model_page
from lvlm_ad.runs import StepRecord


@pytest.fixture
def make_method(make_run):
    """A function that makes a run of a model by a method, whose answers take as much as given."""

    def make(method, auroc, *, name="gpt", tokens=100, seconds=1.0, options=None, **changes):
        places = "" if method in {"score", "yes-no"} else "regions"
        changes["method"] = {"name": method, "options": options or {}, "places": places}
        run = make_run(name, auroc, mean=dict.fromkeys(["pixel_auroc", "pixel_ap"]), **changes)
        records = [
            # Every other image takes twice as much.
            record.model_copy(
                update={"input_tokens": tokens * (1 + at % 2), "output_tokens": 10, "seconds": seconds * (1 + at % 2)}
            )
            for at, record in enumerate(run.predictions)
        ]
        return replace(run, predictions=records)

    return make


@pytest.fixture
def table(make_method):
    """The table of a model with three methods, the reference neither best nor first."""
    runs = [make_method("boxes", 0.9, tokens=50), make_method("regions", 0.7), make_method("score", 0.5, seconds=3.0)]
    ((found,), problems) = model_tables(runs)
    assert problems == []
    return found


def test_methods_are_compared_with_the_method_regions(table, make_method):
    """It is the first row; the others follow, best first, with the differences that compare gives."""
    assert [row.name for row in table.rows] == ["regions", "boxes", "score"]
    assert table.reference == "regions"
    expected = compare_runs(make_method("boxes", 0.9), make_method("regions", 0.7)).mean["image_auroc"]
    found = table.rows[1].difference("image_auroc")
    assert (found.difference, found.interval, found.p_value) == (
        expected.difference,
        expected.interval,
        expected.p_value,
    )
    assert found.p_adjusted == pytest.approx(2 * found.p_value)
    assert table.rows[0].difference("image_auroc") is None
    assert not any("differ" in note for note in table.rows[1].notes)


def test_what_an_image_takes_is_paired(table):
    """Means of an image, and their differences with Student's interval over the 80 images."""
    boxes = table.rows[1].uses
    assert (boxes["questions"].first, boxes["questions"].difference) == (1.0, 0.0)
    assert (boxes["tokens"].first, boxes["tokens"].second, boxes["tokens"].difference) == (85.0, 160.0, -75.0)
    # Differences are -50 and -100 by turns: a standard deviation of 25 * sqrt(80 / 79).
    half = 1.990450 * 25 * (80 / 79) ** 0.5 / 80**0.5
    assert boxes["tokens"].interval == pytest.approx((-75 - half, -75 + half), abs=1e-4)
    assert table.rows[2].uses["seconds"].difference == 3.0
    assert boxes["cost_usd"].difference == 0.0


def test_conversations_count_their_questions(make_method):
    """An image with steps took as many questions; one that was not asked took none, and is not compared."""
    step = StepRecord(key="k", text="t")
    zoom = make_method("zoom", 0.9)
    records = [record.model_copy(update={"steps": [step] * 3}) for record in zoom.predictions]
    ((found,), _) = model_tables([replace(zoom, predictions=records), make_method("regions", 0.7)])
    assert found.rows[1].uses["questions"].difference == 2.0
    unasked = [record.model_copy(update={"status": "unasked", "image_score": None}) for record in zoom.predictions]
    ((found,), _) = model_tables([replace(zoom, predictions=unasked), make_method("regions", 0.7)])
    assert found.rows[1].uses["questions"].first == 0.0
    assert found.rows[1].comparison is None
    assert "80 of 80 questions were not answered" in found.rows[1].notes[0]


def test_other_models_images_and_sizes_have_tables_of_their_own(make_method):
    """A model with one run has none; methods at another image size are named, with what to do."""
    at_896 = make_method("boxes", 0.9, protocol={"image_size": 896})
    runs = [make_method("regions", 0.7), make_method("score", 0.5), at_896, make_method("boxes", 0.9, name="other")]
    ((found,), _) = model_tables(runs)
    assert found.title == "gpt · demo: 80 images, 2 categories · 768 x 768 pixels"
    assert found.notes == (
        "Measured at other image sizes: boxes at 896 pixels; measure them with --set image_size=768 to see them here.",
    )
    assert model_tables([runs[0], make_method("score", 0.5, fingerprint="other")]) == ([], [])


def test_without_regions_the_best_is_the_reference_and_hashes_tell_namesakes_apart(make_method):
    """Two runs of one method, such as with two prompts, are both shown."""
    runs = [make_method("boxes", 0.9), make_method("boxes", 0.7, prompt="q"), make_method("score", 0.5)]
    ((found,), _) = model_tables(runs)
    assert [row.name for row in found.rows] == ["boxes #000000", "boxes #010000", "score"]
    scored = make_method("boxes", 0.8, options={"scored": True}, division="e")
    ((found,), _) = model_tables([runs[0], scored])
    assert [row.name for row in found.rows] == ["boxes", "boxes (scored)"]
    assert "differs in division (e and d)" in found.rows[1].notes


def test_without_regions_the_reference_has_a_map_where_one_has(make_method):
    """A better method without a map has no pixel metrics to compare; among its like, the best is the reference."""
    runs = [make_method(name, auroc) for name, auroc in {"boxes": 0.7, "score": 0.9, "yes-no": 0.8}.items()]
    ((found,), _) = model_tables(runs)
    assert [row.name for row in found.rows] == ["boxes", "score", "yes-no"]
    ((found,), _) = model_tables(runs[1:])
    assert [row.name for row in found.rows] == ["score", "yes-no"]


def test_models_of_one_preset_have_tables_of_their_own(make_method):
    """A server's preset stands for any model that the user names; their runs are never rows of one model."""
    runs = [make_method(name, 0.7, model={"label": label}) for label in ("a", "b") for name in ("regions", "score")]
    found, _ = model_tables(runs)
    assert [one.title.partition(" \N{MIDDLE DOT}")[0] for one in found] == ["gpt (a)", "gpt (b)"]
    assert [[row.name for row in one.rows] for one in found] == [["regions", "score"]] * 2


def test_every_format_shows_values_and_differences(table):
    """Signs, intervals and significance; JSON holds no images; undefined metrics have no column."""
    columns = metrics_by_model("image_auroc,pixel_ap")
    markdown = MODEL_FORMATS["md"]([table], columns)
    assert "| Method | I-AUROC | Questions | Tokens | USD/image | Seconds |" in markdown
    assert r"| boxes | 90.0 (+20.0\*, +" in markdown
    assert "85 (-75, -81 to -69)" in markdown
    lines = list(csv.DictReader(io.StringIO(MODEL_FORMATS["csv"]([table], columns))))
    assert [line["name"] for line in lines[:6]] == [
        "image_auroc",
        "pixel_ap",
        "questions",
        "tokens",
        "cost_usd",
        "seconds",
    ]
    boxes = next(line for line in lines if (line["method"], line["name"]) == ("boxes", "image_auroc"))
    assert float(boxes["difference"]) == pytest.approx(0.2)
    assert float(boxes["p_holm"]) < 0.05
    assert "images" not in json.loads(MODEL_FORMATS["json"]([table], columns))["tables"][0]["rows"][1]["comparison"]
    assert r"boxes & 90.0 {\scriptsize +20.0*, +" in MODEL_FORMATS["tex"]([table], columns)


def test_what_authors_report_comes_first(make_method):
    """A data set's own metrics lead the columns unless the user chooses; of the usual ones none is shown twice."""
    run = make_method("regions", 0.7)
    reporting = replace(run, metrics={**run.metrics, "reported": ["pixel_aupro@0.05", "segf1", "image_auroc"]})
    names = [column.name for column in metrics_by_model("", [reporting, run])]
    assert names[:3] == ["pixel_aupro@0.05", "segf1", "image_auroc"]
    assert len(names) == len(set(names))
    assert [column.name for column in metrics_by_model("image_ap", [reporting])] == ["image_ap"]


def test_the_terminal_leaves_out_what_it_has_no_room_for(table):
    """Image AUROC and what an image takes are always there; no number is cut or folded."""
    columns = metrics_by_model("")
    out = {}
    for width in (118, 60):
        text = io.StringIO()
        print_model_tables([table], columns, Console(file=text, width=width))
        out[width] = text.getvalue()
        head, *rows = out[width].splitlines()[2:]
        assert all(name in head for name in ("AUROC", "Questions", "Tokens", "USD", "Seconds"))
        assert any("+20.0*" in row for row in rows)
    assert "No room" not in out[118]
    assert "No room here for: I-AP" in out[60]


def test_the_page_shows_them_and_leads_to_reports(table, tmp_path):
    """Better and worse have their colours; a row with a report is a link; hostile names are escaped."""
    folder = tmp_path / table.rows[1].entry.run / "report"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("")
    hostile = replace(table, rows=(*table.rows[:2], replace(table.rows[2], name="<script>x</script>")))
    page = model_page([hostile], metrics_by_model("image_auroc"), tmp_path)
    assert f'<a href="{table.rows[1].entry.run}/report/index.html">boxes</a>' in page
    assert 'class="ends better sure"><span class="value">+20.0</span>' in page
    assert 'class="ends worse sure"><span class="value">-20.0</span>' in page
    assert "<script>x" not in page


def test_a_reason_is_given_once(make_method):
    """The row says why it has no map; the comparison, which finds the same, does not say it again."""
    reason = "undefined in 2 of 2 categories (a, b): the method gives no map"
    undefined = {"undefined": dict.fromkeys(["pixel_auroc", "pixel_ap"], reason)}
    score = make_method("score", 0.5)
    score = replace(score, metrics={**score.metrics, "mean": {**score.metrics["mean"], **undefined}})
    ((table,), _) = model_tables([make_method("regions", 0.7), score])
    assert " ".join(table.rows[1].notes).count("gives no map") == 1


def test_only_metrics_have_differences():
    """Costs are always there; decisions are not compared; a wrong metric to sort by is named."""
    with pytest.raises(ConfigError, match="no differences of 'recall'"):
        metrics_by_model("recall")
    with pytest.raises(ConfigError, match="'image_auroc'"):
        model_tables([], "image_aurok")
