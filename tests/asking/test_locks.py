"""Locks on questions: two commands on one folder never ask the same question twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvlm_ad.asking import AnswerStore, Asker, Budget, answers
from lvlm_ad.backend import Answer, Backend, Request
from lvlm_ad.errors import UnaskedError
from lvlm_ad.presets import Price

HOLDER = """
import sys, time
from pathlib import Path
from lvlm_ad.asking import Locks
from lvlm_ad.store import open_answers
print(Locks(open_answers(Path(sys.argv[1]))).take("k"), flush=True)
time.sleep(600)
"""


class Gated(Backend):
    """Answers once for each release of its gate."""

    def __init__(self):
        super().__init__()
        self.gate, self.asked = threading.Semaphore(0), []

    def answer(self, request):
        self.asked.append(request.text)
        self.gate.acquire()
        return Answer(f"answer to {request.text}")


def asker(backend, command):
    database, taken = command
    return Asker(backend, AnswerStore(database), Price(), Budget(None), locks=taken)


def test_one_of_two_has_the_lock(another):
    """A locked question cannot be locked by another command until it is released; one's own lock can be taken again."""
    (_, ours), (_, theirs) = another(), another()
    assert ours.take("k")
    assert ours.take("k")
    assert not theirs.take("k")
    assert theirs.take("other")
    ours.release("k")
    assert theirs.take("k")
    ours.release("k")
    assert not ours.take("k")
    theirs.close()
    assert ours.take("k"), "a command that ends gives its locks back"


def test_the_lock_of_a_killed_command_is_free_at_once(another, tmp_path):
    """After kill -9 of the process that has it, a lock can be taken without waiting."""
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path / "answers.sqlite")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        _, ours = another()
        assert not ours.take("k")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert ours.take("k")


def test_a_command_without_a_sign_of_life_is_dead(another):
    """A lock expires when its owner has given no sign of life for long, though a process of its number runs."""
    (_, theirs), (database, ours) = another(), another()
    assert theirs.take("k")
    assert not ours.take("k")
    theirs._closed.set()
    theirs._heart.join()
    with database.transaction(durable=False) as db:
        db.execute("UPDATE owners SET seen = ? WHERE owner = ?", (time.time() - 31, theirs._owner))
    assert ours.take("k")


def test_a_living_command_gives_signs_of_life(another, monkeypatch):
    """Its last sign of life stays young by itself, also after it counted as dead and its row was deleted."""
    monkeypatch.setattr(answers, "_BEAT", 0.01)
    database, _ = another()
    for loss in ("UPDATE owners SET seen = 0", "DELETE FROM owners"):
        with database.transaction(durable=False) as db:
            db.execute(loss)
        deadline = time.monotonic() + 30
        while not any(time.time() - seen < 5 for (seen,) in database.read("SELECT seen FROM owners")):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_two_commands_do_not_ask_the_same_question(another):
    """One asks; the other waits and gets the same answer."""
    backend = Gated()
    commands = [asker(backend, another()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(one.ask, Request((), "q")) for one in commands]
        for _ in range(4):
            backend.gate.release()
    assert backend.asked == ["q"]
    results = sorted((one.result().answer.text, one.result().stored) for one in answers)
    assert results == [("answer to q", False), ("answer to q", True)]


def test_after_a_failure_the_other_command_asks(another):
    """The lock is released when the question fails, so that a waiting command asks itself."""
    ours, (_, theirs) = another(), another()
    backend = Gated()
    key = Request((), "q").key(backend.identity())
    assert theirs.take(key)
    backend.gate.release()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker(backend, ours).ask, Request((), "q"))
        theirs.release(key)
        assert answer.result(timeout=30).answer.text == "answer to q"


def test_a_command_that_waits_for_another_can_be_stopped(another):
    """A run that ends does not wait for the answers of others."""
    ours, (_, theirs) = another(), another()
    backend = Gated()
    assert theirs.take(Request((), "q").key(backend.identity()))
    waiting = asker(backend, ours)
    waiting.stop()
    with pytest.raises(UnaskedError, match="the run was ended"):
        waiting.ask(Request((), "q"))
    assert backend.asked == []
