"""The contract kit: what this repository brings passes, and each broken one fails the right check and no other."""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from pydantic import ConfigDict

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, ManyBackend, ScriptedBackend, Usage
from lvlm_ad.baseline import Baseline, DenseScores
from lvlm_ad.errors import TransientError
from lvlm_ad.plugins import build, find_model
from lvlm_ad.testing import (
    BACKEND_CHECKS,
    BASELINE_CHECKS,
    ContractError,
    check_backend,
    check_baseline,
    problems,
    sentence,
)


def test_the_scripted_backend_keeps_the_contract(tmp_path):
    """All checks run, each named."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(["image anomaly score: 0.5."]))
    backend = ScriptedBackend(ScriptedBackend.Options(file=script, repeat=True))
    assert check_backend(backend) == list(BACKEND_CHECKS)


@pytest.mark.parametrize("name", ["chance", "contrast", "oracle"])
def test_baselines_keep_the_contract(name):
    """Those that need no weights; a class does as well as an object."""
    assert check_baseline(find_model(name, {})[0].plugin.cls) == list(BASELINE_CHECKS)


@pytest.mark.parametrize("name", ["clip-ac", "clip-ad", "winclip"])
def test_clip_baselines_keep_the_contract(name, tiny_clip):
    """With tiny random weights."""
    settings = {"model": str(tiny_clip), "pretrained": "random", "device": "cpu"}
    assert check_baseline(build(find_model(name, settings)[0])) == list(BASELINE_CHECKS)


def test_every_check_is_a_sentence():
    """What a check demands is said by its first sentence."""
    for check in (*BACKEND_CHECKS.values(), *BASELINE_CHECKS.values()):
        assert sentence(check).endswith(".")
        assert len(sentence(check)) > 15


def test_openai_keeps_the_contract(endpoint, monkeypatch):
    """Against a real HTTP endpoint that keeps to a schema."""
    from lvlm_ad_backends.openai import OpenAIBackend, OpenAIOptions

    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen-42")
    plain = endpoint.reply
    held = '{"image_anomaly_score": 0.5, "regions": []}'
    endpoint.reply = lambda body: held if "response_format" in body else plain(body)
    backend = OpenAIBackend(OpenAIOptions(base_url=endpoint.url, model="m"))
    try:
        check_backend(backend)
    finally:
        backend.close()


def test_transformers_keeps_the_contract(tiny_lvlm):
    """With a tiny real model, whatever it answers."""
    from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions

    backend = TransformersBackend(TransformersOptions(model=str(tiny_lvlm("qwen2_5_vl")), max_tokens=16, device="cpu"))
    check_backend(backend)
    backend.close()


class Good(Backend):
    def answer(self, request):  # noqa: ARG002
        return Answer("yes")


class TextOnly(Good):
    def answer(self, request):  # noqa: ARG002
        return "yes"


class Plain:
    """Not even a subclass."""

    def answer(self, request):  # noqa: ARG002
        return "yes"


class Number(Good):
    def answer(self, request):  # noqa: ARG002
        return 3


class Raises(Good):
    def answer(self, request):
        if not request.images:
            raise IndexError("list index out of range")
        return Answer("yes")


class Fails(Good):
    def answer(self, request):
        if len(request.images) > 1:
            raise TransientError("cannot")
        return Answer("yes")


class BadUsage(Good):
    def answer(self, request):  # noqa: ARG002
        return Answer("yes", usage=Usage(input_tokens=-1))


class Boolean(Good):
    def answer(self, request):  # noqa: ARG002
        return Answer("yes", usage=Usage(output_tokens=True))


class Endless(Good):
    def answer(self, request):  # noqa: ARG002
        return Answer("yes", seconds=float("nan"))


class Silent(Good):
    def answer(self, request):  # noqa: ARG002
        return Answer("")


class Boasts(Good):
    capabilities = Capabilities(schema=True)


class Demands(Good):
    def answer(self, request):
        return Answer(f"{request.options['n_regions']} regions")


class Seeds(Good):
    def answer(self, request):  # noqa: ARG002
        random.seed(0)
        return Answer("yes")


class Moves(Good):
    def answer(self, request):  # noqa: ARG002
        os.chdir("/")
        return Answer("yes")


class Switches(Good):
    def answer(self, request):  # noqa: ARG002
        os.environ["SOMETHING_OF_MINE"] = "1"
        return Answer("yes")


class Empties(Good):
    def answer(self, request):
        request.options.clear()
        return Answer("yes")


class Tells(Good):
    def identity(self):
        return {"key": os.environ["SOME_API_KEY"]}


class Unstable(Good):
    def identity(self):
        return {"now": random.random()}


class NotJson(Good):
    def identity(self):
        return {1: "one"}


class LaxOptions(BackendOptions):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Lax(Good):
    Options = LaxOptions


class NotTogether(Good):
    capabilities = Capabilities(concurrency=4)
    inside = 0

    def answer(self, request):  # noqa: ARG002
        self.inside += 1
        time.sleep(0.02)
        if self.inside > 1:
            self.inside -= 1
            raise RuntimeError("not made for threads")
        self.inside -= 1
        return Answer("yes")


class Mixes(Good):
    """Answers what was asked last, whoever asks."""

    def answer(self, request):
        self.asked = request.text
        time.sleep(0.02)
        return f"you asked: {self.asked}"


class Together(ManyBackend):
    max_batch_size = 4

    def answer_many(self, requests):
        return [f"you asked: {request.text}" for request in requests]


class Backwards(Together):
    def answer_many(self, requests):
        return super().answer_many(requests)[::-1]


class Lists(Together):
    def answer_many(self, requests):
        return (answer for answer in super().answer_many(requests))


class Unwilling(Good):
    Options = LaxOptions if False else BackendOptions

    def __init__(self, options=None, *, address):
        super().__init__(options)
        self.address = address


class CannotClose(Good):
    def close(self):
        raise RuntimeError("already closed")


@pytest.mark.parametrize("sound", [Good, TextOnly, Plain, Together], ids=lambda one: one.__name__)
def test_a_sound_backend_passes(sound):
    """A class does, and so does a text for an answer."""
    assert check_backend(sound) == list(BACKEND_CHECKS)


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (Number, "an_answer_is_an_answer", "returned int"),
        (BadUsage, "an_answer_is_an_answer", "Usage.input_tokens"),
        (Boolean, "an_answer_is_an_answer", "Usage.output_tokens"),
        (Endless, "an_answer_is_an_answer", "Answer.seconds"),
        (Silent, "an_answer_is_an_answer", "the outcome empty"),
        (Boasts, "both_formats", "capabilities.schema is declared"),
        (Demands, "both_formats", "raised KeyError"),
        (Raises, "pictures_of_any_size", "raised IndexError"),
        (Fails, "pictures_of_any_size", "TransientError"),
        (Seeds, "nothing_else_changes", "changes random"),
        (Moves, "nothing_else_changes", "changes the working folder"),
        (Switches, "nothing_else_changes", "changes the environment"),
        (Empties, "the_request_is_left_alone", "changes the request"),
        (Tells, "nothing_secret_is_shown", "holds SOME_API_KEY"),
        (Unstable, "identity_is_json", "the same each time"),
        (NotJson, "identity_is_json", "JSON values only"),
        (Lax, "options_are_typed", "refuse an unknown option"),
        (NotTogether, "many_at_once", "raised RuntimeError"),
        (Mixes, "many_at_once", "the answer of another"),
        (Backwards, "a_batch_is_its_questions", "in another order"),
        (lambda: Unwilling(address="here"), "built_anew_it_is_the_same", "TypeError"),
        (CannotClose, "closing_ends_it", "already closed"),
    ],
)
def test_a_broken_backend_fails_the_right_check(broken, check, says, monkeypatch):
    """That check and no other, with what is wrong."""
    monkeypatch.setenv("SOME_API_KEY", "a-secret-of-some-length")
    found = problems(broken(), BACKEND_CHECKS)
    assert own(found) == [check]
    assert says in found[check]
    with pytest.raises(ContractError, match=f"^{check}: "):
        check_backend(broken())


def own(found):
    """The checks that found something which none before them has."""
    return [name for name, wrong in found.items() if not wrong.startswith("as above (")]


def test_answers_that_are_no_list_are_named():
    """By all checks that ask; what lies behind is said once, and the others say where."""
    found = problems(Lists(), BACKEND_CHECKS)
    assert "returned generator; it must return a list" in found["an_answer_is_an_answer"]
    assert found["any_text"] == f"as above (an_answer_is_an_answer): {found['an_answer_is_an_answer']}"


def test_a_class_of_a_notebook_is_checked():
    """It has no file that could be imported."""
    code = "class Guess:\n    def answer(self, request): return 'yes'\n"
    code += "from lvlm_ad.testing import check_backend\nprint(len(check_backend(Guess)))"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(len(BACKEND_CHECKS))], done.stderr


def test_a_heavy_import_is_found(tmp_path):
    """A module that loads torch or the like when it is imported is named with what it loads."""
    # One that no extra of ours brings: where the real module is installed, that one would be found.
    (tmp_path / "tensorflow.py").write_text("")
    path = tmp_path / "heavy.py"
    path.write_text("import tensorflow\nclass Heavy:\n    def answer(self, request): return 'yes'\n")
    try:
        found = problems(build(find_model(str(path), {})[0]), BACKEND_CHECKS)
    finally:
        sys.modules.pop("tensorflow", None)
    assert found == {"import_is_light": "importing it loads tensorflow; import them where they are used"}


class Even(Baseline):
    """Scores everything alike."""

    def score(self, view):
        return DenseScores(0.5, np.full(view.image.shape[:2], 0.5, np.float32))


class Small(Even):
    def score(self, view):  # noqa: ARG002
        return DenseScores(0.5, np.full((8, 8), 0.5, np.float32))


class Unbounded(Even):
    def score(self, view):
        return DenseScores(0.5, view.image.sum(axis=2) / 255.0)


class DividesByRange(Even):
    def score(self, view):
        values = view.image.mean(axis=2)
        with np.errstate(all="ignore"):
            return DenseScores(0.5, (values - values.min()) / (values.max() - values.min()))


class BootstrapSamples(Even):
    def score(self, view):
        return DenseScores(random.Random().random(), super().score(view).map)


class BootstrapSamplesFromTheSeed(Even):
    def score(self, view):
        return DenseScores(random.Random(view.seed).random(), super().score(view).map)


class Scribbles(Even):
    def score(self, view):
        view.image[:] = 0
        return super().score(view)


class Chdirs(Even):
    def score(self, view):
        os.environ["SOMETHING"] = os.environ.get("SOMETHING", "") + "x"
        return super().score(view)


class HalfSettled(Even):
    def score(self, view):
        return DenseScores(0.5, super().score(view).map, parts=(0.5,))

    def finalize_category(self, parts):
        return [1.5 for _ in parts]


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (Small, "scores_are_scores", "of shape (8, 8)"),
        (Unbounded, "scores_are_scores", "outside [0, 1]"),
        (DividesByRange, "pictures_of_any_kind", "NaN"),
        (BootstrapSamplesFromTheSeed, "seeds_are_declared", "declare seeded"),
        (Scribbles, "the_view_is_left_alone", "writes into"),
        (Chdirs, "nothing_else_changes", "the environment"),
        (HalfSettled, "a_category_is_settled", "outside [0, 1]"),
    ],
)
def test_a_broken_baseline_fails_the_right_check(broken, check, says, monkeypatch):
    """That check and no other, with what is wrong."""
    monkeypatch.setenv("SOMETHING", "")
    assert check_baseline(Even) == list(BASELINE_CHECKS)
    found = problems(broken(), BASELINE_CHECKS)
    assert own(found) == [check]
    assert says in found[check]


def test_a_baseline_that_draws_anew_is_found():
    """Whoever draws from elsewhere than the seed has other scores each time, which several checks see."""
    found = problems(BootstrapSamples(), BASELINE_CHECKS)
    assert "the_same_again" in found
    assert set(found) <= {"the_same_again", "many_at_once"}


def test_pytest_makes_a_test_of_each_check(tmp_path):
    """By the plugin that comes installed, of a class as it is; a failure names its check."""
    (tmp_path / "test_mine.py").write_text(
        "class Mine:\n    def answer(self, request): return 'yes' if request.images else 3\n\n"
        "def test_contract(backend_check): backend_check(Mine)\n\n"
        "def test_other(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
    )
    assert f"{len(BACKEND_CHECKS) - 1} passed" in done.stdout, done.stdout
    assert "test_contract[pictures_of_any_size]" in done.stdout
    assert "test_contract[any_text]" not in done.stdout
