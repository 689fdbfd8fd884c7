"""Backends that a hurried look would pass, or that would end it: hangs, exits, mixed-up pictures, early changes."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from hashlib import sha256

import numpy as np
import pytest

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, ManyBackend
from lvlm_ad.cli import check
from lvlm_ad.errors import ConfigError, RejectedError
from lvlm_ad.plugins import build, find_model
from lvlm_ad.presets import validated
from lvlm_ad.testing import BACKEND_CHECKS, PATIENCE, ContractError, check_backend, one_check, problems
from lvlm_ad.testing.questions import fits, question
from lvlm_ad.testing.running import alive, run_alone, together
from lvlm_ad.testing.state import changes, look, put_back


def seen(request):
    """An answer that depends on nothing but the pictures."""
    return f"image anomaly score: 0.{int(sha256(b''.join(one.data for one in request.images)).hexdigest(), 16) % 10**6}"


class SwapsPictures(ManyBackend):
    max_batch_size = 4

    def answer_many(self, requests):
        return [seen(one) for one in requests][::-1]


class SwapsTheLast(ManyBackend):
    max_batch_size = 12

    def answer_many(self, requests):
        given = [seen(one) for one in requests]
        return [*given[:10], *given[10:][::-1]]


class MixesPictures(Backend):
    def answer(self, request):
        self.asked = request
        time.sleep(0.02)
        return seen(self.asked)


class Gathers(MixesPictures):
    """Puts questions together, and so may give other numbers, but not those of another."""

    capabilities = Capabilities(batches_internally=True, concurrency=4)


class Company(Backend):
    """Answers otherwise in company, but to each its own: it gathers."""

    capabilities = Capabilities(batches_internally=True, concurrency=4)
    lock = threading.Lock()
    inside = 0

    def answer(self, request):
        with self.lock:
            self.inside += 1
        time.sleep(0.02)
        alone = self.inside == 1
        with self.lock:
            self.inside -= 1
        return seen(request) + ("" if alone else " in company")


class TakesFive(ManyBackend):
    max_batch_size = 64

    def answer_many(self, requests):
        if len(requests) > 5:
            raise MemoryError("too many")
        return [seen(one) for one in requests]


class Exits(Backend):
    def answer(self, request):
        if not request.images:
            sys.exit(3)
        return "yes"


class Interrupts(Backend):
    def answer(self, request):
        if not request.images:
            raise KeyboardInterrupt
        return "yes"


class ExitsTogether(ManyBackend):
    max_batch_size = 2

    def answer_many(self, requests):
        if not all(one.images for one in requests):
            sys.exit(3)
        return ["yes" for _ in requests]


class Lacks(Backend):
    def answer(self, request):
        if not request.images:
            import fancylib_of_nobody  # noqa: F401
        return "yes"


class Nonsense(Backend):
    capabilities = Capabilities(schema=True)

    def answer(self, request):
        schema = request.options.get("schema")
        return json.dumps(dict.fromkeys(schema["required"], "nonsense")) if schema else "yes"


class TellsInErrors(Backend):
    def answer(self, request):
        if not request.images:
            raise RejectedError(f"no pictures for {os.environ.get('SOME_DRILL_KEY', 'nobody')}")
        return "yes"


class TellsInRepr(Backend):
    def __repr__(self):
        return f"<with {os.environ.get('SOME_DRILL_KEY', 'nothing')}>"

    def answer(self, request):  # noqa: ARG002
        return "yes"


class KeyOptions(BackendOptions):
    api_key: str = ""


class TakesAKey(Backend):
    Options = KeyOptions

    def answer(self, request):  # noqa: ARG002
        return "yes"


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (SwapsPictures, "a_batch_is_its_questions", "in another order"),
        (SwapsTheLast, "a_batch_is_its_questions", "in another order"),
        (MixesPictures, "many_at_once", "gets the answer of another"),
        (Gathers, "many_at_once", "gets the answer of another"),
        (TakesFive, "a_batch_is_its_questions", "MemoryError: too many"),
        (Exits, "pictures_of_any_size", "raised SystemExit: 3"),
        (Interrupts, "pictures_of_any_size", "raised KeyboardInterrupt"),
        (ExitsTogether, "pictures_of_any_size", "raised SystemExit: 3"),
        (Lacks, "pictures_of_any_size", "answer() needs the module 'fancylib_of_nobody', which is not installed"),
        (Nonsense, "both_formats", "breaks the schema"),
        (TellsInErrors, "nothing_secret_is_shown", "holds SOME_DRILL_KEY"),
        (TellsInRepr, "nothing_secret_is_shown", "holds SOME_DRILL_KEY"),
        (TakesAKey, "nothing_secret_is_shown", "the option 'api_key' holds a secret"),
    ],
)
def test_what_hides_from_a_hurried_look_is_found(broken, check, says):
    """By the right check; no key is set, and the other checks go on."""
    found = problems(broken(), BACKEND_CHECKS)
    assert [name for name, wrong in found.items() if not wrong.startswith("as above")] == [check]
    assert says in found[check]


def test_one_that_gathers_may_answer_otherwise_in_company():
    """Numbers of a batch differ from those of one alone."""
    assert check_backend(Company) == list(BACKEND_CHECKS)


def test_every_question_shows_its_own_picture():
    """Though their texts are as long."""
    digests = {question(f"number {number}").images[0].digest for number in range(10)}
    assert len(digests) == 10


def test_about_fifty_questions_are_asked():
    """As the command, the function and the tutorial say."""
    count = 0

    class Counts(Backend):
        def answer(self, request):  # noqa: ARG002
            nonlocal count
            count += 1
            return "yes"

    check_backend(Counts)
    assert 44 <= count <= 55


def test_what_hangs_is_told_with_its_line_and_the_rest_is_not_waited_for():
    """One check waits for as long as it may; the next ones say why they were not made."""
    gate = threading.Event()

    class Hangs(Backend):
        asked = 0

        def answer(self, request):
            if not request.images:
                self.asked += 1
                gate.wait()
            return "yes"

    backend = Hangs()
    try:
        found = problems(backend, BACKEND_CHECKS, limit=0.5)
    finally:
        gate.set()
    assert re.search(
        r"nothing came for 0\.5 seconds \(.*test_kit_drills\.py, line \d+\)", found["pictures_of_any_size"]
    )
    assert found["any_text"] == found["closing_ends_it"] == "not checked, since pictures_of_any_size hung"
    assert "an_answer_is_an_answer" not in found
    assert backend.asked == 1


def test_a_thread_that_hangs_in_company_is_told():
    """The one that hangs is found among those that wait for it."""
    gate = threading.Event()

    class Deadlocks(Backend):
        inside = 0

        def answer(self, request):  # noqa: ARG002
            self.inside += 1
            time.sleep(0.01)
            if self.inside > 1:
                gate.wait()
            self.inside -= 1
            return "yes"

    try:
        found = problems(Deadlocks(), {"many_at_once": BACKEND_CHECKS["many_at_once"]}, limit=0.5)
    finally:
        gate.set()
    assert "test_kit_drills.py" in found["many_at_once"]


def test_one_that_is_slow_is_not_taken_to_hang():
    """What counts is the time without an answer, not that of a check."""
    asked = []

    def slow(_plugin):
        for number in range(60):
            time.sleep(0.05)
            asked.append(number)
            alive()

    run_alone(slow, None, limit=2.0)
    assert len(asked) == 60


def test_what_several_threads_raise_is_raised():
    """An end of the process too."""

    def act(number):
        if number == 3:
            raise SystemExit(number)
        return number

    assert together(4, lambda number: number, range(9)) == list(range(9))
    with pytest.raises(SystemExit, match="3"):
        together(4, act, range(9))


CHANGES = {
    "random's stream": "import random; random.seed(0)",
    "the environment": "import os; os.environ['SOMETHING_OF_MINE'] = '1'",
    "the working folder": "import os; os.chdir('/')",
    "sys.path": "import sys; sys.path.insert(0, '/tmp/nowhere')",
    "the recursion limit": "import sys; sys.setrecursionlimit(5000)",
    "logging.disable": "import logging; logging.disable(logging.CRITICAL)",
    "warnings.filters": "import warnings; warnings.simplefilter('ignore')",
    "time-out of sockets": "import socket; socket.setdefaulttimeout(3)",
    "np.seterr": "import numpy; numpy.seterr(all='raise')",
    "how numpy prints": "import numpy; numpy.set_printoptions(precision=2)",
}


@pytest.mark.parametrize("where", ["importing it", "building it", "first", "answer()"])
def test_changes_of_the_process_are_found_whenever_they_are_made(where, tmp_path, lvlm_ad_command):
    """When the module is imported, the class is built, the first question is asked, or each time."""
    change = "; ".join(CHANGES.values())
    lines = {
        "importing it": f"{change}\nclass Own:\n    def answer(self, request): return 'yes'\n",
        "building it": f"class Own:\n    def __init__(self): {change}\n    def answer(self, request): return 'yes'\n",
        "first": (
            "class Own:\n    ready = False\n    def answer(self, request):\n        if not self.ready:\n"
            f"            {change}\n        self.ready = True\n        return 'yes'\n"
        ),
        "answer()": f"class Own:\n    def answer(self, request):\n        {change}\n        return 'yes'\n",
    }
    (tmp_path / "own.py").write_text(lines[where])
    done = lvlm_ad_command("check-backend", str(tmp_path / "own.py"), "--json")
    found = {name: wrong for name, wrong in json.loads(done.stdout)["checks"].items() if wrong}
    assert list(found) == ["nothing_else_changes"], done.stderr
    told = found["nothing_else_changes"]
    assert ("(in an_answer_is_an_answer)" if where == "first" else f"{where} changes") in told
    assert [name for name in CHANGES if name not in told] == []


def test_muting_a_library_of_ones_own_is_no_change(tmp_path):
    """Libraries do so when they are imported, and scikit-learn sets variables."""
    (tmp_path / "own.py").write_text(
        "import os, warnings\nos.environ['KMP_INIT_AT_FORK'] = 'FALSE'\n"
        "class OwnWarning(UserWarning): pass\nwarnings.simplefilter('ignore', OwnWarning)\n"
        "warnings.filterwarnings('ignore', message='of mine')\n"
        "class Own:\n    def answer(self, request): return 'yes'\n"
    )
    found = BACKEND_CHECKS["nothing_else_changes"]
    assert problems(build(find_model(str(tmp_path / "own.py"), {})[0]), {"nothing_else_changes": found}) == {}


def test_a_stream_that_was_drawn_from_is_told_from_one_that_was_seeded():
    """Libraries draw when they are imported; seeding takes the stream away from others."""
    for draw, seed, name in (
        (random.random, lambda: random.seed(3), "random's stream"),
        (np.random.random, lambda: np.random.seed(3), "numpy's stream"),  # noqa: NPY002 - the stream at issue
    ):
        before = look()
        for count in (1, 700, 5000):
            for _ in range(count):
                draw()
            assert changes(before, look(), drawn=False) == []
            assert changes(before, look()) == [name]
        seed()
        assert changes(before, look(), drawn=False) == [name]
        put_back(before)
        assert changes(before, look()) == []


def test_a_slow_import_is_found(tmp_path, monkeypatch):
    """With what it takes."""
    monkeypatch.setattr("lvlm_ad.testing.contract._LONGEST_IMPORT", 0.0)
    (tmp_path / "slow.py").write_text(
        "import sys, time\nif 'lvlm_ad.testing.fresh' in sys.modules: time.sleep(30)\n"
        "class Slow:\n    def answer(self, request): return 'yes'\n"
    )
    monkeypatch.setattr("lvlm_ad.testing.contract.in_a_fresh_python", lambda *_, **__: Took)
    check = {"import_is_light": BACKEND_CHECKS["import_is_light"]}

    class Took:
        failed, heavy, changed, seconds, own = "", [], [], 8.0, 1.0

    found = problems(Exits(), check)
    assert found["import_is_light"].startswith("importing it takes 8.0 seconds beside the 1.0 of lvlm_ad itself")
    Took.own = 5.0
    assert problems(Exits(), check) == {}, "a slow machine"


def test_a_helper_beside_the_file_is_found_from_any_folder(tmp_path, monkeypatch):
    """In a fresh Python as in this one; where the import does fail there, one line says why."""
    (tmp_path / "helper_of_mine.py").write_text("SAYS = 'yes'\n")
    path = tmp_path / "own.py"
    path.write_text("import helper_of_mine\nclass Own:\n    def answer(self, request): return helper_of_mine.SAYS\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    check = {"import_is_light": BACKEND_CHECKS["import_is_light"]}
    plugin = build(find_model(str(path), {})[0])
    assert problems(plugin, check) == {}
    path.write_text("\nraise RuntimeError('no luck')\n")
    from lvlm_ad.testing.fresh import _done

    _done.cache_clear()
    wrong = f"in a fresh Python its import fails: RuntimeError: no luck ({path}, line 2)"
    assert problems(plugin, check) == {"import_is_light": wrong}


def test_a_class_that_cannot_be_built_is_told():
    """An end of the process is a fault like another."""

    class Ends(Backend):
        def __init__(self, options=None):
            super().__init__(options)
            sys.exit("no licence")

        def answer(self, request):  # noqa: ARG002
            return Answer("yes")

    with pytest.raises(ContractError, match="Ends cannot be built: SystemExit: no licence"):
        check_backend(Ends)


def test_one_check_takes_what_all_take():
    """A class or an object; the test is called as the check."""
    one = one_check("backend", BACKEND_CHECKS["pictures_of_any_size"])
    assert one.__name__ == "pictures_of_any_size"
    one(Company)
    one(Company())
    with pytest.raises(ContractError, match="SystemExit: 3"):
        one(Exits)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('{"image_anomaly_score": 0.5, "regions": [{"region": 1, "score": 0}]}', True),
        ('{"image_anomaly_score": 1, "regions": []}', True),
        ('{"image_anomaly_score": 1.5, "regions": []}', False),
        ('{"image_anomaly_score": true, "regions": []}', False),
        ('{"image_anomaly_score": "0.5", "regions": []}', False),
        ('{"image_anomaly_score": 0.5}', False),
        ('{"image_anomaly_score": 0.5, "regions": {}}', False),
        ('{"image_anomaly_score": 0.5, "regions": [], "more": 1}', False),
        ('{"image_anomaly_score": 0.5, "regions": [{"region": 3, "score": 0}]}', False),
        ('{"image_anomaly_score": 0.5, "regions": [{"region": 1.5, "score": 0}]}', False),
        ('{"image_anomaly_score": 0.5, "regions": [{"region": 1}]}', False),
        ("[]", False),
        ("0.5", False),
        ("{", False),
    ],
)
def test_an_answer_is_held_to_its_schema(text, is_one):
    """Members, types and ranges."""
    from lvlm_ad.prompts.question import answer_schema

    assert fits(text, answer_schema(2)) == is_one


def test_the_value_of_a_key_is_never_quoted():
    """Where an option that holds one is refused."""
    with pytest.raises(ConfigError) as caught:
        validated(KeyOptions, {"api_key": ["sk-never-to-be-seen"]}, "model x")
    assert "api_key" in str(caught.value)
    assert "sk-never" not in str(caught.value)


def test_a_command_that_hangs_ends(tmp_path):
    """The process too, though a thread hangs for ever; failing checks that were not made are in the JSON."""
    (tmp_path / "own.py").write_text(
        "import threading\nclass Own:\n    def answer(self, request): threading.Event().wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "lvlm_ad", "check-backend", "own.py", "--limit", "0.5", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    found = json.loads(done.stdout)["checks"]
    assert done.returncode == 2
    assert all(found[name] for name in list(BACKEND_CHECKS)[4:])
    assert not any(found[name] for name in list(BACKEND_CHECKS)[:4])


def test_a_thread_that_is_left_running_holds_up_no_end(tmp_path):
    """One that is no daemon, and waits for ever."""
    (tmp_path / "own.py").write_text(
        "import threading\nclass Own:\n    def answer(self, request): return 'yes'\n"
        "    def __init__(self): threading.Thread(target=threading.Event().wait).start()\n"
    )
    command = [sys.executable, "-m", "lvlm_ad", "check-backend", "own.py", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not any(json.loads(done.stdout)["checks"].values())


def test_the_command_waits_as_long_as_the_functions():
    """It says so itself, for it imports them only when it runs."""
    assert check._LIMIT == PATIENCE
