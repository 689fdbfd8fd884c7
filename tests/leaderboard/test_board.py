import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from lvlm_ad.cli.tables import print_board
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.leaderboard import FORMATS, HEADERS, cells, make_board, outcomes, read_json, sections, usd
from lvlm_ad.runs import METRIC_NAMES, Manifest, PredictionRecord, Run, find_runs, read_run, read_runs, write_run


@pytest.fixture
def make_run(tmp_path):
    """Make a run with any part of its manifest changed."""
    made = []

    def make(name, auroc=0.5, *, answers=None, mean=None, scores=None, **changes):
        facts = {
            "config_hash": f"{len(made):02x}{0:062x}",
            "model": {
                "name": name,
                "kind": "backend",
                "plugin": "openai",
                "identity": changes.pop("identity", {}),
                "row": changes.pop("row", "regions"),
                "frame": changes.pop("frame", False),
                "sees_truth": False,
                "price": {},
            },
            "dataset": {
                "name": changes.pop("dataset", "demo"),
                "fingerprint": changes.pop("fingerprint", "f"),
                "n_images": changes.pop("n_images", 10),
                "categories": ["a", "b"],
                "whole": True,
                "notes": [],
            },
            "protocol": {
                "image_size": 768,
                "shots": changes.pop("shots", 0),
                "binary": changes.pop("binary", False),
                **({"scoring": changes.pop("scoring")} if "scoring" in changes else {}),
            },
            "division": {"method": "superpixel", "options": {}, "hash": changes.pop("division", "d")},
            "prompt": {
                "name": "class",
                "hash": changes.pop("prompt", "p"),
                "zero_knowledge": changes.pop("zero_knowledge", True),
            },
            "on_failure": changes.pop("on_failure", "zero"),
            "seed": 0,
            "versions": {},
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
        }
        assert not changes
        metrics = {
            "mean": {**dict.fromkeys(METRIC_NAMES, auroc), "n_images": 10, "n_measured": 10, **(mean or {})},
            "categories": {},
            "answers": {"total": 10, "ok": 10, "usable": 10, **(answers or {})},
            "coverage": 1.0,
            "usage": {"input_tokens": None, "output_tokens": None, "cost_usd": 0.5, "seconds": 1.0},
            **({"scores": scores} if scores else {}),
        }
        run = Run(tmp_path / f"run{len(made)}", Manifest.model_validate(facts), metrics, [])
        made.append(run)
        return run

    return make


def ranks(board):
    return [{entry.name: entry.rank for entry in group.entries} for group in board.groups]


def test_rows_under_the_same_conditions_are_ranked_together(make_run):
    """Best first; equal values share a rank; the next rank counts them both."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9), make_run("c", 0.9), make_run("d", 0.1)])
    assert ranks(board) == [{"b": 1, "c": 1, "a": 3, "d": 4}]


@pytest.mark.parametrize(
    "other",
    [{"division": "e"}, {"fingerprint": "g"}, {"prompt": "q"}, {"binary": True}, {"shots": 2}],
    ids=lambda change: next(iter(change)),
)
def test_other_conditions_are_another_table(make_run, other):
    """Another division, data set, prompt, painting or number of reference images is not ranked together."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9, **other)])
    assert sorted(ranks(board), key=str) == [{"a": 1}, {"b": 1}]


def test_frame_rows_stand_in_every_table_unranked(make_run):
    """Chance, contrast and oracle are asked nothing: they join each prompt's table of their division, unranked."""
    frame = make_run("oracle", 1.0, frame=True, prompt="")
    board = make_board([frame, make_run("a", 0.7), make_run("b", 0.8, prompt="q"), make_run("c", 0.6, division="e")])
    tables = ranks(board)
    assert sum("oracle" in table for table in tables) == 2
    assert {"oracle": None, "a": 1} in tables
    assert {"c": 1} in tables


def test_dense_rows_and_left_out_failures_stand_apart(make_run):
    """A dense row, and a row that left failed images out, are shown without a rank and say why."""
    dense = make_run("winclip", 0.9, row="dense", division="", prompt="")
    partial = make_run("b", 0.95, on_failure="exclude", mean={"n_measured": 7}, answers={"refused": 3})
    board = make_board([make_run("a", 0.7), dense, partial])
    (group,) = board.groups
    notes = {entry.name: (entry.rank, " ".join(entry.notes)) for entry in group.entries}
    assert notes["a"] == (1, "")
    assert notes["winclip (dense)"][0] is None
    assert "not through the regions" in notes["winclip (dense)"][1]
    assert notes["b"][0] is None
    assert "7 of 10 images" in notes["b"][1]
    assert "3 refused" in notes["b"][1]


def test_maps_made_with_references_stand_with_rows_that_had_as_many(make_run):
    """A dense few-shot row is in no zero-shot table, and has its own where nothing else had as many references."""
    zero, few = (make_run(f"m{shots}", row="dense", division="", prompt="", shots=shots) for shots in (0, 2))
    plain, shown = make_run("a"), make_run("b", shots=2)
    names = [{entry.name for entry in group.entries} for group in make_board([plain, zero, few]).groups]
    assert sorted(names, key=len) == [{"m2 (dense)"}, {"a", "m0 (dense)"}]
    titles = {group.title: {entry.name for entry in group.entries} for group in make_board([plain, shown, few]).groups}
    (with_references,) = (names for title, names in titles.items() if "2 reference images" in title)
    assert with_references == {"b", "m2 (dense)"}


def test_rows_of_one_name_say_in_what_they_differ(make_run):
    """The options that differ, in each of them; not those that agree."""
    one = make_run("w", identity={"variant": "paper", "weights": "0" * 64, "tau": 1})
    other = make_run("w", identity={"variant": "zqhang", "weights": "1" * 64, "tau": 1})
    (group,) = make_board([one, other]).groups
    notes = {entry.notes[0] for entry in group.entries}
    assert notes == {f"variant paper, weights {'0' * 24}", f"variant zqhang, weights {'1' * 24}"}


def test_what_is_missing_is_said(make_run):
    """Failures, the range they leave, and a prompt that tells the kinds of defect are notes of the row."""
    run = make_run(
        "a",
        0.7,
        answers={"ok": 7, "refused": 1, "failed": 2, "usable": 7},
        mean={"range": {"image_auroc": [0.6, 0.81]}},
        zero_knowledge=False,
    )
    (entry,) = make_board([run]).groups[0].entries
    text = " ".join(entry.notes)
    assert "1 refused, 2 failed" in text
    assert "60.0 to 81.0" in text
    assert "not zero-knowledge" in text
    one_label = make_run("a", 0.7, mean={"image_auroc": None, "range": {"pixel_auroc": [0.6, 0.81]}})
    (entry,) = make_board([one_label]).groups[0].entries
    assert not any("whatever" in note for note in entry.notes), "a range of a metric that is undefined"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"ok": 10, "usable": 10}, ""),
        ({"ok": 8, "partial": 2, "usable": 10}, ""),
        ({"ok": 7, "refused": 3, "usable": 7}, "3 of 10 images have no usable answer (3 refused)"),
        (
            {"ok": 2, "refused": 3, "truncated": 5, "usable": 6},
            "4 of 10 images have no usable answer (3 refused, 5 truncated; 4 of these with a score all the same)",
        ),
        ({"ok": 8, "truncated": 2, "usable": 10}, "2 truncated, with a score all the same"),
    ],
)
def test_how_answers_ended_is_said_in_one_way(make_run, answers, said):
    """Whoever reads the table's note and the end of a bench reads the same; a cut answer may be usable."""
    assert outcomes({"total": 10, **answers}) == said
    (entry,) = make_board([make_run("a", answers=answers)]).groups[0].entries
    assert entry.notes == ((said,) if said else ())


def test_expected_scores_are_marked(make_run):
    """Rows of both scorings are ranked together; the note says which are expected values, and of how many scores."""
    whole = make_run("a", 0.7, scoring="expected", scores={"total": 20, "expected": 20})
    part = make_run("b", 0.8, scoring="expected", scores={"total": 20, "expected": 15})
    (group,) = make_board([whole, part, make_run("c", 0.9)]).groups
    notes = {entry.name: (entry.rank, entry.notes) for entry in group.entries}
    assert notes["a"] == (3, ("scores are expected values",))
    assert notes["b"] == (2, ("scores are expected values (15 of 20; the others as written)",))
    assert notes["c"] == (1, ())


def test_a_row_with_failed_questions_is_not_ranked(make_run):
    """Its coverage differs from the others' until the failed questions are asked again."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9, answers={"failed": 1})])
    assert ranks(board) == [{"b": None, "a": 1}]


def test_a_title_is_that_of_the_divided_rows(make_run):
    """A dense row of an earlier bench does not name the table."""
    dense = make_run("contrast", row="dense", division="", prompt="")
    (group,) = make_board([dense, make_run("oracle", frame=True, prompt="")]).groups
    assert group.title.split(" · ")[1] == "superpixel division d"


def test_the_frame_stands_apart(make_run):
    """Below all other rows that were measured, whatever its values, and above published ones, under a heading."""
    runs = [make_run("oracle", 1.0, frame=True, prompt="", dataset="mvtec"), make_run("a", 0.2, dataset="mvtec")]
    board = make_board([*runs, make_run("d", 0.9, row="dense", division="", prompt="", dataset="mvtec")])
    (group,) = board.groups
    found = [(one.heading, [entry.kind for entry in one.entries]) for one in sections(group)]
    assert found == [("", ["apart", "ranked"]), ("frame rows", ["frame"]), ("published", ["published"] * 2)]
    out = io.StringIO()
    print_board(board, Console(file=out, width=100))
    for text in (out.getvalue(), FORMATS["md"](board), FORMATS["tex"](board)):
        places = [re.search(rf"\b{word}\b", text).start() for word in ("d", "frame rows", "oracle", "published")]
        assert places == sorted(places)


def test_intervals_are_shown_by_their_ends(make_run):
    """Where ranks differ the ends shown do, too: 100 is written of 1 alone."""
    top = make_run("top", 1.0, mean={"interval": {"image_auroc": [1.0, 1.0]}})
    next_best = make_run("next", 0.969, mean={"interval": {"image_auroc": [0.846, 0.9996]}})
    board = make_board([top, next_best])
    assert ranks(board) == [{"top": 1, "next": 2}]
    shown = [cells(entry, "image_auroc")[2] for entry in board.groups[0].entries]
    assert shown == ["100.0 (100\u2013100)", "96.9 (85\u201399.9)"]
    assert r"96.9} {\scriptsize 85--99.9}" in FORMATS["tex"](board)
    assert "--resamples 0" not in FORMATS["md"](board)


def test_why_an_interval_is_missing_is_said(make_run):
    """Below the table, in the terminal, Markdown and LaTeX."""
    board = make_board([make_run("a")])
    out = io.StringIO()
    print_board(board, Console(file=out, width=100))
    assert "No interval: --resamples 0" in out.getvalue()
    assert "95 % interval" not in out.getvalue()
    assert "No interval: --resamples 0" in FORMATS["md"](board)
    assert "No interval: " in FORMATS["tex"](board)


def test_undefined_values_are_not_the_best(make_run):
    """In LaTeX no mark stands on what is undefined."""
    runs = [make_run(name, mean={"pixel_ap": None}) for name in "ab"]
    text = FORMATS["tex"](make_board(runs))
    assert " & -- & " in text
    assert r"{--}" not in text


def test_published_rows_appear_with_their_source(make_run):
    """On MVTec AD and VisA the papers' numbers stand last, unranked, marked as not measured here; on other data not."""
    board = make_board([make_run("a", 0.99, dataset="mvtec")])
    (group,) = board.groups
    assert [entry.kind for entry in group.entries] == ["ranked", "published", "published"]
    assert group.entries[1].metrics["image_auroc"] == pytest.approx(0.771)
    assert "not measured here" in group.entries[1].notes[0]
    assert "arXiv 2311.02612" in group.entries[1].notes[0]
    assert len(make_board([make_run("a")]).groups[0].entries) == 1
    part = make_run("b", dataset="mvtec")
    dataset = part.manifest.dataset.model_copy(update={"whole": False})
    part = replace(part, manifest=part.manifest.model_copy(update={"dataset": dataset}))
    assert len(make_board([part]).groups[0].entries) == 1, "of a part of the images nothing was published"


def test_an_undefined_metric_is_not_ranked(make_run):
    """A row without the sorting metric is shown last, without a rank."""
    board = make_board([make_run("a", mean={"image_auroc": None}), make_run("b", 0.4)])
    assert ranks(board) == [{"b": 1, "a": None}]
    assert list(ranks(board)[0]) == ["b", "a"]


def test_sorting_by_another_metric(make_run):
    """Any of the seven metrics may rank; another name is answered with the nearest."""
    runs = [make_run("a", 0.9, mean={"pixel_aupro": 0.1}), make_run("b", 0.4, mean={"pixel_aupro": 0.2})]
    assert ranks(make_board(runs, "pixel_aupro")) == [{"b": 1, "a": 2}]
    with pytest.raises(ConfigError, match=r"Did you mean .*'pixel_aupro'"):
        make_board(runs, "pixel_aupr")


def test_two_runs_of_one_model_are_told_apart(make_run):
    """Equal names get the beginning of their configuration's hash."""
    names = [entry.name for entry in make_board([make_run("a"), make_run("a")]).groups[0].entries]
    assert len(set(names)) == 2
    assert all(name.startswith("a #") for name in names)


def test_an_unusual_size_is_in_the_title(make_run):
    """A table measured at another size than 768 x 768 says so."""
    run = make_run("a")
    other = run.manifest.model_copy(update={"protocol": {**run.manifest.protocol, "image_size": 256}})
    titles = [group.title for group in make_board([run, Run(run.dir, other, run.metrics, [])]).groups]
    assert sum("256 x 256" in title for title in titles) == 1


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_carries_every_row(make_run, form):
    """All rows, frame and published ones included, are in each format."""
    runs = [make_run("alpha", 0.7, dataset="visa"), make_run("oracle", 1.0, frame=True, prompt="", dataset="visa")]
    text = FORMATS[form](make_board(runs))
    for name in ("alpha", "oracle", "GPT-4V-AD", "WinCLIP"):
        assert name in text
    assert ("0.7" in text) if form in {"csv", "json"} else ("70.0" in text)


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_a_narrow_terminal_keeps_names_and_the_metric_that_ranks(make_run, width):
    """Columns go, and it says which; the rest is whole, and no line is longer than the terminal."""
    paid = {"usage": {"cost_usd": 0.5}}
    runs = [make_run("gpt-4o-2024-08-06", 0.5, mean=paid), make_run("a local model", 0.25)]
    out = io.StringIO()
    print_board(make_board(runs, "pixel_aupro"), Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for name, value in (("gpt-4o-2024-08-06", "50.0"), ("a local model", "25.0")):
        assert sum(name in line and value in line for line in lines) == 1
    heads = next(line for line in lines if "Model" in line)
    gone = re.search(r"No room here for: (.*?);", " ".join(lines))
    assert heads.split()[-2:] == ["image", "point"] if gone is None else "USD/point" in gone[1]
    assert "PRO" in heads
    assert gone is None or "PRO" not in gone[1]


def test_csv_and_json_hold_fractions_and_the_same_rows(make_run):
    """Read back, both hold the same metrics as fractions, empty or null where undefined."""
    board = make_board([make_run("a", 1 / 3, mean={"pixel_ap": None})])
    (line,) = csv.DictReader(io.StringIO(FORMATS["csv"](board)))
    (entry,) = json.loads(FORMATS["json"](board))["groups"][0]["entries"]
    assert float(line["image_auroc"]) == entry["metrics"]["image_auroc"] == 1 / 3
    assert line["pixel_ap"] == ""
    assert entry["metrics"]["pixel_ap"] is None


def test_the_best_is_bold_and_the_second_underlined(make_run):
    """In LaTeX, among the ranked rows alone."""
    runs = [make_run("a", 0.7), make_run("b", 0.9), make_run("oracle", 1.0, frame=True, prompt="")]
    text = FORMATS["tex"](make_board(runs))
    assert r"\textbf{90.0}" in text
    assert r"\underline{70.0}" in text
    assert r"\textbf{100.0}" not in text


def test_a_strangers_names_do_no_harm(make_run):
    """Markup, HTML, escapes and LaTeX in a model's name come out as text in every format."""
    name = "<b>x</b>|\x1b[31m`rm`\\input{/etc/passwd}_$&%#"
    board = make_board([make_run(name)])
    markdown, latex = FORMATS["md"](board), FORMATS["tex"](board)
    assert "<b>" not in markdown
    assert r"\|" in markdown
    assert r"\input" not in latex
    assert r"\_\$\&\%\#" in latex
    assert not any(re.search(r"[\x00-\x09\x0b-\x1f]", FORMATS[form](board)) for form in ("md", "tex", "csv"))


def test_a_run_is_written_and_read_back(make_run, tmp_path):
    """Manifest, metrics and predictions survive; a reader can leave the predictions out."""
    record = PredictionRecord(
        id="a/good/0",
        category="a",
        label=False,
        defect="good",
        image_score=None,
        regions={2: 0.5},
        n_regions=3,
        status="refused",
        notes=["no"],
        key="k",
        text="I can't \ud800 \x1b",
        input_tokens=None,
        output_tokens=3,
        cost_usd=None,
        seconds=0.1,
        division="h",
    )
    made = make_run("a", n_images=1)
    of_it = made.manifest.dataset.model_copy(update={"categories": ["a"]})
    made = replace(made, manifest=made.manifest.model_copy(update={"dataset": of_it}))
    write_run(Run(made.dir, made.manifest, made.metrics, [record.model_copy(update={"text": "I can't \x1b"})]))
    back = read_run(made.dir)
    assert back.manifest == made.manifest
    assert back.metrics == made.metrics
    assert back.predictions[0].regions == {2: 0.5}
    assert back.predictions[0].text == "I can't \x1b"
    assert read_run(made.dir, predictions=False).predictions == []
    assert find_runs(tmp_path) == [made.dir] == find_runs(made.dir)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("run.json", '{"schema_version": 99}', "newer lvlm-ad"),
        ("run.json", "{", "damaged"),
        ("run.json", '{"schema_version": 1}', "config_hash"),
        ("run.json", "[]", "damaged"),
        ("metrics.json", "{}", "metrics.json: mean: Field required"),
        ("metrics.json", "[]", "metrics.json: it: "),
        ("metrics.json", "[" * 100_000, "damaged"),
        ("run.json", "[" * 100_000, "damaged"),
        ("metrics.json", None, "incomplete"),
        ("predictions.jsonl", "{}\n", "damaged"),
    ],
)
def test_damaged_and_newer_runs_are_refused(make_run, file, content, says):
    """Each gives one line with the folder and what is wrong."""
    run = make_run("a")
    write_run(run)
    if content is None:
        (run.dir / file).unlink()
    else:
        (run.dir / file).write_text(content)
    with pytest.raises(RunError, match=says):
        read_run(run.dir)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mean", []),
        ("mean.image_auroc", float("nan")),
        ("mean.image_auroc", "0.5"),
        ("mean.pixel_ap", 7),
        ("mean.interval", None),
        ("mean.interval", {"image_auroc": None}),
        ("mean.interval", {"image_auroc": ["a", "b"]}),
        ("mean.interval", {"image_auroc": [0.5]}),
        ("mean.interval", {"image_auroc": [0.6, 0.5]}),
        ("mean.interval", {"image_auroc": [-5, 7]}),
        ("mean.range", {"image_auroc": [None, 1]}),
        ("mean.undefined", []),
        ("mean.undefined", {"pixel_ap": {}}),
        ("mean.n_images", "many"),
        ("categories.a", []),
        ("answers", {}),
        ("answers.usable", None),
        ("answers.refused", "many"),
        ("answers.total", 0),
        ("usage", {}),
        ("usage.cost_usd", "0.5"),
        ("usage.cost_usd", -5.0),
        ("usage.seconds", 1e300),
        ("coverage", "all"),
        ("coverage", 2.5),
    ],
)
def test_every_part_of_metrics_is_checked(make_run, tmp_path, place, value):
    """Valid JSON with a wrong value is told with its place and left out; other runs are shown."""
    runs = [make_run("a"), make_run("b")]
    for run in runs:
        write_run(run)
    file = runs[0].dir / "metrics.json"
    content = json.loads(file.read_text())
    *parents, last = place.split(".")
    part = content
    for name in parents:
        part = part[name]
    part[last] = value
    file.write_text(json.dumps(content))
    found, (problem,) = read_runs(tmp_path)
    assert [run.manifest.model.name for run in found] == ["b"]
    assert f"run0 is damaged: metrics.json: {place}" in problem


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("dataset.categories", []),
        ("dataset.n_images", 0),
        ("protocol", {"shots": "two"}),
        ("protocol", {"shots": None}),
        ("protocol", {"image_size": -1}),
        ("seconds", 1e300),
    ],
)
def test_every_part_of_a_manifest_is_checked(make_run, place, value):
    """What tables and pages read of it is of the right kind."""
    run = make_run("a")
    write_run(run)
    content = json.loads((run.dir / "run.json").read_text())
    *parents, last = place.split(".")
    part = content
    for name in parents:
        part = part[name]
    part[last] = value
    (run.dir / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"run.json: {place}"):
        read_run(run.dir)


def test_a_folder_without_a_manifest_is_told(make_run, tmp_path):
    """A run that was copied in part is no run, and does not vanish without a word."""
    runs = [make_run("a"), make_run("b")]
    for run in runs:
        write_run(run)
    (runs[0].dir / "run.json").unlink()
    found, problems = read_runs(tmp_path)
    assert [run.dir for run in found] == [runs[1].dir]
    assert problems == [f"The run {runs[0].dir} is incomplete: run.json is missing."]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "\u2013"),
        (0.0, "0.00"),
        (12.345, "12.35"),
        (0.0123, "0.012"),
        (0.1572625, "0.16"),
        (3e-8, "0.00000003"),
        (1.23e-9, "0.0000000012"),
    ],
)
def test_amounts_keep_two_digits(value, shown):
    """However small."""
    assert usd(value) == shown


def test_markdown_renders_as_the_table_it_is(make_run):
    """Each cell, whatever a name holds, arrives as written in a Markdown renderer's HTML, and no other element."""
    from markdown_it import MarkdownIt

    name = "a|b*c*_d_`e`<b>f</b>&amp;[g](h)\\"
    board = make_board([make_run(name, 0.7), make_run("b", 0.9), make_run("oracle", 1.0, frame=True)])
    page = ET.fromstring(f"<page>{MarkdownIt('commonmark').enable('table').render(FORMATS['md'](board))}</page>")
    (table,) = page.iter("table")
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    (group,) = board.groups
    shown = [cells(entry, board.sort) for entry in group.entries]
    assert rows == [list(HEADERS), *shown[:2], ["", "frame rows", *[""] * 11], shown[2]]
    assert {element.tag for element in page.iter()} <= {
        "page",
        "h3",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "em",
        "ul",
        "li",
    }


def test_a_spreadsheet_reads_no_formula(make_run):
    """A stranger's name is text in every cell of the CSV."""
    board = make_board([make_run('=HYPERLINK("http://x","y")')])
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"](board)))
    assert row["model"] == '\'=HYPERLINK("http://x","y")'


def test_tables_of_other_images_have_other_titles(make_run):
    """Two parts of a data set, of as many images, are told apart."""
    board = make_board([make_run("a", fingerprint="1" * 64), make_run("b", fingerprint="2" * 64)])
    assert [group.title.rpartition(" · ")[2] for group in board.groups] == ["images 11111111", "images 22222222"]


def copied(run, of, **changes):
    """A run under the configuration of another, made later."""
    update = {"config_hash": of.manifest.config_hash, "started": "2026-02-01T00:00:00+00:00"}
    return replace(run, manifest=run.manifest.model_copy(update=update), **changes)


def test_of_two_copies_of_a_run_the_newest_stands_and_says_so(make_run):
    """Their configuration has one hash and they found the same; neither vanishes without a word."""
    old, new = make_run("a", 0.5), make_run("a", 0.5 + 1e-9)
    (group,) = make_board([copied(new, old), old]).groups
    (row,) = group.entries
    assert row.metrics["image_auroc"] > 0.5
    assert row.notes[0] == f"the newest of 2 runs of one configuration, {new.dir.name}"


def test_no_run_displaces_another_that_found_something_else(make_run):
    """Who puts a later run of a rival's configuration beside it stands beside it, and both say so."""
    old, new = make_run("a", 0.9), make_run("a", 0.5)
    (group,) = make_board([copied(new, old), old]).groups
    assert [row.metrics["image_auroc"] for row in group.entries] == [0.9, 0.5]
    for row, run in zip(group.entries, (old, new), strict=True):
        assert row.notes[0] == f"one of 2 runs of one configuration that differ, {run.dir.name}"


def test_verified_rows_whose_scores_cannot_be_recomputed_are_not_ranked(make_run):
    """Expected values need probabilities, which a run does not hold."""
    runs = [make_run("a", 0.9, scoring="expected"), make_run("b", 0.7)]
    assert ranks(make_board(runs)) == [{"a": 1, "b": 2}]
    assert ranks(make_board(runs, verified=True)) == [{"a": None, "b": 1}]


def test_a_data_set_of_another_name_is_another_table(make_run):
    """A run that calls its images otherwise does not rename the table of others, nor bring published rows into it."""
    board = make_board([make_run("a"), make_run("b", dataset="mvtec")])
    names = [(group.conditions["dataset"], [entry.name for entry in group.entries][:1]) for group in board.groups]
    assert names == [("demo", ["a"]), ("mvtec", ["b"])]
    assert [entry.kind for entry in board.groups[0].entries] == ["ranked"]


def test_one_damaged_run_does_not_hide_the_others(make_run, tmp_path):
    """The others are read, and what is wrong with the damaged one is said."""
    runs = [make_run("a"), make_run("b")]
    for run in runs:
        write_run(run)
    (runs[0].dir / "run.json").write_text("{")
    found, problems = read_runs(tmp_path)
    assert [run.manifest.model.name for run in found] == ["b"]
    assert len(problems) == 1
    assert "run0 is damaged" in problems[0]


def test_json_and_csv_hold_the_same_leaderboard(make_run):
    """What is read from JSON is the leaderboard that was written; CSV has the same rows with the same numbers."""
    ends = {"interval": {"image_auroc": [0.6, 0.8], "pixel_ap": [0.1, 0.9]}}
    board = make_board([make_run("a", 0.7, mean=ends), make_run("b", 0.9, dataset="mvtec"), make_run("c", frame=True)])
    text = FORMATS["json"](board)
    assert read_json(text) == board
    assert {kind: FORMATS[kind](read_json(text)) for kind in FORMATS} == {
        kind: FORMATS[kind](board) for kind in FORMATS
    }
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    entries = [(group, entry) for group in board.groups for entry in group.entries]
    assert len(rows) == len(entries)
    for row, (group, entry) in zip(rows, entries, strict=True):
        assert (row["group"], row["model"], row["kind"]) == (group.title, entry.name, entry.kind)
        assert (row["notes"], row["run"]) == ("; ".join(entry.notes), entry.run)
        numbers = {"rank": entry.rank, "coverage": entry.coverage, **entry.metrics}
        numbers |= {name: getattr(entry, name) for name in ("cost_usd", "usd_per_image", "usd_per_point")}
        for name in METRIC_NAMES:
            ends = entry.intervals.get(name, (None, None))
            numbers |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
        assert {name: float(row[name]) if row[name] else None for name in numbers} == numbers
        assert set(row) == {"group", "model", "kind", "notes", "run", *numbers}, "every column was read"
    for wrong in ("{}", "[]", "null", "[" * 100_000, '{"groups": [{"title": 1}]}'):
        with pytest.raises(RunError, match="no leaderboard as JSON"):
            read_json(wrong)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: apt-get install texlive-latex-base")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_the_table_compiles(make_run, tmp_path, columns):
    """With LaTeX, the two packages that it names, and any name a stranger may choose; it fits into the page."""
    wild = 'a_b & c% $x$ #1 {y} ~ ^ \\z <t> | " ± é · µ \u2764 \u6f22 \u2013 \u201cq\u201d ß Ż \ufb01 \x1b'
    long = {"model": "w" * 400, "base_url": "http://127.0.0.1:8000/" + "v" * 200}
    runs = [make_run(wild, 0.7), make_run("b", 0.9, identity=long), make_run("n" * 400, dataset="mvtec")]
    board = make_board([*runs, make_run("chance", frame=True, dataset="mvtec")])
    packages = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    (tmp_path / "t.tex").write_text(f"{packages}\n{FORMATS['tex'](board)}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_a_long_name_leaves_room_in_latex(make_run):
    """Its middle is left out: the table is scaled to the page, and ends tell names apart."""
    text = FORMATS["tex"](make_board([make_run(f"{'n' * 400}-{end}") for end in "ab"]))
    assert "n" * 29 not in text
    assert {f"...{'n' * 12}-a", f"...{'n' * 12}-b"} <= set(re.findall(r"\.\.\.n+-\w", text))
