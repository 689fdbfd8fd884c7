"""What a watched run tells: every question by its key, nothing of what it holds."""

import json
from pathlib import Path

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.log import event, logged_to
from lvlm_ad.runs import find_runs, read_run

KEY = "sk-never-to-be-seen-42"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_tells_each_question_by_its_key(lvlm_ad_command, endpoint, small_data, tmp_path):
    """Asked, asked again, declined, failed, stored: in order, with times; neither texts nor pictures nor the key."""
    tries = {}

    def reply(body):
        question = json.dumps(body["messages"])
        tries[question] = tries.get(question, 0) + 1
        if len(tries) == 2 and tries[question] == 1:
            return 500, {"error": {"message": f"overloaded, {KEY}"}}, {}
        return "image anomaly score: 0.625; the secret word is heliotrope."

    endpoint.reply = reply
    log = tmp_path / "logs" / "run.jsonl"
    command = (
        "bench",
        "-m",
        "vllm",
        "--no-frame",
        "--data",
        small_data,
        "--set",
        "image_size=96",
        "--set",
        "min_area=0",
    )
    command += ("--set", f"base_url={endpoint.url}", "--set", "model=m", "--set", "api_key_env=MY_KEY", "--log", log)
    command += ("--set", "price_input=1", "--set", "price_output=1")
    done = lvlm_ad_command(*command, env={"MY_KEY": KEY})
    assert done.returncode == 0, done.stderr
    found = lines(log)
    (folder,) = find_runs(small_data.parent / "runs")
    run = read_run(folder)
    keys = {record.key for record in run.predictions}
    names = [one["event"] for one in found]
    assert names[:2] == ["bench", "divided"]
    assert names[-2:] == ["run", "ended"]
    assert {one["key"] for one in found if one["event"] == "answered"} == keys
    assert sum(one.get("cost_usd", 0) for one in found if one["event"] == "answered") == pytest.approx(
        run.metrics["usage"]["cost_usd"]
    )
    (again,) = (one for one in found if one["event"] == "again")
    assert again["key"] in keys
    assert again["error"] == "TransientError"
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    assert lvlm_ad_command(*command, env={"MY_KEY": KEY}).returncode == 0
    second = lines(log)[len(found) :]
    assert {one["key"] for one in second if one["event"] == "stored"} == keys
    text = log.read_text()
    for secret in (KEY, "heliotrope", "anomaly", "base64", "region"):
        assert secret not in text, secret


def test_an_ended_run_is_told(tmp_path):
    """With the error that ended it; afterwards nothing is told any more."""
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


def test_a_log_that_cannot_be_written(tmp_path, lvlm_ad_command):
    """One line, before anything is asked."""
    (tmp_path / "file").write_text("")
    done = lvlm_ad_command("bench", "--log", tmp_path / "file" / "log")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be written" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_log_without_room_costs_nothing(kept_data, lvlm_ad_command):
    """The run ends as without a log, its table too, but for one line that says what the log lacks."""
    command = (
        "bench",
        "--model",
        "chance",
        "--no-frame",
        "--data",
        kept_data,
        "--division",
        "grid",
        "--resamples",
        "0",
    )
    whole = lvlm_ad_command(*command)
    done = lvlm_ad_command(*command, "--log", "/dev/full")
    assert done.returncode == 0
    # The table, and where everything is.
    assert done.stderr.splitlines()[-8:] == whole.stderr.splitlines()[-8:]
    assert "leaderboard: " in done.stderr
    assert done.stderr.count("The log /dev/full is incomplete: No space left on device.") == 1
