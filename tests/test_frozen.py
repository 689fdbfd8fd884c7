"""What version 0.1.0 wrote is read, costs no question again, and gives the same numbers."""

import csv
import gzip
import io
import json
import shutil
from pathlib import Path

import pytest

from lvlm_ad.asking import BatchLedger
from lvlm_ad.backend import Picture, Request
from lvlm_ad.datasets import load_dataset
from lvlm_ad.plugins import build, find_model
from lvlm_ad.presets import load_prompt, load_protocol
from lvlm_ad.regions import Regions
from lvlm_ad.runs import METRIC_NAMES
from lvlm_ad.store import open_answers
from lvlm_ad.text2seg import parse

FROZEN = Path(__file__).with_name("data") / "v0_1"
BENCHES = json.loads((FROZEN / "commands.json").read_text())
KEYS = json.loads((FROZEN / "keys.json").read_text())
RANKED_ANEW = {"rank", "kind", "reason", "no_interval", "usd_per_image", "usd_per_point"}
RANKED_ANEW |= {f"{metric}_{end}" for metric in METRIC_NAMES for end in ("low", "high")}
"""Fields of a leaderboard whose rule is new: a row needs an interval of today's rule for a rank."""
LAST_DIGITS = 2e-6
"""How far numbers of contrast may lie apart: it adds single floats up, in an order that NumPy and BLAS choose by the
processor and the version, and rounds scores to 6 digits."""
EVERYTHING_STORED = 0
SOME_FAILED = 3


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """A copy of the folder as version 0.1.0 left it, as the working directory; whoever asks a model fails."""
    folder = tmp_path / "frozen"
    shutil.copytree(FROZEN, folder)
    for packed in (folder / "out").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    monkeypatch.chdir(folder)
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "OPENROUTER", "AZURE_OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-frozen")
    return folder


@pytest.fixture
def printed(in_process):
    """A function that runs a command and returns what it prints on stdout."""

    def run(*arguments, status=(EVERYTHING_STORED,)):
        done = in_process(arguments)
        assert done.returncode in status, done.stderr
        return done.stdout

    return run


def same(found, expected, place="it", within=0.0):
    """Assert that two JSON values are the same, numbers within a distance; keys that came later aside."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), place
        assert expected.keys() <= found.keys(), place
        for name, value in expected.items():
            same(found[name], value, f"{place}.{name}", within)
    elif isinstance(expected, list):
        assert isinstance(found, list), place
        assert len(found) == len(expected), place
        for index, value in enumerate(expected):
            same(found[index], value, f"{place}[{index}]", within)
    elif within and isinstance(expected, float):
        assert found == pytest.approx(expected, rel=0, abs=within), place
    else:
        assert found == expected, place


def without_prose(value):
    """Leave out sentences for people, what differs between two runs, and intervals, whose rule is new."""
    passing = {"notes", "note", "undefined", "problems", "explanation", "spent_usd", "seconds", "started", "versions"}
    passing |= {"p_value", "p_adjusted", "reason", "delong", "delong_mean"}
    passing |= {"interval", "interval_over_categories", "intervals", *RANKED_ANEW}
    if isinstance(value, dict):
        return {name: without_prose(one) for name, one in value.items() if name not in passing}
    return [without_prose(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in BENCHES if name != "offline"])
def test_stored_answers_cost_no_question_and_give_the_same_numbers(frozen, printed, name):
    """A bench over answers of before asks nothing but what had failed, and writes the same predictions and metrics."""
    (expected,) = json.loads((frozen / f"bench-{name}.json").read_text())["runs"]
    folder = frozen / expected["dir"]
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    manifest = json.loads((folder / "run.json").read_text())
    shutil.rmtree(folder)
    arguments = ["--set", "max_retries=0", "--json", "--out", "out"]
    (run,) = json.loads(printed("bench", *BENCHES[name], *arguments, status=(EVERYTHING_STORED, SOME_FAILED)))["runs"]
    same(without_prose(run), without_prose(expected))
    written = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    same(without_prose(written), without_prose(lines))
    assert [len(one["notes"]) for one in written] == [len(one["notes"]) for one in lines]
    same(without_prose(json.loads((folder / "run.json").read_text())), without_prose(manifest))


@pytest.mark.slow
def test_offline_rows_give_the_same_numbers(frozen, printed):
    """Chance, oracle and scripted answers give the metrics and predictions of before; contrast up to rounding."""
    expected = json.loads((frozen / "bench-offline.json").read_text())["runs"]
    runs = json.loads(printed("bench", *BENCHES["offline"], "--json", "--out", "again", status=(0, 3)))["runs"]
    for run, before in zip(runs, expected, strict=True):
        by_contrast = run["model"].startswith("contrast")
        within = LAST_DIGITS if by_contrast else 0.0
        same(without_prose({**run, "dir": ""}), without_prose({**before, "dir": ""}), within=within)
        now, then = (
            [json.loads(line) for line in (Path(one["dir"]) / "predictions.jsonl").read_text().splitlines()]
            for one in (run, before)
        )
        if by_contrast:
            # The text holds the same scores as digits.
            now, then = ([{**line, "text": ""} for line in lines] for lines in (now, then))
        same(without_prose(now), without_prose(then), within=within)


def test_scored_maps_give_the_same_numbers(frozen, printed):
    """``score --maps`` measures maps as before."""
    expected = json.loads((frozen / "score-maps.json").read_text())
    (folder,) = (frozen / "out").glob("maps-*")
    shutil.rmtree(folder)
    data = ("--dataset", "folder", "--data", "images", "--size", "192", "--resamples", "200")
    found = json.loads(printed("score", "--maps", "maps", *data, "--out", "out", "--json"))
    same(without_prose(found), without_prose(expected))


def test_a_leaderboard_of_runs_of_before_is_the_same(frozen, printed):
    """Runs of before are read; their table has the values that it had, in the same order."""
    expected = json.loads((frozen / "leaderboard.json").read_text())
    printed("leaderboard", "out", "--format", "json", "-o", "board.json", status=(0, 3))
    same(without_prose(json.loads((frozen / "board.json").read_text())), without_prose(expected))
    printed("leaderboard", "out", "--format", "csv", "-o", "board.csv", status=(0, 3))
    found, before = (
        list(csv.DictReader(io.StringIO((frozen / name).read_text()))) for name in ("board.csv", "leaderboard.csv")
    )
    same(without_prose(found), without_prose(before))


@pytest.mark.parametrize(
    ("saved", "first", "second", "more"),
    [
        ("compare-regions.json", "json-shots", ("offline", 0), ["--across-conditions"]),
        ("compare-rows.json", ("offline", 1), ("offline", 3), []),
    ],
)
def test_comparisons_of_runs_of_before_are_the_same(frozen, printed, saved, first, second, more):
    """Paired differences of runs of before are the same, and so are the images that differ most."""
    folders = []
    for name in (first, second):
        bench, index = (name, 0) if isinstance(name, str) else name
        folders.append(json.loads((frozen / f"bench-{bench}.json").read_text())["runs"][index]["dir"])
    found = json.loads(printed("compare", *folders, *more, "--resamples", "200", "--json"))
    same(without_prose(found), without_prose(json.loads((frozen / saved).read_text())))


def test_batches_under_way_are_known(frozen):
    """A batch that was sent off and not fetched is found again; one that has ended is not."""
    database = open_answers(frozen / "out" / "answers.sqlite")
    ledger = BatchLedger(database)
    identity = KEYS["identities"]["gpt-4o"]["identity"]
    (batch,) = ledger.open_batches(identity)
    assert (batch.file_id, batch.batch_id, batch.keys) == ("file-1", "batch-1", {"11" * 32, "22" * 32})
    assert ledger.waits_in(identity, "11" * 32) == "batch-1"
    assert ledger.waits_in(identity, "33" * 32) is None
    database.close()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", KEYS["identities"])
def test_identities_are_those_of_before(name):
    """What a model's stored answers are filed under stays: they are money."""
    settings = {}
    if name in {"vllm", "sglang", "lmstudio", "openrouter", "ollama", "scripted"}:
        settings = {"model": "m", "file": "answers.json"}
    if name == "azure":
        settings = {"model": "m", "base_url": "https://x.openai.azure.com/openai/v1"}
    plugin = build(find_model(name, settings)[0])
    expected = KEYS["identities"][name]
    assert plugin.identity() == expected["identity"]
    request = Request((Picture(b"", "image/png", "ab" * 32),), "What is wrong?", {"format": "text", "n_regions": 9})
    assert request.key(plugin.identity()) == expected["key"]


@pytest.mark.usefixtures("frozen")
def test_questions_are_those_of_before(region_question):
    """Each prompt asks, with each picture, number of references and style of marks, exactly what it asked before."""
    import hashlib

    import numpy as np

    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, size=(96, 96, 3)).astype(np.uint8)
    image[:, :48] //= 3
    labels = np.zeros((96, 96), np.int32)
    for number in range(1, 10):
        row, column = divmod(number - 1, 3)
        labels[2 + 31 * row : 31 * row + 30, 3 + 31 * column : 31 * column + 31] = number
    dataset = load_dataset("folder", Path("images"))
    for name, expected in KEYS["questions"].items():
        prompt, visual, shots, style = name.split()
        changes = {
            "image_size": 96,
            "visual": visual,
            "shots": int(shots),
            "number_style": style,
            "number_size": 14,
        }
        protocol, regions = load_protocol("default", changes), Regions.from_labels(labels)
        category = dataset[0].category
        request, questioner = region_question(
            dataset, protocol, load_prompt(prompt), image, regions, category=category, seed=2
        )
        found = {
            "hash": questioner.hash,
            "key": request.key({"a": 1}),
            "text": hashlib.sha256(request.text.encode()).hexdigest(),
        }
        assert found == expected, name


def test_answers_are_read_as_before():
    """Thousands of answers give the scores, status and notes that they gave; numbers that were not read get a note now.

    The others stand in readings_since_0_1.jsonl: nearly all are damaged answers of which a score was lost or invented.
    """
    with (FROZEN.parent / "readings_since_0_1.jsonl").open(encoding="utf-8") as lines:
        since = {(text, n_regions): expected for text, n_regions, *expected in map(json.loads, lines)}
    with gzip.open(FROZEN / "readings.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            text, n_regions, *before = json.loads(line)
            scores = parse(text, n_regions)
            notes = [note for note in scores.notes if not note.endswith("was not read.")]
            status = "ok" if scores.status == "partial" and not notes else scores.status
            regions = {str(number): score for number, score in scores.regions.items()}
            assert [scores.image, regions, status, len(notes)] == since.get((text, n_regions), before), text
