"""Batches of a method that asks in two rounds: the questions of the second depend on the answers of the first."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

SMALL = ("--no-reference-rows", "--no-report", "--division", "grid", "--resamples", "0", "--limit", "3", "--json")
SETTINGS = {"image_size": 96, "grid_rows": 4, "grid_columns": 4, "min_area": 0, "number_size": 7, "zoom_budget": 2}
SETTINGS |= {"price_input": 1000, "price_output": 1000, "price_batch": 0.5}
"""An answer of the endpoint has 820 tokens, so it costs 0.41 USD in a batch."""


def arguments(batches, data, *more, **settings):
    """The arguments of a bench by zoom: six images, three questions each."""
    settings = {**SETTINGS, "base_url": batches.url, **settings}
    return [
        *("bench", "--model", "gpt-4o", "--dataset", "folder", "--data", str(data), "--method", "zoom", *SMALL, *more),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
    ]


def metrics(text):
    """The metrics that a bench prints."""
    return json.loads(text)["runs"][0]["metrics"]


def test_each_round_is_a_batch(lvlm_ad_command, batches, small_data):
    """Six first looks go in one batch, twelve closer looks in the next; later the same command asks nothing."""
    done = lvlm_ad_command(*arguments(batches, small_data, "--batch"), env={"OPENAI_API_KEY": "sk-0"})
    assert done.returncode == 0, done.stderr
    assert (len(batches.batches), len(batches.asked), len(set(batches.asked)), batches.live) == (2, 18, 18, [])
    usage = metrics(done.stdout)["usage"]
    assert usage["questions"] == 18
    assert usage["spent_usd"] == usage["cost_usd"] == pytest.approx(18 * 0.41)
    again = lvlm_ad_command(*arguments(batches, small_data), env={"OPENAI_API_KEY": "sk-0"})
    assert again.returncode == 0, again.stderr
    assert (len(batches.batches), batches.live, metrics(again.stdout)["usage"]["spent_usd"]) == (2, [], 0)


@pytest.mark.slow
def test_a_limit_in_money_is_for_all_rounds(lvlm_ad_command, batches, small_data):
    """With money for a part of the second round, the same command with more money goes on there."""
    asked = arguments(batches, small_data, "--batch", "--max-cost", "8", image_tokens="fixed 700")
    done = lvlm_ad_command(*asked, env={"OPENAI_API_KEY": "sk-0"})
    first = len(batches.asked)
    assert done.returncode == 3
    assert 6 < first < 18
    assert metrics(done.stdout)["usage"]["spent_usd"] == pytest.approx(first * 0.41)
    rest = lvlm_ad_command(*arguments(batches, small_data, "--batch"), env={"OPENAI_API_KEY": "sk-0"})
    assert rest.returncode == 0, rest.stderr
    assert (len(batches.asked), len(set(batches.asked))) == (18, 18)


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", [1, 2])
def test_rounds_survive_a_restart(batches, small_data, tmp_path, killed_in):
    """Killed while the first or the second batch is under way, the same command continues it; none is sent twice."""
    gate = threading.Event()

    def state(_):
        return "completed" if gate.is_set() or len(batches.batches) < killed_in else "in_progress"

    batches.state = state
    command = [sys.executable, "-m", "lvlm_ad", *arguments(batches, small_data, "--batch", "--out", tmp_path / "out")]
    environment = {**os.environ, "OPENAI_API_KEY": "sk-0"}
    process = subprocess.Popen([*map(str, command)], env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "Waiting for batches" in line and len(batches.batches) == killed_in:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    gate.set()
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (len(batches.batches), len(batches.asked), len(set(batches.asked)), batches.live) == (2, 18, 18, [])
    assert metrics(done.stdout)["answers"]["ok"] == 6
