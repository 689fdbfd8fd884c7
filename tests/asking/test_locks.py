import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lvlm_ad.asking import AnswerStore, Asker, Budget, Locks
from lvlm_ad.asking import locks as claims_module
from lvlm_ad.backend import Answer, Backend, Request
from lvlm_ad.errors import StoreError, UnaskedError
from lvlm_ad.presets import Price
from lvlm_ad.store import open_answers


@pytest.fixture
def opened(tmp_path):
    """Open the same file of claims again and again."""
    made = []

    def make():
        made.append(Locks(open_answers(tmp_path / "answers.sqlite")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_one_of_two_has_the_claim(opened):
    """A claimed question cannot be claimed by another until it is released; one's own claim can be taken again."""
    ours, theirs = opened(), opened()
    assert ours.take("k")
    assert ours.take("k")
    assert not theirs.take("k")
    assert theirs.take("other")
    ours.release("k")
    assert theirs.take("k")
    ours.release("k")
    assert not ours.take("k")


def test_closing_gives_claims_up(tmp_path):
    """What a process still held is free when it ends in order."""
    first = Locks(open_answers(tmp_path / "answers.sqlite"))
    assert first.take("k")
    first.close()
    second = Locks(open_answers(tmp_path / "answers.sqlite"))
    assert second.take("k")
    second.close()


def test_a_dead_owners_claim_is_free_at_once(opened, tmp_path):
    """After kill -9 of the process that held it, a claim can be taken without waiting."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom lvlm_ad.asking import Locks\nfrom lvlm_ad.store import open_answers\n"
        "claims = Locks(open_answers(Path(sys.argv[1])))\nprint(claims.take('k'), flush=True)\ntime.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "answers.sqlite")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "True\n"
    ours = opened()
    assert not ours.take("k")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert ours.take("k")


def test_an_owner_that_gives_no_sign_of_life_is_dead(opened):
    """A claim expires when its owner has not been seen for long, though a process of its number runs."""
    theirs, ours = opened(), opened()
    assert theirs.take("k")
    assert not ours.take("k")
    theirs._closed.set()
    theirs._heart.join()
    ours._write("UPDATE owners SET seen = ? WHERE owner = ?", (time.time() - 31, theirs._owner))
    assert ours.take("k")


def test_an_owner_gives_signs_of_life(opened, monkeypatch):
    """While a process lives, its last sign of life grows younger by itself, also after it was taken for dead."""
    monkeypatch.setattr(claims_module, "_BEAT", 0.01)
    ours = opened()
    for loss in ("UPDATE owners SET seen = 0", "DELETE FROM owners"):
        ours._write(loss)
        deadline = time.monotonic() + 30
        while not any(time.time() - seen < 5 for (seen,) in ours._write("SELECT seen FROM owners")):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_file_that_is_none_is_refused(tmp_path):
    """Another file under that name gives one clear error."""
    (tmp_path / "answers.sqlite").write_bytes(b"something else entirely, and long enough" * 50)
    with pytest.raises(StoreError, match="file of claims"):
        Locks(open_answers(tmp_path / "answers.sqlite"))


class Gated(Backend):
    """Answers when told to."""

    def __init__(self):
        super().__init__()
        self.gate, self.asked = threading.Semaphore(0), []

    def answer(self, request):
        self.asked.append(request.text)
        self.gate.acquire()
        return Answer(f"answer to {request.text}")


def test_two_processes_do_not_ask_the_same_question(opened, tmp_path):
    """Two callers on one store, as two processes have them: one asks, the other waits and gets the same answer."""
    backend = Gated()
    callers = [
        Asker(backend, AnswerStore(open_answers(tmp_path / "a.sqlite")), Price(), Budget(None), locks=opened()) for _ in range(2)
    ]
    found = []
    threads = [threading.Thread(target=lambda c=c: found.append(c.ask(Request((), "q")))) for c in callers]
    for thread in threads:
        thread.start()
    for _ in range(4):
        backend.gate.release()
    for thread in threads:
        thread.join(timeout=30)
    assert backend.asked == ["q"]
    assert sorted((one.answer.text, one.stored) for one in found) == [("answer to q", False), ("answer to q", True)]


def test_after_a_failure_the_other_process_asks(opened, tmp_path):
    """A claim is released when the question fails, so that who waits for its answer asks itself."""
    ours, theirs = opened(), opened()
    assert theirs.take(Request((), "q").key(Gated().identity()))
    backend = Gated()
    backend.gate.release()
    caller = Asker(backend, AnswerStore(open_answers(tmp_path / "a.sqlite")), Price(), Budget(None), locks=ours)
    done = []
    thread = threading.Thread(target=lambda: done.append(caller.ask(Request((), "q"))))
    thread.start()
    theirs.release(Request((), "q").key(backend.identity()))
    thread.join(timeout=30)
    assert done[0].answer.text == "answer to q"


def test_who_waits_for_another_process_can_be_stopped(opened, tmp_path):
    """A run that ends does not wait for the answers of others."""
    ours, theirs = opened(), opened()
    backend = Gated()
    assert theirs.take(Request((), "q").key(backend.identity()))
    caller = Asker(backend, AnswerStore(open_answers(tmp_path / "a.sqlite")), Price(), Budget(None), locks=ours)
    caller.stop()
    with pytest.raises(UnaskedError, match="the run was ended"):
        caller.ask(Request((), "q"))
    assert backend.asked == []
