"""Both scorings of the same answers, against a real HTTP endpoint on the loopback interface."""

import base64
import hashlib
import json
import math
import re
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

TAKEN, OTHER, WORD = 0.5, 0.3, 0.2
"""The probabilities of each digit written, of the next one, and of a word instead."""


def spelled(text):
    """Log-probabilities as OpenAI sends them, a token each letter."""
    content = []
    for letter in text:
        likely = (
            [(letter, TAKEN), (str((int(letter) + 1) % 10), OTHER), ("x", WORD)] if letter.isdigit() else [(letter, 1)]
        )
        top = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in likely]
        content.append({**top[0], "top_logprobs": top})
    return {"content": content, "refusal": None}


def by_hand(written):
    """The expected value of a score 0.ddd, digit by digit."""
    taken, other = TAKEN / (TAKEN + OTHER), OTHER / (TAKEN + OTHER)
    digits = [int(digit) for digit in written.partition(".")[2]]
    means = [taken * digit + other * ((digit + 1) % 10) for digit in digits]
    return other * 1 + taken * sum(mean / 10**place for place, mean in enumerate(means, start=1))


@pytest.fixture
def guessing(endpoint, completion):
    """An endpoint whose scores depend on the picture alone, with their probabilities where they are asked for."""

    def reply(body):
        (uri,) = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
        number = int.from_bytes(hashlib.sha256(base64.b64decode(uri.partition(",")[2])).digest()[:4], "big")
        text = f"image anomaly score: 0.{number % 90 + 10}; region 1: 0.{number % 9}; region 2: 0.25."
        return 200, completion(text, **({"logprobs": spelled(text)} if body.get("logprobs") else {})), {}

    endpoint.reply = reply
    return endpoint


@pytest.fixture
def bench(lvlm_ad_command, endpoint, small_data):
    def run(*more):
        return lvlm_ad_command(
            *("bench", "--model", "gpt-4v", "--no-frame", "--dataset", "folder", "--data", small_data, "--json"),
            *("--set", f"base_url={endpoint.url}", *more),
            env={"OPENAI_API_KEY": "sk-0"},
        )

    return run


EXPECTED = ("--set", "scoring=expected")
LOGPROBS = ("--set", "logprobs=5")


def run_of(done):
    """The one run that a bench made: its metrics, manifest and predictions."""
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    folder = Path(run["dir"])
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    return run["metrics"], json.loads((folder / "run.json").read_text()), lines


def test_both_scorings_come_from_one_stored_answer(bench, guessing, lvlm_ad_command):
    """Expected scores and metrics equal a computation by hand; the written ones follow without another question."""
    metrics, manifest, lines = run_of(bench(*LOGPROBS, *EXPECTED))
    assert len(guessing.asked) == 12
    for line in lines:
        written = re.findall("0[.][0-9]+", line["text"])
        found = [line["image_score"], line["regions"]["1"], line["regions"]["2"]]
        assert found == pytest.approx([by_hand(score) for score in written], abs=1e-6)
        assert line["status"] == "ok"
    assert manifest["protocol"]["scoring"] == "expected"
    assert metrics["scores"] == {"total": 36, "expected": 36}
    bolts = [line for line in lines if line["category"] == "bolt"]
    values = [by_hand(re.search("0[.][0-9]+", line["text"])[0]) for line in bolts]
    auroc = roc_auc_score([line["label"] for line in bolts], values)
    assert metrics["categories"]["bolt"]["image_auroc"] == pytest.approx(auroc, abs=1e-12)

    as_text, text_manifest, text_lines = run_of(bench(*LOGPROBS))
    assert len(guessing.asked) == 12
    assert [line["key"] for line in text_lines] == [line["key"] for line in lines]
    for line in text_lines:
        assert str(line["image_score"]) in line["text"]
    assert "scoring" not in text_manifest["protocol"]
    assert "scores" not in as_text
    assert text_manifest["config_hash"] != manifest["config_hash"]
    again, *_ = run_of(bench(*LOGPROBS, *EXPECTED))
    assert {**again, "usage": 0} == {**metrics, "usage": 0}
    assert len(guessing.asked) == 12

    board = json.loads(lvlm_ad_command("leaderboard", "--format", "json").stdout)
    (group,) = board["groups"]
    assert sorted(["scores are expected values" in entry["notes"] for entry in group["entries"]]) == [False, True]
    assert {entry["rank"] for entry in group["entries"]} <= {1, 2}


def test_without_probabilities_nothing_is_asked(bench, guessing, lvlm_ad_command):
    """Expected scores from a backend that gives no probabilities are refused with the setting that mends it."""
    done = bench(*EXPECTED)
    assert done.returncode == 2
    assert "--set logprobs=20" in done.stderr
    assert "Traceback" not in done.stderr
    assert guessing.asked == []
    Path("answers.json").write_text('["image anomaly score: 0.5."]')
    scripted = lvlm_ad_command("bench", "--model", "scripted", "--set", "file=answers.json", *EXPECTED)
    assert scripted.returncode == 2
    assert "ScriptedBackend come without." in scripted.stderr
    wrong = bench("--set", "scoring=expectd")
    assert (wrong.returncode, "scoring" in wrong.stderr) == (2, True)


def test_an_endpoint_that_sends_no_probabilities_is_noticed(bench, endpoint, lvlm_ad_command):
    """Scores are then as written, which is said once, counted in the metrics, and stands in the leaderboard."""
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.4."
    done = bench(*LOGPROBS, *EXPECTED)
    metrics, _, lines = run_of(done)
    assert {line["image_score"] for line in lines} == {0.5}
    assert metrics["scores"] == {"total": 24, "expected": 0}
    assert " ".join(done.stderr.split()).count("came without probabilities") == 1
    board = lvlm_ad_command("leaderboard", "--format", "md").stdout
    assert "scores are expected values (0 of 24; the others as written)" in board


def test_a_baseline_has_no_scoring(lvlm_ad_command):
    """Rows that write their scores themselves are the same whatever the scoring, and are computed as the same run."""
    hashes = set()
    for more in ((), EXPECTED):
        done = lvlm_ad_command("bench", "--limit", 1, "--json", *more)
        assert done.returncode == 0, done.stderr
        runs = json.loads(done.stdout)["runs"]
        hashes.add(tuple(run["dir"] for run in runs))
        assert all("scores" not in run["metrics"] for run in runs)
    assert len(hashes) == 1
