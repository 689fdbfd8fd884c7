"""What can happen to a run: no network, no disk, few open files, stores in a bad state. Nothing paid is lost."""

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="mounts, limits and signals are POSIX's"),
    pytest.mark.slow,
]

OPTIONS = ("--no-reference-rows", "--no-report", "--resamples", "0", "--division", "grid", "--concurrency", "1")


@pytest.fixture
def asking(endpoint, kept_data, lvlm_ad_process, lvlm_ad_command):
    """Run a bench of twelve questions against the endpoint; more options may be given.

    ``process=False``: within the test, where it only leaves something behind for a process to find.
    """

    def run(*more, out="runs", process=True, **kwargs):
        settings = ("--set", f"base_url={endpoint.url}", "--set", "image_size=128", "--set", "max_retries=1")
        return (lvlm_ad_process if process else lvlm_ad_command)(
            *("bench", "--model", "gpt-4o", *settings, "--data", kept_data, "--out", out, *OPTIONS, *more),
            env={"OPENAI_API_KEY": "sk-x"},
            **kwargs,
        )

    return run


def one_line(done):
    """Check that a command failed with one line of its own."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lvlm-ad: ")]
    return line


def pictures(endpoint):
    """What was asked: the pictures of each question whose answer was sent."""
    return [json.dumps(body["messages"], sort_keys=True) for body in endpoint.answered]


def test_a_network_that_is_gone_for_a_while_costs_no_question(endpoint, asking):
    """Five seconds without a connection are waited out, though only one retry is allowed, with one note."""
    port, handler = endpoint._server.server_port, endpoint._server.RequestHandlerClass

    def reply(_body):
        time.sleep(0.1)
        if len(endpoint.asked) >= 4 and not gone.is_set():
            gone.set()
        return "image anomaly score: 0.5; region 1: 0.5."

    def outage():
        gone.wait(60)
        time.sleep(0.3)
        server = endpoint._server
        server.shutdown()
        server.server_close()
        time.sleep(5)
        endpoint._server = type(server)(("127.0.0.1", port), handler)
        endpoint._server.daemon_threads = True
        endpoint._thread = threading.Thread(target=endpoint._server.serve_forever, daemon=True)
        endpoint._thread.start()

    gone = threading.Event()
    endpoint.reply = reply
    # Connections must not outlive the server, as they do where only its port is closed.
    handler.protocol_version = "HTTP/1.0"
    breaks = threading.Thread(target=outage)
    breaks.start()
    done = asking()
    breaks.join()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trying again for up to 15 minutes") == 1
    assert len(pictures(endpoint)) == len(set(pictures(endpoint))) == 12


def test_an_endpoint_that_never_answered_is_not_waited_for(asking, endpoint):
    """A wrong address is reported at once."""
    endpoint.close()
    began = time.monotonic()
    try:
        said = one_line(asking())
    finally:
        type(endpoint).__init__(endpoint)
    assert "is the server running, and is base_url right?" in said
    assert time.monotonic() - began < 60


def test_a_full_disk_ends_the_run_and_loses_nothing(endpoint, asking, small_disk):
    """The run ends with one line; with more space, the same command asks only what has no stored answer."""
    place, remount = small_disk
    endpoint.reply = lambda _body: "All else is fine. " * 8000 + "Image anomaly score: 0.5; region 1: 0.5."
    said = one_line(asking(out=place))
    assert "full" in said or "No space left" in said
    paid = pictures(endpoint)
    assert 0 < len(paid) < 12
    assert remount("size=64m")
    with contextlib.closing(sqlite3.connect(place / "answers.sqlite")) as store:
        stored = store.execute("SELECT count(*) FROM answers").fetchone()[0]
    done = asking(out=place)
    assert done.returncode == 0, done.stderr
    # Only the last are asked again: the one whose answer found no space, and the one sent while that was being written.
    again = [picture for picture in pictures(endpoint)[len(paid) :] if picture in paid]
    assert sorted(again) == sorted(paid[stored:])
    assert len(again) in {1, 2}
    assert len(set(pictures(endpoint))) == 12


def test_an_output_folder_that_cannot_be_written_is_reported_before_anything_is_paid(endpoint, asking, small_disk):
    """A disk mounted read-only, empty or with stores in it: one line, no question."""
    place, again = small_disk
    assert again("ro")
    assert str(place) in one_line(asking(out=place))
    assert again("rw", "size=64m")
    assert asking(out=place).returncode == 0
    asked = len(endpoint.asked)
    assert again("ro")
    assert str(place) in one_line(asking(out=place))
    assert len(endpoint.asked) == asked


def test_few_open_files_are_enough(asking):
    """Two hundred open files allow 64 questions at once."""
    limit = (200, 200)
    done = asking("--concurrency", "64", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
    assert done.returncode == 0, done.stderr


def test_a_store_held_by_another_program_is_waited_for(asking, tmp_path, endpoint):
    """While another program writes to the store for seconds, nothing goes wrong: at the start and while it asks."""
    assert asking("--limit", "2", process=False).returncode == 0
    holder = sqlite3.connect(
        tmp_path / "runs" / "answers.sqlite", timeout=30, isolation_level=None, check_same_thread=False
    )
    held = threading.Event()

    def reply(_body):
        if len(endpoint.asked) == 8 and not held.is_set():
            # Its answer then waits to be stored.
            holder.execute("BEGIN EXCLUSIVE")
            held.set()
        return "image anomaly score: 0.5; region 1: 0.5."

    def let_go():
        # The log is opened before the store.
        end = time.monotonic() + 60
        while not log.exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(5)
        holder.execute("ROLLBACK")
        held.wait(60)
        time.sleep(2)
        holder.execute("ROLLBACK")

    endpoint.reply, log = reply, tmp_path / "log.jsonl"
    holder.execute("BEGIN EXCLUSIVE")
    releases = threading.Thread(target=let_go)
    releases.start()
    done = asking("--log", log)
    releases.join()
    holder.close()
    assert held.is_set()
    assert done.returncode == 0, done.stderr
    assert len(pictures(endpoint)) == len(set(pictures(endpoint))) == 12


@pytest.mark.parametrize("harm", ["truncated", "overwritten", "newer", "no database"])
def test_a_store_in_a_bad_state_is_reported_and_repaired(harm, endpoint, asking, tmp_path, lvlm_ad_command):
    """One line and no question; after the doctor's repair the same command asks only what could not be saved."""
    assert asking(process=False).returncode == 0
    store = tmp_path / "runs" / "answers.sqlite"
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if harm == "newer":
            database.execute("PRAGMA user_version=99")
    content = store.read_bytes()
    if harm == "truncated":
        store.write_bytes(content[: len(content) // 2])
    elif harm == "overwritten":
        store.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif harm == "no database":
        store.write_bytes(b"not a database at all" * 400)
    said = one_line(asking())
    assert "answers.sqlite" in said
    assert len(endpoint.asked) == 12
    if harm == "newer":
        assert "newer" in said
        return
    lvlm_ad_command("doctor", "--out", "runs", "--repair")
    done = asking()
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/answers.sqlite.damaged*"))
    assert 12 <= len(endpoint.asked) <= 24


def test_a_clock_set_back_changes_nothing(asking, tmp_path, endpoint):
    """Answers and locks with a date in the future are used all the same."""
    assert asking("--limit", "2", process=False).returncode == 0
    tomorrow = time.time() + 86400
    with closing(sqlite3.connect(tmp_path / "runs" / "answers.sqlite", isolation_level=None)) as database:
        assert database.execute("UPDATE answers SET answered_at = '2999-01-01T00:00:00.000000+00:00'").rowcount == 4
    # A process that was killed before it could give its locks back.
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with closing(sqlite3.connect(tmp_path / "runs" / "answers.sqlite", isolation_level=None)) as database:
        database.execute("INSERT INTO owners VALUES ('x', ?, ?, ?)", (os.uname().nodename, gone.pid, tomorrow))
    for path in tmp_path.glob("runs/**/*"):
        os.utime(path, (tomorrow, tomorrow))
    done = asking()
    assert done.returncode == 0, done.stderr
    assert len(pictures(endpoint)) == len(set(pictures(endpoint))) == 12
