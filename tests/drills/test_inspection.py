"""An inspection on a bad day: killed, interrupted, and of a folder that fills. No picture is lost or paid for twice."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL and SIGINT are POSIX's"), pytest.mark.slow]

PICTURES = 60

SMALL = tuple(
    part for value in ("image_size=64", "grid_rows=3", "grid_columns=3", "number_size=8") for part in ("--set", value)
)
"""Marks that leave something of a small picture to be seen: equal questions are asked once."""

BRIGHT = """
import io

from PIL import Image


class Bright:
    def answer(self, request):
        picture = Image.open(io.BytesIO(request.images[-1].data)).convert("L")
        return f"image anomaly score: {picture.getpixel((2, 2)) / 255:.2f}."
"""


def rows_of(path):
    """The rows of a CSV file; none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def until(holds, seconds=300.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def started(tmp_path):
    """Start an inspection of the folder ``line`` as a process of its own, which ends with the test."""
    processes = []

    def start(*arguments, key="sk-x"):
        processes.append(_start(tmp_path, arguments, key))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def _start(work, arguments, key):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    command = [sys.executable, "-m", "lvlm_ad", "inspect", "line", "--division", "grid", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**environment, "OPENAI_API_KEY": key}, cwd=work, **pipes)


def picture(path, level):
    """Write a grey picture as a copy program does: it is there from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (64, 64), level).save(path)


def test_killed_twice_every_picture_is_inspected_once_and_paid_once(tmp_path, monkeypatch, started):
    """A third of the replies fail; only an answer that was under way at a kill may be given again."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from bench_command import Command, make_data, stored_answers
    from flaky_endpoint import Endpoint, serving

    make_data(tmp_path / "data", PICTURES, seed=1)
    (tmp_path / "data" / "part0" / "test").rename(tmp_path / "line")
    endpoint = Endpoint(seed=1, latency=0.05, faults=1 / 3, timeout=1.0)
    scores = tmp_path / "out" / "scores.csv"

    with serving(endpoint) as url:
        settings = (
            "--set",
            f"base_url={url}",
            "--set",
            "image_size=192",
            "--set",
            "timeout=1",
            "--set",
            "max_retries=50",
        )

        def inspecting(key):
            process = started("--model", "gpt-4o", *settings, "--out", "out", "--json", key=key)
            return Command(key, process, tmp_path / "none", tmp_path / "none")

        for kill in (1, 2):
            with endpoint.lock:
                endpoint.allowed = PICTURES * kill / 3
            command = inspecting(f"sk-{kill}")
            until(lambda kill=kill: len(endpoint.answered) >= PICTURES * (kill - 0.2) / 3)
            assert endpoint.kill(command) == -signal.SIGKILL
            command.process.communicate()
            names = {name for _, name, _ in stored_answers(tmp_path / "out")}
            with endpoint.lock:
                endpoint.settled |= {one.question for name, one in endpoint.given.items() if name in names}
            assert len(rows_of(scores)) in {0, PICTURES}
        with endpoint.lock:
            endpoint.allowed = math.inf
        last = inspecting("sk-3")
        _, messages = last.process.communicate(timeout=300)

    rows, stored = rows_of(scores), stored_answers(tmp_path / "out")
    assert last.process.returncode == 1, messages
    assert len({row["path"] for row in rows}) == len(rows) == PICTURES
    assert {row["decision"] for row in rows} == {"alarm", "pass"}
    assert {row["path"] for row in rows} == {str(p.relative_to(tmp_path / "line")) for p in tmp_path.glob("line/*/*")}
    assert len(stored) == len(endpoint.answered) == PICTURES
    paid = Counter(one.question for one in endpoint.given.values())
    lost = endpoint.lost({name for _, name, _ in stored})
    under_way = {endpoint.given[name].question for name in endpoint.in_flight if name in endpoint.given}
    twice = {question for question, times in paid.items() if times > 1}
    assert len(twice - under_way) <= len(lost.not_yet_stored)
    assert (endpoint.needless, lost.unexplained, endpoint.doubled) == (0, 0, 0)
    assert sum(endpoint.kinds.values()) - endpoint.kinds["answer"] > PICTURES / 4


def test_ctrl_c_writes_what_is_known(tmp_path, endpoint, started):
    """The answers under way are waited for; every picture has a row, those that were not asked are undecided."""
    for index in range(60):
        picture(tmp_path / "line" / f"{index:02}.png", 3 * index)

    def reply(_body):
        time.sleep(0.2)
        return "image anomaly score: 0.1."

    endpoint.reply = reply
    settings = ("--set", f"base_url={endpoint.url}", *SMALL, "--concurrency", "2")
    process = started("--model", "gpt-4o", *settings)
    until(lambda: len(endpoint.answered) >= 4)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=180)
    rows = rows_of(tmp_path / "inspections" / "line-gpt-4o" / "scores.csv")
    assert process.returncode == 130, messages
    assert len(rows) == 60
    assert sum(row["decision"] == "pass" for row in rows) == len(endpoint.answered) < 60


def test_a_folder_that_fills_is_inspected_as_it_does(tmp_path, started):
    """Half-written pictures are waited for, replaced ones inspected anew; Ctrl-C ends with the summary."""
    (tmp_path / "bright.py").write_text(BRIGHT)
    scores = tmp_path / "out" / "scores.csv"
    picture(tmp_path / "line" / "a.png", 30)
    process = started("--model", "bright.py", *SMALL, "--out", "out", "--watch")

    def decisions():
        return {row["path"]: (row["decision"], row["status"]) for row in rows_of(scores)}

    until(lambda: decisions() == {"a.png": ("pass", "ok")})
    picture(tmp_path / "whole.png", 250)
    content, half = (tmp_path / "whole.png").read_bytes(), tmp_path / "line" / "sub" / "b.png"
    half.parent.mkdir()
    with half.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(1.0)
        file.write(content[len(content) // 2 :])
    seen = []
    until(lambda: seen.append(decisions().get("sub/b.png")) or seen[-1] == ("alarm", "ok"))
    assert not [one for one in seen if one is not None and one[1] == "unreadable"]
    picture(tmp_path / "line" / "a.png", 0)
    picture(tmp_path / "line" / "c.png", 10)
    (tmp_path / "line" / "sub" / "b.png").unlink()
    until(lambda: decisions().get("c.png") == ("pass", "ok"))
    assert [row["score"] for row in rows_of(scores)] == ["0.0", "0.04", "0.98"]
    process.send_signal(signal.SIGINT)
    shown, messages = process.communicate(timeout=180)
    assert process.returncode == 1, messages
    assert "pictures: 3 (1 alarm, 0 undecided, 2 pass)" in shown
