"""The feeds of a site: valid by their own schema, the same numbers as the leaderboard, harmless whatever a run says."""

import csv
import io
import json
import runpy
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from lvlm_ad.leaderboard import FORMATS, make_board, published_board
from lvlm_ad.runs import METRIC_NAMES, read_runs
from lvlm_ad.site.feed_schema import FEED_KINDS, FEED_VERSION, feed_schema
from lvlm_ad.site.feeds import feed_files

TESTS = Path(__file__).parents[1]
LEADERBOARD = runpy.run_path(str(TESTS / "leaderboard" / "conftest.py"))
make_run, make_reference_row = LEADERBOARD["make_run"], LEADERBOARD["make_reference_row"]
HOSTILE = '=HYPERLINK("http://x","y")</script>\x1b[31m\u202e'

# The members of https://jsonfeed.org/version/1.1 that feeds use; others are allowed there.
JSON_FEED = {
    "type": "object",
    "required": ["version", "title", "items"],
    "properties": {
        "version": {"const": "https://jsonfeed.org/version/1.1"},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "content_text"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "title": {"type": "string"},
                    "content_text": {"type": "string"},
                    "date_published": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def feeds(runs):
    """The feeds of runs by the names of their files."""
    files = feed_files(make_board(runs), published_board(runs), runs)
    assert all(path.startswith("feeds/") and text.endswith("\n") for path, text in files.items())
    return {path.removeprefix("feeds/"): text for path, text in files.items()}


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def runs(make_run, make_reference_row):
    """Two runs of VisA, one of which cannot be ranked, a reference row, and a run of other images."""
    return [
        make_run("alpha", 0.7, dataset="visa", versions={"lvlm-ad": "0.2.0"}),
        make_run("beta", 0.6, dataset="visa", on_failure="exclude", mean={"n_measured": 70, "pixel_ap": None}),
        make_reference_row("oracle", 1.0, dataset="visa"),
        make_run("gamma", 0.9, whole=False, started="2026-03-01T10:00:00+02:00", protocol={"shots": 2}),
    ]


def valid_by_schema(files):
    """Check the JSON feeds against the schema that the site ships with them."""
    schema = json.loads(files["schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name in ("leaderboard.json", "published.json"):
        jsonschema.validate(json.loads(files[name]), schema, jsonschema.Draft202012Validator)
    jsonschema.validate(json.loads(files["runs.json"]), JSON_FEED, jsonschema.Draft202012Validator)
    return True


def test_feeds_are_valid_by_the_schema_beside_them(runs):
    """With runs, with published rows alone, and with a run folder that version 0.1.0 wrote."""
    assert valid_by_schema(feeds(runs))
    assert valid_by_schema(feeds([]))
    frozen, problems = read_runs(TESTS / "data" / "v0_1" / "out")
    assert not problems
    files = feeds(frozen)
    assert valid_by_schema(files)
    assert len(rows_of(files["leaderboard.csv"])) >= len(frozen) > 0


def test_the_schema_refuses_what_is_no_feed(runs):
    """A missing field, an unknown field and a wrong type are found."""
    files = feeds(runs)
    schema, feed = json.loads(files["schema.json"]), json.loads(files["leaderboard.json"])
    row = feed["groups"][0]["entries"][0]
    for change in ({"kind": "best"}, {"coverage": "all"}, {"score": 1}, {"rank": [1]}):
        broken = {**feed, "groups": [{**feed["groups"][0], "entries": [{**row, **change}]}]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema, jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"groups": []}, schema, jsonschema.Draft202012Validator)


def test_each_field_of_the_schema_is_explained_and_required():
    """A reader needs no other text, and finds every field in every row."""
    schema = feed_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        assert sorted(part["required"]) == sorted(part["properties"])
        for name, of in part["properties"].items():
            assert of.get("description", "").endswith("."), name
            assert "\n" not in of["description"], name


def test_the_json_feed_is_the_leaderboard_and_says_where_each_row_comes_from(runs):
    """The version comes first; every value of the JSON leaderboard is there, and configuration, version and date."""
    board = make_board(runs)
    feed, plain = json.loads(feeds(runs)["leaderboard.json"]), json.loads(FORMATS["json"](board))
    assert next(iter(feed)) == "schema_version"
    assert feed["schema_version"] == FEED_VERSION
    known = {run.dir.name: run.manifest for run in runs}
    for group, of_board in zip(feed["groups"], plain["groups"], strict=True):
        for row, entry in zip(group["entries"], of_board["entries"], strict=True):
            kind = FEED_KINDS.get(entry["kind"], entry["kind"])
            assert {name: row[name] for name in entry} == {**entry, "kind": kind}
            manifest = known.get(row["run"])
            assert row["config_hash"] == (manifest.config_hash if manifest else "")
            assert row["started"] == (manifest.started if manifest else "")
    versions = {row["name"]: row["lvlm_ad_version"] for group in feed["groups"] for row in group["entries"]}
    assert versions["alpha"] == "0.2.0"


def test_csv_and_json_have_the_same_rows_and_numbers(runs):
    """Fractions, ends of intervals and ranks; an undefined value is an empty cell; reference rows are included."""
    files = feeds(runs)
    for name in ("leaderboard", "published"):
        feed, rows = json.loads(files[f"{name}.json"]), rows_of(files[f"{name}.csv"])
        entries = [(group, entry) for group in feed["groups"] for entry in group["entries"]]
        assert next(iter(rows[0])) == "schema_version"
        for row, (group, entry) in zip(rows, entries, strict=True):
            assert (row["group"], row["model"], row["kind"]) == (group["title"], entry["name"], entry["kind"])
            assert row["dataset"] == group["conditions"]["dataset"]
            assert (row["config_hash"], row["run"]) == (entry["config_hash"], entry["run"])
            assert [row["rank_low"], row["rank_high"]] == [str(end) for end in entry["rank"] or ("", "")]
            for metric in METRIC_NAMES:
                value = entry["metrics"].get(metric)
                assert row.get(metric, "") == ("" if value is None else str(value))
                ends = entry["intervals"].get(metric, ("", ""))
                assert [row.get(f"{metric}_{end}", "") for end in ("low", "high")] == [str(one) for one in ends]
    assert {"ranked", "not_ranked", "reference", "published"} == {
        row["kind"] for row in rows_of(files["leaderboard.csv"])
    }


def test_csv_states_the_conditions_of_each_row(runs):
    """A run's own, and of a published row what its source says."""
    rows = {row["model"]: row for row in rows_of(feeds(runs)["leaderboard.csv"])}
    names = ("dataset", "n_images", "whole_test_split", "method", "division", "prompt", "shots", "image_size")
    assert [rows["gamma"][name] for name in names] == [
        "demo",
        "80",
        "False",
        "regions",
        "superpixel",
        "class",
        "2",
        "768",
    ]
    assert rows["gamma"]["coverage"] == "1.0"
    assert rows["gamma"]["cost_usd"] == "0.5"
    assert (rows["WinCLIP"]["method"], rows["WinCLIP"]["shots"], rows["WinCLIP"]["config_hash"]) == ("maps", "0", "")


def test_a_hostile_name_harms_no_reader_of_a_feed(make_run):
    """No cell of a run begins a formula, and neither terminal escapes nor marks of direction stand in any feed."""
    asked = {"model": {"notes": [HOSTILE, "+1"]}, "asked": {"name": "@SUM(1)"}, "versions": {"lvlm-ad": "-x"}}
    files = feeds([make_run(HOSTILE, dataset="=1+1", config_hash="@cmd", **asked)])
    assert valid_by_schema(files)
    for text in files.values():
        assert not {"\x1b", "\u202e"} & set(text)
    row = rows_of(files["leaderboard.csv"])[0]
    for name in ("model", "dataset", "prompt", "config_hash", "lvlm_ad_version", "notes"):
        assert row[name].startswith("'"), name
    assert json.loads(files["leaderboard.json"])["groups"][0]["entries"][0]["name"] == HOSTILE


def test_new_runs_come_first_without_reference_rows(make_run, make_reference_row):
    """Dates of several time zones are ordered as times; a date that UTC cannot express comes last."""
    runs = [
        make_run("old", started="2026-01-01T00:00:00+00:00"),
        make_run("new", started="2026-01-02T01:00:00+03:00"),
        make_run("newest", started="2026-01-01T23:00:00+00:00"),
        make_run("impossible", started="0001-01-01T00:00:00+14:00"),
        make_reference_row("chance", started="2026-05-01T00:00:00+00:00"),
    ]
    items = json.loads(feeds(runs)["runs.json"])["items"]
    assert [item["title"] for item in items] == [f"{name} on demo" for name in ("newest", "new", "old", "impossible")]
    assert len({item["id"] for item in items}) == len(items)
    assert datetime.fromisoformat(items[1]["date_published"]) == datetime.fromisoformat(runs[1].manifest.started)
    assert "Image AUROC 50.0 %" in items[0]["content_text"]


def test_the_same_runs_give_the_same_bytes(runs):
    """A feed does not depend on when it is made."""
    assert feeds(runs) == feeds(runs)
