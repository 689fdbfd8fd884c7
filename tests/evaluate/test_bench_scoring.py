"""Both scorings of the same answers: scores as written, and expected values from the probabilities of tokens."""

import base64
import hashlib
import json
import math
import re

import pytest
from scipy.stats import mannwhitneyu

from lvlm_ad.errors import ConfigError

TAKEN, OTHER, WORD = 0.5, 0.3, 0.2
"""The probabilities of each digit written, of the next one, and of a word instead."""
LOGPROBS = {"logprobs": 5}
EXPECTED = {**LOGPROBS, "scoring": "expected"}


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


def test_both_scorings_come_from_one_stored_answer(bench, guessing):
    """Expected scores and metrics equal a computation by hand; the written ones follow without another question."""
    run = bench(EXPECTED)
    assert len(guessing.asked) == 12
    for one in run.predictions:
        written = re.findall("0[.][0-9]+", one.text)
        scores = [one.image_score, one.regions[1], one.regions[2]]
        assert scores == pytest.approx([by_hand(score) for score in written], abs=1e-6)
        assert one.status == "ok"
    assert run.manifest.protocol["scoring"] == "expected"
    assert run.metrics["scores"] == {"total": 36, "expected": 36}
    bolts = [one for one in run.predictions if one.category == "bolt"]
    good, bad = (
        [by_hand(re.search("0[.][0-9]+", one.text)[0]) for one in bolts if one.label is label]
        for label in (False, True)
    )
    auroc = mannwhitneyu(bad, good).statistic / (len(bad) * len(good))
    assert run.metrics["categories"]["bolt"]["image_auroc"] == pytest.approx(auroc, abs=1e-12)

    as_text = bench(LOGPROBS)
    assert [one.key for one in as_text.predictions] == [one.key for one in run.predictions]
    assert all(str(one.image_score) in one.text for one in as_text.predictions)
    assert "scoring" not in as_text.manifest.protocol
    assert "scores" not in as_text.metrics
    assert as_text.manifest.config_hash != run.manifest.config_hash
    assert {**bench(EXPECTED).metrics, "usage": 0} == {**run.metrics, "usage": 0}
    assert len(guessing.asked) == 12


def test_without_probabilities_nothing_is_asked(bench, guessing):
    """Expected scores from a backend that gives no probabilities are refused with the setting that gives them."""
    with pytest.raises(ConfigError, match="--set logprobs=20"):
        bench({"scoring": "expected"})
    with pytest.raises(ConfigError, match="scoring"):
        bench({"scoring": "expectd"})
    assert guessing.asked == []


def test_an_endpoint_that_sends_no_probabilities_is_noticed(bench_command, endpoint, lvlm_ad_command, out):
    """Scores are then as written, which is noted once, counted in the metrics, and stands in the leaderboard."""
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.4."
    done = bench_command("--set", "logprobs=5", "--set", "scoring=expected")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["metrics"]["scores"] == {"total": 24, "expected": 0}
    assert " ".join(done.stderr.split()).count("are missing or do not fit its text") == 1
    board = lvlm_ad_command("leaderboard", out, "--format", "md").stdout
    assert "expected values (0 of 24; the others as written)" in board


def test_a_baseline_has_no_scoring(finished, grid, kept_data, out):
    """Rows that write their scores themselves are the same run, whatever the scoring."""
    from lvlm_ad import bench

    settings = {**grid, "scoring": "expected"}
    (run,) = bench(models="oracle", data=kept_data, settings=settings, out=out, reference_rows=False, resamples=50)[:1]
    assert run.manifest.config_hash == finished.named("oracle").manifest.config_hash
    assert "scores" not in run.metrics
