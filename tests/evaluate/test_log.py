"""What a watched run tells: every question by its key, nothing of what it holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.log import event, logged_to
from lvlm_ad.runs import find_runs, read_run

KEY = "sk-never-to-be-seen-42"

SHORT_OF_ROOM = """
import resource
from pathlib import Path
from lvlm_ad.log import event, logged_to

limits = resource.getrlimit(resource.RLIMIT_FSIZE)
log = Path("a.jsonl")
with logged_to(log):
    event("one")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10, limits[1]))
    event("two")
    event("three")
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    event("four")
"""


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


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_log_goes_on_when_there_is_room_again(tmp_path):
    """A line cut for want of room stays a line by itself; what follows is whole, and the lack is told once."""
    command = [sys.executable, "-c", SHORT_OF_ROOM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "The log a.jsonl is incomplete: File too large.\n"
    one, cut, *others = (tmp_path / "a.jsonl").read_text().splitlines()
    assert len(cut) == 10
    assert [json.loads(line)["event"] for line in (one, *others)] == ["one", "four", "ended"]


@pytest.mark.parametrize(("before", "kept"), [("", 0), ("{}\n", 1), ('{}\n{"time": "20', 2)])
def test_a_log_begins_on_a_line_of_its_own(before, kept, tmp_path):
    """After whatever a killed command left, without empty lines."""
    log = tmp_path / "a.jsonl"
    log.write_text(before)
    with logged_to(log):
        event("begun")
    found = log.read_text().splitlines()
    assert found[:kept] == before.splitlines()
    assert [json.loads(line)["event"] for line in found[kept:]] == ["begun", "ended"]


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_log_is_no_pipe(tmp_path, lvlm_ad_command):
    """One line at once; a pipe that nobody reads would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    done = lvlm_ad_command("bench", "--log", tmp_path / "pipe", timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "is no plain file" in done.stderr
