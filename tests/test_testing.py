"""The contract kit: every backend of this repository passes, and each broken one fails the right check."""

import os
import random
import time

import pytest
from pydantic import ConfigDict

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, ScriptedBackend, Usage
from lvlm_ad.errors import TransientError
from lvlm_ad.testing import BACKEND_CHECKS, ContractError, check_backend


def test_the_scripted_backend_keeps_the_contract():
    """All checks run, each named."""
    assert check_backend(ScriptedBackend(script=lambda _: "image anomaly score: 0.5.")) == list(BACKEND_CHECKS)


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

    def __init__(self):
        super().__init__()
        self.inside = 0

    def answer(self, request):  # noqa: ARG002
        self.inside += 1
        time.sleep(0.02)
        if self.inside > 1:
            self.inside -= 1
            raise RuntimeError("not made for threads")
        self.inside -= 1
        return Answer("yes")


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (TextOnly, "an_answer_is_an_answer: answer.. returned str"),
        (BadUsage, "an_answer_is_an_answer: Usage.input_tokens"),
        (Boolean, "an_answer_is_an_answer: Usage.output_tokens"),
        (Endless, "an_answer_is_an_answer: Answer.seconds"),
        (Silent, "an_answer_is_an_answer: .* the outcome empty"),
        (Boasts, "both_formats: capabilities.schema is declared"),
        (Demands, "both_formats: answer.. raised KeyError"),
        (Raises, "pictures_of_any_size: answer.. raised IndexError"),
        (Fails, "pictures_of_any_size: TransientError"),
        (Seeds, "nothing_else_changes: answer.. changes random"),
        (Tells, "identity_is_json: .* holds SOME_API_KEY"),
        (Unstable, "identity_is_json: .* the same each time"),
        (NotJson, "identity_is_json: .* JSON values only"),
        (Lax, "options_are_typed: .* refuse an unknown option"),
        (NotTogether, "many_at_once: answer.. raised RuntimeError"),
    ],
)
def test_a_broken_backend_fails_the_right_check(broken, check, monkeypatch):
    """The error begins with the check's name and says what is wrong."""
    monkeypatch.setenv("SOME_API_KEY", "a-secret-of-some-length")
    check_backend(Good())
    with pytest.raises(ContractError, match=f"^{check}"):
        check_backend(broken())
