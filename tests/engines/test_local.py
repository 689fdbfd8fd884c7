"""Tasks on this machine: in order, from any program, and nothing of them outlives the command; sizes of a cluster."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from lvlm_ad.engines import LocalEngine, RayOptions
from lvlm_ad.engines.ray import size_of
from lvlm_ad.errors import DataError, LvlmAdError
from lvlm_ad.workers import Workers

TASKS = """
import os, time
from lvlm_ad.errors import DataError, ImageError

class Square:
    def load(self, item):
        if item % 2:
            raise ImageError(f"{item} cannot be read.")
        return item

    def run(self, loaded):
        if loaded == 8:
            raise DataError("8 is too large.")
        print("a library prints")
        return loaded**2, os.getpid()

class Sleep:
    def load(self, item):
        return item

    def run(self, loaded):
        time.sleep(loaded if loaded > 1 else 0)
"""

SCRIPT = """
from lvlm_ad.engines import LocalEngine
from lvlm_ad.workers import Workers
from tasks_of_test import Sleep

for _ in LocalEngine(Workers(seconds_here=0)).map(Sleep(), range(10)):
    print("one is done", flush=True)
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module of tasks that worker processes can import."""
    (tmp_path / "tasks_of_test.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import tasks_of_test

    yield tasks_of_test
    del sys.modules["tasks_of_test"]


@pytest.fixture
def engine():
    """An engine that works in processes from the first item on."""
    with closing(Workers(seconds_here=0)) as workers:
        yield LocalEngine(workers)


@pytest.mark.parametrize("holds_model", [True, False])
def test_results_come_in_order(tasks, engine, holds_model):
    """An unreadable file gives its error in place of a result; a task that holds a model runs in this process."""
    results = list(engine.map(tasks.Square(), iter(range(7)), holds_model=holds_model))
    assert [item for item, _ in results] == list(range(7))
    assert [str(result) for item, result in results if item % 2] == [f"{n} cannot be read." for n in (1, 3, 5)]
    assert [result[0] for item, result in results if item % 2 == 0] == [0, 4, 16, 36]
    assert (os.getpid() in {result[1] for item, result in results if item % 2 == 0}) == holds_model


def test_an_error_of_a_task_ends_the_work(tasks, engine):
    """What a worker process raises is raised here."""
    with pytest.raises(DataError, match="8 is too large"):
        list(engine.map(tasks.Square(), range(0, 20, 2)))


def test_work_that_nobody_reads_on_ends(tasks, engine):
    """Closed amid the work, the results leave no thread behind, and the engine no process."""
    before = threading.active_count()
    results = engine.map(tasks.Square(), range(0, 1000, 10))
    (_, _), (_, (_, process)) = next(results), next(results)
    results.close()
    assert threading.active_count() == before
    engine.workers.close()
    assert not lives(process)
    with pytest.raises(LvlmAdError, match="have ended"):
        engine.workers.call(divmod, 7, 2)


@pytest.mark.slow
def test_a_call_that_nobody_waits_for_is_ended(tasks, engine):
    """A long task under way does not delay the end of the work; the next work gets processes all the same."""
    results = engine.map(tasks.Sleep(), [0, 0, 0, 60, 60, 60, 60, 60, 60])
    next(results)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 30
    assert [item for item, _ in engine.map(tasks.Sleep(), [0, 1])] == [0, 1]


def test_a_process_that_is_ended_after_its_reply_takes_no_other_call(monkeypatch):
    """Its call ends well, and the next call gets a process that lives."""
    with closing(Workers(most=1)) as workers:
        workers.start()
        group, load = object(), pickle.load

        def load_then_end(pipe):
            reply = load(pipe)
            workers.end(group)
            return reply

        monkeypatch.setattr("lvlm_ad.workers.pickle.load", load_then_end)
        assert workers.call(divmod, 7, 2, group=group) == (3, 1)
        monkeypatch.undo()
        assert workers.call(divmod, 9, 2) == (4, 1)


def test_little_work_starts_no_process(tasks):
    """What is done within half a second is done in this process."""
    with closing(Workers(seconds_here=60)) as workers:
        results = list(LocalEngine(workers).map(tasks.Square(), range(0, 8, 2)))
    assert {process for _, (_, process) in results} == {os.getpid()}


def test_processes_that_start_early_make_the_first_calls():
    """They have imported what they were told to, even a module that prints, and no call is made in this process."""
    with closing(Workers(most=1)) as workers:
        workers.start("colorsys", "this:s")
        assert not workers.here
        assert workers.call(eval, "'colorsys' in __import__('sys').modules")
        assert workers.call(os.getpid) == workers.call(os.getpid) != os.getpid()


def test_a_process_that_cannot_start_is_reported(capfd):
    """A call to it fails with one line; what went wrong is on stderr."""
    with closing(Workers(most=1)) as workers:
        workers.start("no_such_module")
        with pytest.raises(LvlmAdError, match="A worker process ended"):
            workers.call(os.getpid)
    assert "no_such_module" in capfd.readouterr().err


def children(process):
    """The processes that a process started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, parent in pairs if int(parent) == process]


def lives(process):
    """Whether a process runs; one that has ended stays listed until its parent asks for its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states of processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_command(number, tmp_path):
    """A script without ``if __name__ == "__main__"``, killed or interrupted amid the work, leaves no process."""
    (tmp_path / "tasks_of_test.py").write_text(TASKS)
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "script.py")]
    # A test run in the background may pass on an ignored SIGINT.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes, **heed) as running:
        assert running.stdout.readline() == "one is done\n"
        started = children(running.pid)
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert started
    assert errors.count("Traceback") == (number == signal.SIGINT), "the script's own"
    end = time.monotonic() + 60
    while left := [process for process in started if lives(process)]:
        assert time.monotonic() < end, f"{len(left)} of {len(started)} are left"
        time.sleep(0.1)


GPUS = {"GPU": 8.0, "CPU": 64.0}
ONE = {"GPU": 1.0, "CPU": 12.0}
NONE = {"CPU": 128.0}


@pytest.mark.parametrize(
    ("machines", "options", "size"),
    [
        ([GPUS, GPUS], {}, (16, 1, 8)),
        # Machines without a GPU do not count.
        ([ONE, NONE, NONE], {}, (1, 1, 12)),
        ([GPUS, ONE], {}, (9, 1, 8)),
        # A copy with two GPUs is on one machine.
        ([{"GPU": 3.0, "CPU": 9.0}] * 3, {"num_gpus": 2}, (3, 2, 6)),
        ([ONE], {"num_gpus": 0.5}, (2, 0.5, 6)),
        ([GPUS], {"num_cpus": 2, "actors": 3}, (3, 1, 2)),
        ([NONE, {"CPU": 4.0}], {}, (2, 0, 4)),
        ([NONE, {"CPU": 4.0}], {"actors": 4}, (4, 0, 2)),
        ([GPUS, NONE], {"num_gpus": 0}, (2, 0, 64)),
        ([NONE], {"num_gpus": 1}, (1, 1, 1)),
        ([{}], {}, (1, 0, 1)),
        ([], {}, (1, 0, 1)),
    ],
)
def test_copies_and_what_they_take(machines, options, size):
    """By default one copy per GPU, with its share of the processors."""
    chosen = size_of(machines, RayOptions(**options))
    assert (chosen.copies, chosen.num_gpus, chosen.num_cpus) == size
