import base64
import socket
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import ConfigError, FatalError, TransientError
from lvlm_ad.plugins import load_plugin
from lvlm_ad.presets import validated

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
REQUEST = Request((Picture.from_pixels(PIXELS),), "what is wrong?")
SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def backend(endpoint, monkeypatch):
    """Build the backend against the endpoint, with any options."""
    made = []
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    def make(**options):
        plugin = load_plugin("backend", "openai")
        values = {"model": "m", "base_url": endpoint.url, "max_retries": 0, "timeout": 5, **options}
        made.append(plugin(validated(plugin.Options, values, "test")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_question_is_sent_as_chat_completion(backend, endpoint):
    """Pictures go as data URIs before the text, lossless; sampling options and the key go where the API wants them."""
    answer = backend(temperature=0.5, seed=3, max_tokens=77, detail="low").answer(REQUEST)
    (body,) = endpoint.asked
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "what is wrong?"}
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(BytesIO(base64.b64decode(data)))), PIXELS)
    assert image["image_url"]["detail"] == "low"
    assert (body["model"], body["temperature"], body["seed"], body["max_completion_tokens"]) == ("m", 0.5, 3, 77)
    assert endpoint.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert (answer.text, answer.outcome, answer.model, answer.detail) == (
        "image anomaly score: 0.5.",
        "ok",
        "stub-1",
        "stop",
    )
    assert (answer.usage.input_tokens, answer.usage.cached_tokens, answer.usage.output_tokens) == (800, None, 20)
    assert answer.seconds > 0


def test_options_can_be_left_to_the_endpoint(backend, endpoint):
    """Temperature "none" sends none, and the token limit has the name that the endpoint knows."""
    backend(temperature="none", token_parameter="max_tokens").answer(REQUEST)
    assert set(endpoint.asked[0]) == {"model", "messages", "max_tokens"}


def test_a_json_question_carries_its_schema(backend, endpoint):
    """The schema goes as response_format, strict."""
    backend().answer(Request((), "q", {"format": "json", "schema": {"type": "object"}}))
    wanted = endpoint.asked[0]["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    assert wanted["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("choice", "outcome", "detail"),
    [
        ({"message": {"role": "assistant", "content": None, "refusal": "I can't."}}, "refused", "I can't."),
        ({"finish_reason": "content_filter"}, "refused", "content_filter"),
        ({"finish_reason": "length"}, "truncated", "length"),
        ({"message": {"role": "assistant", "content": ""}}, "ok", "stop"),
        ({"message": {"role": "assistant", "content": ["odd"]}}, "ok", "stop"),
    ],
)
def test_outcomes(backend, endpoint, completion, choice, outcome, detail):
    """Refusals, the content filter and the token limit are told apart; an empty text is an answer with no text."""
    endpoint.reply = lambda _: (200, completion("a text", **choice), {})
    answer = backend().answer(REQUEST)
    assert (answer.outcome, answer.detail) == (outcome, detail)


def test_a_content_filter_by_error_code_is_a_refusal(backend, endpoint):
    """A filter that answers with status 400 and its code is a refusal, not a failure."""
    endpoint.reply = lambda _: (400, {"error": {"message": "filtered", "code": "content_filter"}}, {})
    answer = backend().answer(REQUEST)
    assert (answer.outcome, answer.text, answer.detail) == ("refused", "", "content_filter")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (401, {"error": {"message": "wrong key"}}, FatalError, "wrong key"),
        (403, {"error": {"message": "not you"}}, FatalError, "not you"),
        (404, {"error": {"message": "no such model"}}, FatalError, "no such model"),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, FatalError, "exhausted: pay"),
        (429, {"error": {"message": "slow down"}}, TransientError, "rate limit: slow down"),
        (400, {"error": {"message": "bad picture"}}, TransientError, "status 400: bad picture"),
        (500, b"Internal Server Error", TransientError, "status 500"),
        (200, b"{not json", TransientError, "reply"),
        (200, {"choices": []}, TransientError, "without choices"),
        (200, {"choices": [{}]}, TransientError, "without choices"),
        (200, [], TransientError, "repl"),
    ],
)
def test_errors_by_kind(backend, endpoint, status, body, error, says):
    """What ends the run and what fails one question are told apart, and no message holds the key."""
    endpoint.reply = lambda _: (status, body, {})
    with pytest.raises(error, match=says) as caught:
        backend().answer(REQUEST)
    assert SECRET not in str(caught.value)


def test_no_connection_is_a_failed_question(backend):
    """A port where nobody listens fails the question with the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match=f"no connection to http://127.0.0.1:{port}/v1"):
        backend(base_url=f"http://127.0.0.1:{port}/v1").answer(REQUEST)


def test_the_client_asks_again_after_a_transient_error(backend, endpoint):
    """A server that stumbles once is asked again; the answer is the second one."""
    replies = iter([(500, {}, {"retry-after-ms": "1"}), "image anomaly score: 0.7."])
    endpoint.reply = lambda _: next(replies)
    assert backend(max_retries=2).answer(REQUEST).text == "image anomaly score: 0.7."
    assert len(endpoint.asked) == 2


def test_the_key_is_wanted_only_by_the_official_endpoint(backend, monkeypatch, endpoint):
    """Without a key OpenAI's own address is refused before anything is sent; an endpoint of one's own is asked."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key"):
        backend(base_url="https://api.openai.com/v1")
    backend().answer(REQUEST)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "url", ["http://user:pw@127.0.0.1/v1", "http://127.0.0.1/v1?api-key=x", "127.0.0.1", "file:///x"]
)
def test_addresses_with_secrets_or_without_host_are_refused(backend, url):
    """What would put a secret into the manifest, or is no address, is refused."""
    with pytest.raises(ConfigError, match="address"):
        backend(base_url=url)


def test_identity_is_what_decides_an_answer(backend):
    """Model, address and sampling options are part of it; time-outs, retries and the key's variable are not."""
    same = backend().identity()
    assert same == backend(timeout=9, max_retries=3).identity()
    others = [{"model": "n"}, {"temperature": 1}, {"max_tokens": 5}, {"detail": "low"}, {"seed": 1}]
    assert all(backend(**options).identity() != same for options in others)
    assert SECRET not in repr(same)
    assert SECRET not in repr(backend().options)
