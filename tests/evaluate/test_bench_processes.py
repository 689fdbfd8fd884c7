"""A bench as a process among others: killed, interrupted, and beside another on the same folder."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from lvlm_ad.asking import AnswerStore
from lvlm_ad.store import open_answers

pytestmark = pytest.mark.slow


def picture_of(body):
    """The last picture of a request, encoded."""
    uris = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return base64.b64decode(uris[-1].partition(",")[2])


def in_a_process(endpoint, data, out):
    """The command of a bench of the endpoint's model, and its environment."""
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-frame", "--no-report"),
        *("--data", str(data), "--set", f"base_url={endpoint.url}", "--set", "image_size=96", "--division", "grid"),
        *("--concurrency", "3", "--out", str(out), "--json"),
    ]
    return command, {**os.environ, "OPENAI_API_KEY": "sk-0"}


def stored_answers(path):
    """The number of answers in a store that another process may just be creating."""
    if not path.exists():
        return 0
    with closing(open_answers(path)) as database:
        return len(AnswerStore(database))


def test_kill_9_loses_and_repeats_nothing(endpoint, kept_data, tmp_path):
    """After kill -9 in the middle, the same command asks for no image whose answer was stored, and ends with all."""
    gate = threading.Semaphore(5)
    endpoint.reply = lambda _: gate.acquire() and "image anomaly score: 0.5."
    command, environment = in_a_process(endpoint, kept_data, tmp_path / "out")
    store = tmp_path / "out" / "answers.sqlite"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while stored_answers(store) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert stored_answers(store) == 5
    answered = [picture_of(body) for body in endpoint.answered[:5]]
    assert len(endpoint.asked) - len(endpoint.answered) <= 3
    gate.release(50)
    endpoint.asked.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = [picture_of(body) for body in endpoint.asked]
    assert len(set(again)) == len(again) == 7
    assert not set(again) & set(answered)
    assert stored_answers(store) == 12
    assert json.loads(done.stdout)["runs"][0]["metrics"]["answers"]["ok"] == 12


def test_two_processes_on_one_folder_share_the_work(endpoint, kept_data, tmp_path):
    """Two commands at once on one output folder: every question is asked once, and both end with all answers."""
    endpoint.reply = lambda _: time.sleep(0.2) or "image anomaly score: 0.5."
    command, environment = in_a_process(endpoint, kept_data, tmp_path / "out")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(endpoint.asked) == 12
    assert [json.loads(stdout)["runs"][0]["metrics"]["answers"]["ok"] for stdout, _ in outputs] == [12, 12]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_keep_the_answers_under_way(endpoint, kept_data, tmp_path, number):
    """An interrupted command stores the answers under way, ends with status 130, and continues from there."""
    endpoint.reply = lambda _: time.sleep(0.5) or "image anomaly score: 0.5."
    command, environment = in_a_process(endpoint, kept_data, tmp_path / "out")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        command,
        env=environment,
        # A test run that was started in the background may pass on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread locks here
        **pipes,
    )
    deadline = time.monotonic() + 120
    while not endpoint.answered:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "What is stored is kept" in said
    assert "Traceback" not in said
    assert 0 < len(endpoint.asked) < 12
    assert stored_answers(tmp_path / "out" / "answers.sqlite") == len(endpoint.asked)
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    assert len(endpoint.asked) == 12
