"""What the log of a run says: every question by its key, nothing of its content."""

import json
import re
from pathlib import Path

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.log import event, logged_to

KEY = "sk-never-to-be-seen-42"


def lines(path):
    """The events in a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_names_each_question_by_its_key(bench, endpoint, tmp_path):
    """Asked, asked again, answered, stored: in order, with times; neither texts nor pictures nor the key."""
    failed = []

    def reply(body):
        if not failed:
            failed.append(body)
            return 500, {"error": {"message": f"overloaded, {KEY}"}}, {}
        return "image anomaly score: 0.625; the secret word is heliotrope."

    endpoint.reply = reply
    log = tmp_path / "logs" / "run.jsonl"
    with logged_to(log):
        run = bench({"price_input": 1, "price_output": 1, "max_retries": 1})
    found = lines(log)
    keys = {record.key for record in run.predictions}
    names = [one["event"] for one in found]
    assert names[:2] == ["bench", "divided"]
    assert names[-2:] == ["run", "ended"]
    assert {one["key"] for one in found if one["event"] == "answered"} == keys
    spent = sum(one["cost_usd"] for one in found if one["event"] == "answered")
    assert spent == pytest.approx(run.metrics["usage"]["cost_usd"])
    (again,) = (one for one in found if one["event"] == "again")
    assert again["key"] in keys
    assert again["error"] == "TransientError"
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    with logged_to(log):
        bench({"price_input": 1, "price_output": 1})
    assert {one["key"] for one in lines(log)[len(found) :] if one["event"] == "stored"} == keys
    for secret in (KEY, "heliotrope", "anomaly", "base64", "region"):
        assert secret not in log.read_text(), secret


def test_the_error_that_ends_a_run_is_logged(tmp_path):
    """Cut to 500 characters; afterwards nothing is logged any more."""
    log = tmp_path / "a.jsonl"

    def run():
        with logged_to(log):
            event("begun", number=1)
            raise ConfigError("x" * 10_000)

    with pytest.raises(ConfigError):
        run()
    event("later")
    begun, ended = lines(log)
    assert (begun["event"], begun["number"]) == ("begun", 1)
    assert (ended["event"], ended["error"], len(ended["message"])) == ("ended", "ConfigError", 500)


def test_a_log_that_cannot_be_opened_ends_the_command(tmp_path, lvlm_ad_command):
    """One line, before anything is asked."""
    (tmp_path / "file").write_text("")
    done = lvlm_ad_command("bench", "--log", tmp_path / "file" / "log")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be written" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_costs_the_log_alone(bench_command):
    """The run ends as without a log, but for one line that says that the log is incomplete."""
    done = bench_command("--limit", 1, "--log", "/dev/full")
    assert done.returncode == 0
    said = re.findall(r"The log /dev/full is incomplete: No space left on device\.", " ".join(done.stderr.split()))
    assert len(said) == 1
