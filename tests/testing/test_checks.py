"""The checks of the contract: what keeps it passes, and each broken plugin fails the check that is made for it."""

import json
import os
import random
import subprocess
import sys
import time
from hashlib import sha256

import numpy as np
import pytest

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, ManyBackend, ScriptedBackend, Usage
from lvlm_ad.baseline import Baseline, DenseScores
from lvlm_ad.errors import RejectedError, TransientError
from lvlm_ad.plugins import build, find_model, load_plugin
from lvlm_ad.testing import (
    BACKEND_CHECKS,
    BASELINE_CHECKS,
    ContractError,
    check_backend,
    check_baseline,
    problems,
    sentence,
)


class Good(Backend):
    def answer(self, request):  # noqa: ARG002
        return Answer("yes")


class Together(ManyBackend):
    max_batch_size = 4

    def answer_many(self, requests):
        return [f"you asked: {request.text}" for request in requests]


class Plain:
    """Not even a subclass."""

    def answer(self, request):  # noqa: ARG002
        return "yes"


class PlainTogether:
    def answer_many(self, requests):
        return ["yes" for _ in requests]


class Company(Backend):
    """Batches inside, so that an answer depends on the company; but never another question's answer."""

    capabilities = Capabilities(batches_internally=True, concurrency=4)
    inside = 0

    def answer(self, request):
        self.inside += 1
        time.sleep(0.01)
        alone, self.inside = self.inside == 1, self.inside - 1
        return shown(request) + ("" if alone else " in company")


def shown(request):
    """An answer that depends on nothing but the pictures."""
    return f"score 0.{int(sha256(b''.join(one.data for one in request.images)).hexdigest(), 16) % 10**6}"


@pytest.mark.parametrize("sound", [Together, Plain, PlainTogether, Company], ids=lambda one: one.__name__)
def test_a_sound_backend_passes(sound):
    """A class does as well as an object, and a text as well as an Answer."""
    assert check_backend(sound) == list(BACKEND_CHECKS)


def test_the_scripted_backend_passes(tmp_path):
    """One with a required option is given as an object."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(["image anomaly score: 0.5."]))
    check_backend(ScriptedBackend(ScriptedBackend.Options(file=script, cycle=True)))


@pytest.mark.parametrize("name", ["chance", pytest.param("contrast", marks=pytest.mark.slow), "oracle"])
def test_baselines_without_weights_pass(name):
    """Those of this repository keep their own contract."""
    assert check_baseline(load_plugin("baseline", name).cls) == list(BASELINE_CHECKS)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["clip-ac", "clip-ad", "winclip"])
def test_clip_baselines_pass(name, tiny_clip):
    """With tiny random weights."""
    settings = {"model": str(tiny_clip), "pretrained": "random", "device": "cpu"}
    assert check_baseline(build(find_model(name, settings)[0])) == list(BASELINE_CHECKS)


@pytest.mark.heavy
def test_transformers_passes(tiny_lvlm):
    """With a tiny real model, whatever it answers."""
    settings = {"model": str(tiny_lvlm("qwen2_5_vl")), "max_tokens": 16, "device": "cpu"}
    check_backend(build(find_model("transformers", settings)[0]))


def test_openai_passes(endpoint, monkeypatch):
    """Against an HTTP endpoint that keeps to a schema."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen-42")
    plain = endpoint.reply
    valid = '{"image_anomaly_score": 0.5, "regions": []}'
    endpoint.reply = lambda body: valid if "response_format" in body else plain(body)
    check_backend(build(find_model("openai", {"base_url": endpoint.url, "model": "m"})[0]))


def test_about_fifty_questions_are_asked():
    """As the command, the function and the tutorial say."""
    asked = []

    class Counts(Good):
        def answer(self, request):
            asked.append(request)
            return super().answer(request)

    assert check_backend(Counts) == list(BACKEND_CHECKS)
    assert 44 <= len(asked) <= 55


def answering(code, **members):
    """A backend whose ``answer`` does what the code says."""
    space = {"Answer": Answer, "Usage": Usage, "RejectedError": RejectedError, "TransientError": TransientError}
    space |= {"os": os, "sys": sys, "np": np}
    exec(f"def answer(self, request):\n    {code}\n    return Answer('yes')", space)
    return type("Broken", (Backend,), {"answer": space["answer"], **members})


class KeyOptions(BackendOptions):
    api_key: str = ""


class Gathers(Backend):
    """Answers what was asked last, whoever asks."""

    def answer(self, request):
        self.asked = request
        time.sleep(0.02)
        return shown(self.asked)


class Swaps(ManyBackend):
    """Swaps two answers behind the tenth."""

    max_batch_size = 12

    def answer_many(self, requests):
        answers = [shown(one) for one in requests]
        return [*answers[:10], *answers[10:][::-1]]


class TakesFive(ManyBackend):
    max_batch_size = 64

    def answer_many(self, requests):
        if len(requests) > 5:
            raise MemoryError("too many")
        return [shown(one) for one in requests]


class Generates(Together):
    def answer_many(self, requests):
        return (answer for answer in super().answer_many(requests))


class WantsMore(Good):
    def __init__(self, options=None, *, address="here"):
        super().__init__(options)
        self.address = address

    def identity(self):
        return {"address": self.address}


NO_PICTURES = "if not request.images: "


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (answering("return 3"), "answers_are_valid", "answer() returned int"),
        (answering("return Answer('yes', usage=Usage(input_tokens=-1))"), "answers_are_valid", "Usage.input_tokens"),
        (answering("return Answer('yes', usage=Usage(output_tokens=True))"), "answers_are_valid", "Usage.output_token"),
        (answering("return Answer('yes', seconds=float('nan'))"), "answers_are_valid", "nan seconds"),
        (answering("return Answer('yes', 'weird')"), "answers_are_valid", "the outcome 'weird'"),
        (answering("return Answer('')"), "answers_are_valid", "the outcome empty"),
        (Generates, "batches_keep_order", "returned generator; it must return a list"),
        (answering("pass", capabilities=Capabilities(schema=True)), "text_and_json", "schema is declared"),
        (answering("request.options['n_regions']"), "text_and_json", "answer() raised KeyError"),
        (answering(NO_PICTURES + "raise IndexError('list')"), "pictures_of_any_size", "answer() raised IndexError"),
        (answering(NO_PICTURES + "sys.exit(3)"), "pictures_of_any_size", "answer() raised SystemExit: 3"),
        (answering(NO_PICTURES + "import nobodys_lib"), "pictures_of_any_size", "needs the module 'nobodys_lib'"),
        (answering(NO_PICTURES + "raise TransientError('no')"), "pictures_of_any_size", "raised TransientError: no"),
        (answering("request.options.clear()"), "request_is_unchanged", "changes the request"),
        (answering("", identity=lambda _: {"now": random.random()}), "identity_is_json", "the same each time"),
        (answering("", identity=lambda _: {1: "one"}), "identity_is_json", "JSON values only"),
        (lambda: WantsMore(address="there"), "rebuilt_it_is_the_same", "another identity()"),
        (Gathers, "threads_get_their_own_answers", "the answer to another"),
        (Swaps, "batches_keep_order", "in another order"),
        (TakesFive, "batches_keep_order", "MemoryError: too many"),
        (answering("", close=lambda _: 1 / 0), "close_returns", "close() raised ZeroDivisionError"),
        (answering("", Options=KeyOptions), "no_secret_is_shown", "the option 'api_key' holds a secret"),
        (answering("", identity=lambda _: {"k": os.environ["REAL_API_KEY"]}), "no_secret_is_shown", "REAL_API_KEY"),
        (answering("", __repr__=lambda _: os.environ.get("UNSET_API_KEY", "")), "no_secret_is_shown", "UNSET_API_KEY"),
        (
            answering(NO_PICTURES + "raise RejectedError(os.environ.get('UNSET_API_KEY', ''))"),
            "no_secret_is_shown",
            "an error contains UNSET_API_KEY",
        ),
    ],
)
def test_a_broken_backend_fails_its_check(broken, check, message, monkeypatch):
    """The message says what is wrong; keys that the code names are found, set or not."""
    monkeypatch.setenv("REAL_API_KEY", "a-secret-of-some-length")
    found = problems(broken(), {check: BACKEND_CHECKS[check]})
    assert message in found[check]


def test_after_an_invalid_answer_nothing_more_is_asked():
    """The other checks would only repeat what is wrong."""
    failed = problems(answering("return 3")(), BACKEND_CHECKS)
    assert failed["answers_are_valid"].startswith("answer() returned int")
    assert failed["close_returns"] == "not checked, because answers_are_valid failed"
    assert set(failed) == set(list(BACKEND_CHECKS)[3:])
    with pytest.raises(ContractError, match=r"^answers_are_valid: answer\(\) returned int"):
        check_backend(answering("return 3"))


def test_what_cannot_be_built_is_named():
    """A class of the other kind, one that ends the process, and what is no class."""
    with pytest.raises(ContractError, match="Even is a baseline, not a backend"):
        check_backend(Even)
    with pytest.raises(ContractError, match="building Ends raised SystemExit: no licence"):
        check_backend(type("Ends", (Good,), {"__init__": lambda *_: sys.exit("no licence")}))
    with pytest.raises(ContractError, match="int is no backend"):
        check_backend(3)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        # No extra of lvlm-ad brings tensorflow: a real one would be found instead.
        ("import tensorflow", "importing it loads tensorflow; import them where they are used"),
        ("", "importing it takes 0.0 seconds; import what is slow where it is used"),
        ("import json; json.loads('{')", "in a fresh Python its import fails: json.decoder.JSONDecodeError"),
    ],
)
def test_a_heavy_import_is_found(code, message, tmp_path, monkeypatch):
    """Large libraries and slow code belong into the methods; a helper beside the file is found."""
    monkeypatch.setattr("lvlm_ad.testing.any_plugin._LONGEST_IMPORT", 0.0)
    (tmp_path / "tensorflow.py").write_text("")
    path = tmp_path / "heavy.py"
    path.write_text("class Heavy:\n    def answer(self, request): return 'yes'\n")
    plugin = build(find_model(str(path), {})[0])
    path.write_text(f"{code}\n{path.read_text()}")
    check = {"import_is_fast": BACKEND_CHECKS["import_is_fast"]}
    assert message in problems(plugin, check)["import_is_fast"]


class Even(Baseline):
    """Scores everything alike."""

    def score(self, view):
        return DenseScores(0.5, np.full(view.image.shape[:2], 0.5, np.float32))


def scoring(code, **members):
    """A baseline whose ``score`` does what the code says."""
    space = {"DenseScores": DenseScores, "Even": Even, "np": np, "os": os, "random": random}
    exec(f"def score(self, view):\n    even = Even.score(self, view)\n    {code}\n    return even", space)
    return type("Broken", (Baseline,), {"score": space["score"], **members})


GREY = "values = view.image.mean(axis=2); "


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (scoring("return DenseScores(0.5, even.map[:8, :8])"), "scores_are_valid", "of shape (8, 8)"),
        (scoring(GREY + "return DenseScores(0.5, values / 9)"), "scores_are_valid", "outside [0, 1]"),
        (scoring("raise SystemExit(3)"), "scores_are_valid", "score() raised SystemExit: 3"),
        (scoring("return DenseScores(0.5, even.map.astype(int))"), "scores_are_valid", "it must hold floats"),
        (
            scoring(GREY + "return DenseScores(0.5, np.divide(values - values.min(), np.ptp(values)))"),
            "any_image",
            "",
        ),
        (scoring("return DenseScores(random.random(), even.map)"), "scores_are_reproducible", "by View.seed"),
        (
            scoring("return DenseScores(random.Random(view.seed).random(), even.map)"),
            "use_of_seed_is_declared",
            "declare seeded",
        ),
        (scoring("view.image[:] = 0"), "view_is_unchanged", "writes into"),
        (scoring("return DenseScores(0.5, even.map, parts=(0.5,))"), "category_scores_are_valid", "gave parts but"),
        (
            scoring("return DenseScores(0.5, even.map, parts=(0.5,))", finalize_category=lambda *_: [1.5] * 3),
            "category_scores_are_valid",
            "outside [0, 1]",
        ),
        (scoring("", close=lambda _: 1 / 0), "closing_raises_nothing", "ZeroDivisionError"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_broken_baseline_fails_its_check(broken, check, message):
    """The message says what is wrong."""
    assert message in problems(broken(), {check: BASELINE_CHECKS[check]})[check]


def test_every_check_is_a_sentence():
    """The first sentence of its documentation says what a check demands."""
    for check in (*BACKEND_CHECKS.values(), *BASELINE_CHECKS.values()):
        assert sentence(check).endswith(".")


def test_the_command_names_each_check(tmp_path, lvlm_ad_command):
    """One line per check, made or not; what is wrong in JSON and status; another kind and wrong settings are told."""
    (tmp_path / "own.py").write_text(
        "class Own:\n    def answer(self, request): return 'yes' if request.images else 3\n"
    )
    done = lvlm_ad_command("check-backend", "own.py", "--json")
    assert done.returncode == 2
    found = {name for name, problem in json.loads(done.stdout)["checks"].items() if problem}
    assert found == {"pictures_of_any_size", "text_and_json"}
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines[:-1]].count("FAIL") == 2
    assert lines[-1] == f"own: {len(BACKEND_CHECKS) - 2} of {len(BACKEND_CHECKS)} checks passed."
    (tmp_path / "none.py").write_text("class Own:\n    def answer(self, request): return 3\n")
    results = [line.split()[0] for line in lvlm_ad_command("check-backend", "none.py").stdout.splitlines()[:-1]]
    failed = results.index("FAIL")
    assert results[failed:] == ["FAIL"] + ["skip"] * (len(BACKEND_CHECKS) - failed - 1)
    done = lvlm_ad_command("check-baseline", "own.py")
    assert (done.returncode, "'lvlm-ad check-backend own.py' checks it" in done.stderr) == (2, True)
    done = lvlm_ad_command("check-backend", "own.py", "--set", "wrod=1")
    assert (done.returncode, "own.py has no setting 'wrod'" in done.stderr) == (2, True)


@pytest.mark.slow
def test_pytest_makes_one_test_per_check(tmp_path):
    """With ``pytest_plugins`` a failure names its check; tests that ask for no check are left alone."""
    (tmp_path / "test_mine.py").write_text(
        "pytest_plugins = ['lvlm_ad.testing']\n\n"
        "class Mine:\n    def answer(self, request): return 'yes' if request.images else 3\n\n"
        "def test_contract(backend_check): backend_check(Mine)\n\n"
        "def test_other(): pass\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "error",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    output = done.stdout
    assert f"2 failed, {len(BACKEND_CHECKS) - 1} passed" in output, output
    assert "test_contract[pictures_of_any_size]" in output
    assert "test_contract[any_text]" not in output
