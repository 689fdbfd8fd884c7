"""Exports of results: valid in the forms of the sites that list them, and only of rows that may be listed there."""

import json
import re
import runpy
import unicodedata
from pathlib import Path, PurePosixPath

import jsonschema
import pytest
import yaml

from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import make_board
from lvlm_ad.presets import ExportTargets, load_exports
from lvlm_ad.runs import read_runs
from lvlm_ad.site.exports import export_files

TESTS = Path(__file__).parents[1]
LEADERBOARD = runpy.run_path(str(TESTS / "leaderboard" / "conftest.py"))
make_run, make_reference_row = LEADERBOARD["make_run"], LEADERBOARD["make_reference_row"]
make_own_map = LEADERBOARD["make_own_map"]

TABLES = "exports/evaluation-tables.json"
QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"
STATED = """
source_url = "https://example.org/leaderboard/"
source_name = "Our leaderboard"

[datasets.demo.huggingface]
id = "our-lab/demo-benchmark"
tasks = { image_auroc = "detection", pixel_aupro = "localization" }

[datasets.demo.paperswithcode]
task_id = 7
dataset_id = 42
metrics = { image_auroc = "Image AUROC", pixel_ap = "Pixel AP" }
"""

LINKS = {"type": "array", "items": {"$ref": "#/$defs/link"}}
TEXT = {"type": "string"}


def closed(**properties):
    """The schema of an object that has exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SOTA = closed(
    metrics={"type": "array", "items": TEXT},
    rows={
        "type": "array",
        "items": closed(
            model_name={**TEXT, "minLength": 1},
            paper_title=TEXT,
            paper_url=TEXT,
            paper_date={"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\d$"},
            code_links=LINKS,
            model_links=LINKS,
            metrics={"type": "object", "additionalProperties": {"type": ["number", "string"]}},
        ),
    },
)
OF_DATASET = {
    "description": TEXT,
    "dataset_links": LINKS,
    "dataset_citations": LINKS,
    "sota": SOTA,
    "subdatasets": {"type": "array", "items": {"$ref": "#/$defs/subdataset"}},
}
EVALUATION_TABLES = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "items": {"$ref": "#/$defs/task"},
    "$defs": {
        "link": closed(title=TEXT, url=TEXT),
        "subdataset": closed(subdataset=TEXT, **OF_DATASET),
        "dataset": closed(dataset=TEXT, **OF_DATASET),
        "task": closed(
            task={**TEXT, "minLength": 1},
            description=TEXT,
            subtasks={"type": "array", "items": {"$ref": "#/$defs/task"}},
            datasets={"type": "array", "items": {"$ref": "#/$defs/dataset"}},
            source_link={"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]},
        ),
    },
}
"""Written after the section "JSON format description" of the README of github.com/paperswithcode/sota-extractor, and,
for a date that may be null, after sota_extractor/taskdb/v01/schemas.py there."""

PAPER_EDITS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "minItems": 1,
    "maxItems": 50,
    "items": closed(
        section={"const": "evaluations"},
        payload={
            "type": "object",
            "properties": {
                "task_id": {"type": "integer", "minimum": 1},
                "dataset_id": {"type": "integer", "minimum": 1},
                "model_name": {**TEXT, "minLength": 1},
                "methodology": TEXT,
                "metrics": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "number"}},
                "source_url": {**TEXT, "pattern": "^https?://"},
            },
            "required": ["task_id", "dataset_id", "model_name", "metrics"],
            "additionalProperties": False,
        },
    ),
}
"""Written after "Edit a paper with your agent" in standalone_cli/README.md of github.com/huggingface/pwc-cli."""

EVAL_RESULTS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "dataset": {
                "type": "object",
                "properties": {"id": {**TEXT, "pattern": "^[^/]+/[^/]+$"}, "task_id": TEXT, "revision": TEXT},
                "required": ["id", "task_id"],
                "additionalProperties": False,
            },
            "value": {"type": "number"},
            "verifyToken": TEXT,
            "date": {**TEXT, "pattern": r"^\d{4}-\d\d-\d\d"},
            "source": {
                "type": "object",
                "properties": {"url": {**TEXT, "pattern": "^https?://"}, "name": TEXT, "user": TEXT, "org": TEXT},
                "required": ["url"],
                "additionalProperties": False,
            },
            "notes": TEXT,
        },
        "required": ["dataset", "value"],
        "additionalProperties": False,
    },
}
"""Written after docs/hub/eval-results.md and eval_results.yaml of github.com/huggingface/hub-docs."""


@pytest.fixture
def targets(tmp_path):
    """What an owner states about the benchmarks of the data set "demo"."""
    path = tmp_path / "exports.toml"
    path.write_text(STATED)
    return load_exports(str(path))


def local(name=QWEN, plugin="transformers", **identity):
    """The "model" of a manifest: a model that ran on this machine."""
    return {"plugin": plugin, "identity": {"model": name, **identity}}


def exported(runs, targets):
    """The exports of runs; each is valid in its form, and its path leads nowhere else."""
    files = export_files(make_board(runs), runs, targets)
    for path, text in files.items():
        assert re.fullmatch(r"exports(/[A-Za-z0-9_.-]+)+", path)
        assert not {"..", "."} & set(PurePosixPath(path).parts)
        schema = EVALUATION_TABLES if path == TABLES else PAPER_EDITS if "paperswithcode" in path else EVAL_RESULTS
        value = yaml.safe_load(text) if path.endswith(".yaml") else json.loads(text)
        jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
        assert not any(unicodedata.category(one) in {"Cc", "Cf"} for one in text.replace("\n", ""))
    return files


def tables_of(files):
    """Data set -> title of its table -> names of its rows."""
    (task,) = json.loads(files[TABLES])
    return {
        one["dataset"]: {
            sub["subdataset"]: [row["model_name"] for row in sub["sota"]["rows"]] for sub in one["subdatasets"]
        }
        for one in task["datasets"]
    }


def test_hub_files_are_read_by_the_hubs_own_library(make_run, targets):
    """A file for each run of a model at the hub: ids as stated, percent, date, source, and the conditions as notes."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with the extra 'local'")
    answers = {"usable": 76, "ok": 76, "refused": 4}
    run = make_run(
        "qwen",
        0.771,
        model=local(),
        answers=answers,
        versions={"lvlm-ad": "0.2.0"},
        started="2026-05-04T23:30:00-02:00",
    )
    other = make_run("qwen", 0.6, model=local(), method={"name": "boxes"})
    run.metrics["coverage"] = 0.95
    files = exported([run, other], targets)
    folder = f"exports/huggingface/{QWEN}/.eval_results"
    path = f"{folder}/demo_{run.manifest.config_hash[:8]}.yaml"
    assert sorted(path for path in files if ".eval_results" in path) == sorted(
        f"{folder}/demo_{one.manifest.config_hash[:8]}.yaml" for one in (run, other)
    )
    entries = hub.parse_eval_result_entries(yaml.safe_load(files[path]))
    assert [(one.dataset_id, one.task_id, one.value) for one in entries] == [
        ("our-lab/demo-benchmark", "detection", 77.1),
        ("our-lab/demo-benchmark", "localization", 77.1),
    ]
    for one in entries:
        assert (one.date, one.source_url, one.source_name) == (
            "2026-05-05",
            "https://example.org/leaderboard/",
            "Our leaderboard",
        )
        for part in (
            "method regions",
            "superpixel division",
            "prompt class",
            "zero-shot",
            "95.0 % of the images",
            "4 refused",
            "lvlm-ad 0.2.0",
        ):
            assert part in one.notes
    assert hub.eval_result_entries_to_yaml(entries) == yaml.safe_load(files[path])


def test_only_models_at_the_hub_have_hub_files(make_run, targets):
    """An endpoint's name and a local folder's name are no name at the hub; no path leads out of the site."""
    runs = [
        make_run("endpoint", model=local("openrouter/qwen", plugin="openai")),
        make_run("folder", model=local("Qwen2.5-VL-7B-Instruct")),
        make_run("up", model=local("../../etc")),
        make_run("deep", model=local("a/../b")),
        make_run("here", model=local("./b")),
        make_run("number", model=local(7)),
        make_run("vllm", model=local("org/model", plugin="vllm", quantize="fp8")),
    ]
    files = exported(runs, targets)
    (path,) = [path for path in files if ".eval_results" in path]
    assert path.startswith("exports/huggingface/org/model/.eval_results/demo_")
    assert "quantize fp8" in yaml.safe_load(files[path])[0]["notes"]


def test_without_stated_benchmarks_there_are_only_tables(make_run):
    """No id is guessed."""
    assert list(exported([make_run("qwen", model=local())], ExportTargets())) == [TABLES]
    assert list(exported([], ExportTargets())) == [TABLES]


def test_rows_that_may_not_be_listed_are_nowhere(make_run, make_reference_row, make_own_map, targets):
    """Reference rows, own maps, parts of the test split, missing answers, other images, other limits, and studies."""
    kept = make_run("kept", 0.8, model=local())
    left_out = [
        make_reference_row("chance"),
        make_own_map("dense"),
        make_run("part", whole=False, model=local()),
        make_run("unanswered", answers={"unasked": 3}, model=local()),
        make_run("excluded", on_failure="exclude", mean={"n_measured": 70}, model=local()),
        make_run("truth", model=local() | {"sees_truth": True}),
        make_run("blind", protocol={"withhold": "image"}, model=local()),
        make_run("other-limit", protocol={"fpr_limit": 0.05}, model=local()),
        make_run("undefined", mean={"image_auroc": None}, model=local()),
    ]
    files = exported([kept, *left_out], targets)
    assert [names for of_set in tables_of(files).values() for names in of_set.values()] == [["kept"]]
    assert len(files) == 3
    assert set(exported(left_out, targets)) == {TABLES}


def test_evaluation_tables_keep_apart_what_cannot_be_compared(make_run, targets):
    """A data set has a table for each set of conditions, with values in percent; known sets have their usual name."""
    runs = [
        make_run("a", 0.5, dataset="mvtec", model=local()),
        make_run("b", 0.7125, dataset="mvtec", mean={"pixel_ap": None, "image_ap": 0.123456}),
        make_run("c", 0.9, dataset="mvtec", prompt="q"),
        make_run("d", 0.6, dataset="mine"),
    ]
    files = exported(runs, targets)
    found = tables_of(files)
    assert list(found) == ["mine", "MVTec AD"]
    assert sorted(found["MVTec AD"].values()) == [["b", "a"], ["c"]]
    (task,) = json.loads(files[TABLES])
    assert task["source_link"] == {"title": "Our leaderboard", "url": "https://example.org/leaderboard/"}
    sota = next(one["sota"] for one in task["datasets"][1]["subdatasets"] if len(one["sota"]["rows"]) == 2)
    first, second = sota["rows"]
    assert (first["metrics"]["Image AUROC"], first["metrics"]["Image AP"]) == (71.25, 12.35)
    assert "Pixel AP" not in first["metrics"]
    assert second["metrics"]["Pixel AP"] == 50.0
    assert set(sota["metrics"]) == {*first["metrics"], *second["metrics"]}
    assert second["model_links"] == [{"title": QWEN, "url": f"https://huggingface.co/{QWEN}"}]


def test_edits_of_papers_have_at_most_fifty_operations(make_run, targets):
    """Each row is an operation with the stated ids and names of metrics; a data set with more has several files."""
    runs = [make_run(f"m{number}", 0.4 + number / 200, mean={"pixel_ap": None}) for number in range(51)]
    files = exported(runs, targets)
    first, second = (json.loads(files[f"exports/paperswithcode/demo{part}.json"]) for part in ("", "-2"))
    assert (len(first), len(second)) == (50, 1)
    payload = first[0]["payload"]
    assert (payload["task_id"], payload["dataset_id"], payload["model_name"]) == (7, 42, "m50")
    assert payload["metrics"] == {"Image AUROC": 65.0}
    assert payload["source_url"] == "https://example.org/leaderboard/"
    assert "zero-shot" in payload["methodology"]


def test_hostile_names_stay_text(make_run, targets):
    """YAML keeps every name as text, whatever it looks like, on one line and of a bounded length."""
    hostile = "*x: !!python/object/apply:os.system ['id']\n- {a: #b \x1b[2J\u202e\u0085 \U0001f600 " + "n" * 5000
    model = local() | {"name": hostile, "notes": ["no", "---", hostile]}
    run = make_run("x", model=model, config_hash="../../..", versions={"lvlm-ad": "[]"})
    files = exported([run], targets)
    (path,) = [path for path in files if ".eval_results" in path]
    assert path.endswith("/.eval_results/demo_.yaml")
    notes = yaml.safe_load(files[path])[0]["notes"]
    assert "\N{GRINNING FACE}" in notes
    assert "\n" not in notes
    assert len(notes) <= 1000
    (row,) = json.loads(files[TABLES])[0]["datasets"][0]["subdatasets"][0]["sota"]["rows"]
    assert row["model_name"] == hostile


def test_runs_with_one_hash_share_a_file(make_run, targets):
    """A copy of a run, or a run that claims another's hash, does not take the place of its results."""
    runs = [make_run(name, auroc, model=local(), config_hash="ab" * 32) for name, auroc in (("a", 0.6), ("b", 0.7))]
    files = exported(runs, targets)
    (path,) = [path for path in files if ".eval_results" in path]
    assert sorted(one["value"] for one in yaml.safe_load(files[path])) == [60.0, 60.0, 70.0, 70.0]


def test_runs_of_version_0_1_are_exported(targets):
    """Real run folders: whole runs alone, each in the table of its conditions."""
    runs, _ = read_runs(TESTS / "data" / "v0_1" / "out")
    found = tables_of(exported(runs, targets))["folder"]
    assert sorted(found.values()) == [["gpt-4o"], ["gpt-4o"], ["scripted"]]
    assert not any("(part)" in title for title in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[datasets.demo.huggingface]\nid = 'demo'\ntasks = {image_auroc = 'x'}", "datasets.demo.huggingface.id"),
        ("[datasets.demo.huggingface]\nid = 'a/b'", "datasets.demo.huggingface.tasks"),
        ("[datasets.demo.hub]\nid = 'a/b'", "datasets.demo.hub"),
        ("[datasets.demo.paperswithcode]\ntask_id = 0\ndataset_id = 1\nmetrics = {a = 'b'}", "task_id"),
        ("[datasets.'../x'.huggingface]\nid = 'a/b'\ntasks = {a = 'b'}", "datasets"),
        ("source_url = 'javascript:alert(1)'", "source_url"),
        ("source = 'x'", "or 'source_url'"),
        ("source_url", "not valid TOML"),
    ],
)
def test_a_wrong_file_of_benchmarks_is_one_clear_error(tmp_path, text, message):
    """The message names the file and the field."""
    path = tmp_path / "exports.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load_exports(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["huggingface", "paperswithcode"])
def test_an_unknown_metric_is_named(make_run, kind):
    """A metric that no row has would otherwise be missing without a word."""
    named = {"image_aurok": "x"}
    benchmark = {
        "huggingface": {"id": "a/b", "tasks": named},
        "paperswithcode": {"task_id": 1, "dataset_id": 1, "metrics": named},
    }
    targets = ExportTargets.model_validate({"datasets": {"demo": {kind: benchmark[kind]}}})
    runs = [make_run("a", model=local())]
    with pytest.raises(ConfigError, match=rf"datasets\.demo\.{kind}.*'image_aurok'\. Did you mean .*'image_auroc'"):
        export_files(make_board(runs), runs, targets)
