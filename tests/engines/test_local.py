"""Cutting on this machine alone: nothing of it outlives the command."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = """
import sys, time
from lvlm_ad.evaluate import RunConfig, bench
from lvlm_ad.progress import Silent

class Stopping(Silent):
    def advance(self, steps=1, **_):
        if steps:
            print("one is divided", flush=True)
            time.sleep(600)

bench(RunConfig(models=("chance",), dataset="folder", data=sys.argv[1], out=sys.argv[2], frame=False), Stopping())
"""


def children(process):
    """The processes that a process started, however they are called."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, parent in pairs if int(parent) == process]


def lives(process):
    """Whether a process runs; one that has ended may stay listed until somebody asks how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are watched as Linux tells of them")
def test_a_killed_bench_leaves_no_process(kept_data, tmp_path):
    """Killed amid dividing, it can end nobody: its workers see to that themselves, and so do those that tidy up."""
    command = [sys.executable, "-c", BENCH, str(kept_data), str(tmp_path / "runs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "one is divided\n"
        started = children(running.pid)
        running.kill()
    assert len(started) >= 2, "a worker, and who tidies up"
    end = time.monotonic() + 60
    while left := [process for process in started if lives(process)]:
        assert time.monotonic() < end, f"{len(left)} of {len(started)} are left"
        time.sleep(0.1)
