import base64
import json
import re
import socket
import sys
import threading
from dataclasses import replace
from io import BytesIO
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import FirstToken, Limits, Picture, Request, Token
from lvlm_ad.errors import (
    ConfigError,
    FatalError,
    NotFoundError,
    RateLimitError,
    RejectedError,
    TransientError,
    UnusableReplyError,
)
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
        values = {"model": "m", "base_url": endpoint.url, "timeout": 5, **options}
        made.append(plugin.build(validated(plugin.Options, values, "test")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_question_is_sent_as_chat_completion(backend, endpoint):
    """Pictures are sent losslessly as data URIs before the text, with sampling options and the key."""
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


@pytest.mark.parametrize("detail", ["high", "none"])
@pytest.mark.parametrize("takes", [("temperature", "seed", "logprobs", "schema", "batch"), ("schema", "batch", "uuid")])
def test_a_question_is_the_json_that_python_writes(backend, detail, takes):
    """Byte by byte, although pictures are put in afterwards: what looks like a picture's URL in a text stays a text."""
    text = 'data:image/png;base64," é\\ \ud83d\n"messages":[{"role":"user"}]'
    options = {"schema": {"properties": {"url": {"const": 'data:;base64,"'}}}, "probabilities": True, "repeat": 2}
    images = (*REQUEST.images, replace(REQUEST.images[0], data=bytes(range(256)), media_type='image/"x'))
    made = backend(detail=detail, takes=takes, sampling="plain", keep_special_tokens=False)
    body = made.batch_line("k", Request(images, text, options)).partition(b'"body":')[2][:-2]
    read = json.loads(body)
    assert body == json.dumps(read, separators=(",", ":")).encode()
    *shown, last = read["messages"][0]["content"]
    assert last == {"type": "text", "text": text}
    for part, picture in zip(shown, images, strict=True):
        url = f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
        assert part["image_url"] == {"url": url} | ({} if detail == "none" else {"detail": detail})


def test_options_can_be_left_to_the_endpoint(backend, endpoint):
    """Temperature "none" sends no temperature, and token_parameter names the token limit."""
    backend(temperature="none", token_parameter="max_tokens").answer(REQUEST)
    assert set(endpoint.asked[0]) == {"model", "messages", "max_tokens", "stream"}


def test_a_json_question_carries_its_schema(backend, endpoint):
    """A question's schema is sent as a strict response_format."""
    backend().answer(Request((), "q", {"format": "json", "schema": {"type": "object"}}))
    wanted = endpoint.asked[0]["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    assert wanted["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("choice", "outcome", "detail"),
    [
        ({"message": {"role": "assistant", "content": None, "refusal": "I can't."}}, "refused", "I can't."),
        ({"finish_reason": "content_filter"}, "filtered", "content_filter"),
        ({"finish_reason": "length"}, "truncated", "length"),
        ({"message": {"role": "assistant", "content": ""}}, "empty", "stop"),
        ({"message": {"role": "assistant", "content": None}}, "empty", "stop"),
        ({"message": {"role": "assistant", "content": ["odd"]}}, "empty", "stop"),
        ({"message": {"role": "assistant", "content": [{"type": "text", "text": "in parts"}]}}, "ok", "stop"),
    ],
)
def test_outcomes(backend, endpoint, completion, choice, outcome, detail):
    """Refusal, content filter, token limit and empty text are different outcomes; a text may come in parts."""
    endpoint.reply = lambda _: (200, completion("a text", **choice), {})
    answer = backend().answer(REQUEST)
    assert (answer.outcome, answer.detail) == (outcome, detail)


@pytest.mark.parametrize(
    ("status", "error", "detail"),
    [
        (400, {"message": "filtered", "code": "content_filter"}, "content_filter"),
        (403, {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"]}}, "moderation"),
    ],
)
def test_a_filter_that_answers_with_an_error_is_an_outcome(backend, endpoint, status, error, detail):
    """A content filter that sends an error status, as Azure's and OpenRouter's do, gives an outcome, not an error."""
    endpoint.reply = lambda _: (status, {"error": error}, {})
    answer = backend().answer(REQUEST)
    assert (answer.outcome, answer.text, answer.detail) == ("filtered", "", detail)


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (
            401,
            {"error": {"message": "wrong key"}},
            FatalError,
            r"key is refused: wrong key\. The environment variable OPENAI_API_KEY contains the key\.$",
        ),
        (403, {"error": {"message": "not you"}}, FatalError, "not you"),
        (402, {"error": {"message": "no credits"}}, FatalError, "exhausted: no credits"),
        (404, {"error": {"message": "no such model"}}, NotFoundError, "not found: no such model"),
        (400, {"error": {"message": "no such model", "code": "model_not_found"}}, NotFoundError, "not found"),
        (400, {"error": {"message": "bad model", "param": "model"}}, NotFoundError, "not found: bad model"),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, FatalError, "exhausted: pay"),
        (429, {"error": {"message": "slow down"}}, RateLimitError, "rate limit: slow down"),
        (
            429,
            {"error": {"message": "50 questions per day"}},
            FatalError,
            "used up: 50 questions per day. Run",
        ),
        (429, {"error": {"message": "9 a day; try again in 7 s"}}, FatalError, "in 7 s. The endpoint asks to wait 7 s"),
        (429, {"error": {"message": "quota of 9 per min", "code": "quota_exceeded"}}, RateLimitError, "rate limit"),
        (429, {"error": {"message": "try again in 9 s", "code": "quota_exceeded"}}, RateLimitError, "rate limit"),
        (403, {"error": {"message": "This API needs a quota project."}}, FatalError, "is refused: This API needs"),
        (403, {"message": "Out of call volume quota; retry in 00:00:09."}, RateLimitError, "rate limit: Out of"),
        (400, {"error": {"message": "Your credit balance is too low"}}, FatalError, "account is exhausted: Your cr"),
        (429, {"error": {"message": "余额不足,请充值。", "code": "1113"}}, FatalError, "account is exhausted"),
        (400, [{"error": {"message": "API key not valid."}}], FatalError, r"key is refused: API key not valid\. The"),
        (400, {"error": {"message": "Model Not Exist"}}, NotFoundError, "not found: Model Not Exist"),
        (400, {"error": {"message": "m-7b is not a valid model ID"}}, NotFoundError, "not a valid model ID"),
        (400, {"error": {"message": "The model `m` has been decommissioned."}}, NotFoundError, "decommissioned"),
        (429, [{"error": {"message": "a list"}}], RateLimitError, "a list"),
        (429, b"no JSON at all", RateLimitError, "status 429"),
        (
            400,
            {"error": {"message": "bad picture"}},
            RejectedError,
            r"http://127.0.0.1:\d+/v1, model m: status 400: bad picture",
        ),
        (413, {"detail": "too large"}, RejectedError, "status 413: too large"),
        (422, {"error": "image size refused"}, RejectedError, "image size refused"),
        (400, {"error": {"message": "response_format is not supported"}}, RejectedError, "supports no schema"),
        (408, {}, TransientError, "status 408"),
        (500, b"Internal Server Error", TransientError, "status 500"),
        (503, {"error": {"message": "busy"}}, TransientError, "status 503: busy"),
        (200, {"error": {"message": "upstream", "code": 502}}, TransientError, "status 502: upstream"),
        (200, {"error": {"message": "upstream", "code": 429}}, RateLimitError, "upstream"),
        (200, {"error": {"message": "upstream"}, "choices": []}, TransientError, "upstream"),
        (200, b"<html>login</html>", UnusableReplyError, "base_url may be wrong"),
        (200, b"{not json", UnusableReplyError, "reply"),
        (200, {"choices": []}, UnusableReplyError, "without choices"),
        (200, {"choices": [{}]}, UnusableReplyError, "without a message"),
        (
            200,
            {"choices": [{"finish_reason": "error", "message": {"content": "half"}}]},
            UnusableReplyError,
            "reason: error",
        ),
        (200, {"choices": [{"error": {"code": 429}, "message": {"content": "half"}}]}, RateLimitError, "status 429"),
        (200, {"error": {"message": "odd", "code": "1234-x"}}, TransientError, "odd"),
        (429, {"error": {"message": "loading", "param": "model"}}, RateLimitError, "loading"),
        (429, {"error": {"message": "pay", "type": "insufficient_quota", "code": "other"}}, FatalError, "exhausted"),
        (422, {"detail": [{"msg": "Field required", "loc": ["body"]}]}, RejectedError, "Field required"),
        (401, {"error": {"message": "User not found."}}, FatalError, r"refused: User not found\. The env"),
        # The key is removed before a long message is shortened.
        (401, {"error": {"message": "x" * 960 + SECRET + "y" * 5000}}, FatalError, "refused: x"),
        (400, b'{"error": {"message": "bad \\ud800 image"}}', RejectedError, "bad . image"),
        (200, [], UnusableReplyError, "repl"),
        (200, b"[" * 100_000, UnusableReplyError, "repl"),
    ],
)
def test_errors_by_kind(backend, endpoint, status, body, error, says):
    """Each reply gives the right kind of error, and no error contains the key."""
    endpoint.reply = lambda _: (status, body, {})
    with pytest.raises(error, match=says) as caught:
        backend().answer(REQUEST)
    assert type(caught.value) is error
    assert SECRET[:8] not in str(caught.value)
    assert len(str(caught.value)) < 1200
    # Nothing hangs on it that holds the request, whose headers hold the key.
    hanging = caught.value
    while hanging is not None:
        assert not hasattr(hanging, "request")
        hanging = hanging.__cause__ or hanging.__context__


def test_an_unknown_model_is_answered_with_what_is_served(backend, endpoint):
    """The error lists the endpoint's models and the setting; without a list it suggests a wrong address.

    If the list contains the model, the name is not what is wrong.
    """
    endpoint.reply = lambda _: (404, {"error": {"message": "no model m"}}, {})
    with pytest.raises(FatalError, match=r"model m: not found: no model m.*/models does not say .* address right\?"):
        backend().answer(REQUEST)
    endpoint.models = ["m", "n"]
    with pytest.raises(FatalError, match=r"It lists m, so the reason lies elsewhere"):
        backend().answer(REQUEST)
    endpoint.models = ["qwen", "llava"]
    with pytest.raises(FatalError, match="It serves llava, qwen; choose one with --set model=NAME"):
        backend().answer(REQUEST)
    with pytest.raises(ConfigError, match=r"No model is named for http.*It serves llava, qwen"):
        backend(model="")


def test_a_wrong_address_is_called_one(backend, endpoint):
    """The error says that no server answers, or that the version is missing in the address."""
    with pytest.raises(ConfigError, match=r"No server answers at http://127\.0\.0\.1:9/v1; start it"):
        backend(base_url="http://127.0.0.1:9/v1", model="")
    endpoint.reply = lambda _: (404, {"detail": "Not Found"}, {})
    with pytest.raises(FatalError, match=r"not found: Not Found\. .* Most end in /v1\.$"):
        backend(base_url=endpoint.url.removesuffix("/v1")).answer(REQUEST)


@pytest.mark.parametrize(
    ("status", "error", "shared"),
    [
        (400, {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}, True),
        (400, {"message": "no", "param": "temperature"}, True),
        (400, {"message": "Unrecognized request argument supplied: seed"}, True),
        (400, {"message": "response_format is not supported"}, True),
        (400, {"message": "This model does not support image input."}, True),
        (400, {"message": "image_url is only supported by certain models."}, True),
        (400, {"message": "unknown variant `image_url`, expected `text`"}, True),
        (400, {"message": "At most 0 image(s) may be provided in one request."}, True),
        (405, {"message": "Method Not Allowed"}, True),
        (413, {"message": "Payload too large"}, False),
        (400, {"message": "cannot identify image file <_io.BytesIO object at 0x7f98>"}, False),
        (400, {"message": "You uploaded an unsupported image; use one of the following formats"}, False),
        (400, {"message": "The model does not support images larger than 20 MB"}, False),
        (400, {"message": "The model could not read the image: invalid data"}, False),
        (
            400,
            {"message": "'max_tokens' is too large: the maximum context length is 2048", "param": "max_tokens"},
            False,
        ),
        (400, {"message": "Invalid base64 image_url."}, False),
        (400, {"message": "Invalid image data in stream; see detail"}, False),
        (422, {}, False),
    ],
)
def test_a_rejection_says_whether_its_reason_holds_for_all(backend, endpoint, status, error, shared):
    """A setting, or pictures as such, are refused for every question; one picture that cannot be read is not."""
    endpoint.reply = lambda _: (status, {"error": error}, {})
    with pytest.raises(RejectedError) as caught:
        backend().answer(REQUEST)
    assert caught.value.shared is shared


@pytest.mark.parametrize(
    ("status", "body", "starting"),
    [
        (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, True),
        (503, {"error": "Model a/b is currently loading", "estimated_time": 20.0}, True),
        (500, {"error": "unexpected server status: llm server loading model"}, True),
        (503, {"error": {"message": "The engine is not ready yet"}}, True),
        (503, {"detail": "Model is warming up"}, True),
        (503, {"detail": "no workers, service scaled to zero"}, True),
        (503, {"error": {"message": "The server is overloaded"}}, False),
        (500, {"error": {"message": "error loading image"}}, False),
        (500, {"error": {"message": "The model failed while loading image 3"}}, False),
        (500, {"error": {"message": "Failed to load model"}}, False),
        (502, b"Bad Gateway", False),
    ],
)
def test_a_server_that_loads_its_model_is_told_from_one_that_fails(backend, endpoint, status, body, starting):
    """The error says whether the server only needs time; a picture that cannot be loaded is another matter."""
    endpoint.reply = lambda _: (status, body, {})
    with pytest.raises(TransientError) as caught:
        backend().answer(REQUEST)
    assert caught.value.starting is starting


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "7"}, {}, 7),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, 1.5),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "0"}, {}, 90),
        ({}, {"error": {"message": "m", "details": [{"@type": "RetryInfo", "retryDelay": "17s"}]}}, 17),
        ({}, {}, None),
    ],
)
def test_the_wait_that_is_asked_for_comes_with_the_error(backend, endpoint, headers, body, wait):
    """The error carries the waiting time of Retry-After, of an exhausted limit's reset, and of Gemini's retryDelay."""
    endpoint.reply = lambda _: (429, body, headers)
    with pytest.raises(RateLimitError) as caught:
        backend().answer(REQUEST)
    assert caught.value.wait == wait


def test_announced_limits_come_with_the_answer(backend, endpoint, completion):
    """An answer carries the limits per minute that the endpoint announces."""
    headers = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}
    endpoint.reply = lambda _: (200, completion("yes"), headers)
    assert backend().answer(REQUEST).limits == Limits(500, 30000)


def test_no_answer_in_time_is_a_sign_of_crowding(backend, endpoint):
    """A time-out is transient, and too many concurrent questions may be the reason."""
    release = threading.Event()
    endpoint.reply = lambda _: release.wait(10) and "late"
    with pytest.raises(TransientError, match=r"no answer within 0.2 s") as caught:
        backend(timeout=0.2).answer(REQUEST)
    release.set()
    assert caught.value.crowded


def test_an_answer_that_drips_in_is_given_up(backend, endpoint, broken):
    """A reply that arrives byte by byte also ends with the time-out."""
    endpoint.reply = lambda _: broken("drip")
    with pytest.raises(TransientError, match=r"no answer within 0.5 s"):
        backend(timeout=0.5).answer(REQUEST)


def test_a_reply_without_end_is_given_up(backend, endpoint, completion, monkeypatch):
    """A reply that exceeds the size limit is a failed question, before it fills the memory."""
    asker = backend()
    monkeypatch.setattr(sys.modules[f"{type(asker).__module__}.network"], "MAX_BYTES", 100_000)
    endpoint.reply = lambda _: (200, completion("x" * 90_000), {})
    assert asker.answer(REQUEST).outcome == "ok"
    endpoint.reply = lambda _: (200, completion("x" * 200_000), {})
    with pytest.raises(TransientError, match="an unreadable reply: it is larger than"):
        asker.answer(REQUEST)


def test_a_connection_that_breaks_is_a_failed_question(backend, endpoint, broken):
    """A connection reset and an incomplete body are transient."""
    for how in ("reset", "half"):
        endpoint.reply = lambda _, how=how: broken(how)
        with pytest.raises(TransientError, match=r"connection broke|unreadable"):
            backend().answer(REQUEST)


def test_no_connection_is_a_failed_question(backend):
    """The error of a closed port names the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match=f"http://127.0.0.1:{port}/v1, model m: no connection \\("):
        backend(base_url=f"http://127.0.0.1:{port}/v1").answer(REQUEST)


def test_the_client_does_not_ask_again_by_itself(backend, endpoint):
    """The client asks once, since the framework retries."""
    endpoint.reply = lambda _: (500, {}, {"retry-after-ms": "1", "x-should-retry": "true"})
    with pytest.raises(TransientError):
        backend().answer(REQUEST)
    assert len(endpoint.asked) == 1


def test_a_key_is_wanted_by_endpoints_far_away(backend, monkeypatch, endpoint, tmp_path):
    """Without a key, an internet address is an error before anything is sent; a local address is asked."""
    monkeypatch.delenv("OPENAI_API_KEY")
    for url in ("https://api.openai.com/v1", "https://openrouter.ai/api/v1", "https://8.8.8.8/v1"):
        with pytest.raises(ConfigError, match=re.escape(f"OPENAI_API_KEY contains no key for {url}")):
            backend(base_url=url)
    backend(base_url="https://api.openai.com/v1", api_key_env="")
    for url in ("http://gpu-server:8000/v1", "http://10.0.0.3/v1", "http://box.local/v1"):
        backend(base_url=url)
    backend().answer(REQUEST)
    assert len(endpoint.asked) == 1
    with pytest.raises(ConfigError, match="MY_KEY contains no key"):
        backend(api_key_env="MY_KEY")
    with pytest.raises(ConfigError, match=r"key's file .*absent cannot be read"):
        backend(api_key_file=tmp_path / "absent")


def test_a_key_may_come_from_a_file_and_go_into_another_header(backend, endpoint, tmp_path):
    """A byte order mark and a line break are not part of the key; a text with spaces is none; Azure's header works."""
    (tmp_path / "key").write_text("from-a-file\n", encoding="utf-8-sig")
    backend(api_key_file=tmp_path / "key", key_header="api-key").answer(REQUEST)
    backend(api_key_file=tmp_path / "key", key_header="X-House-Key").answer(REQUEST)
    assert (endpoint.headers[0]["api-key"], endpoint.headers[1]["x-house-key"]) == ("from-a-file",) * 2
    (tmp_path / "key").write_text("two\nlines")
    with pytest.raises(ConfigError, match="is not a key: it contains spaces") as caught:
        backend(api_key_file=tmp_path / "key")
    assert "lines" not in str(caught.value).partition("spaces")[0]


def test_what_an_endpoint_does_not_take_is_not_sent(backend, endpoint):
    """Unsupported features are not sent; setting one is an error."""
    asked = backend(takes=["seed"], detail="none", reasoning_effort="low", seed=4)
    asked.answer(Request(REQUEST.images, "q", {"format": "json", "schema": {"type": "object"}}))
    (body,) = endpoint.asked
    assert set(body) == {"model", "messages", "max_completion_tokens", "seed", "reasoning_effort", "stream"}
    assert "detail" not in body["messages"][0]["content"][0]["image_url"]
    assert not asked.capabilities.schema
    with pytest.raises(ConfigError, match="does not support temperature"):
        backend(takes=["seed"], temperature=0.5)


def logprob(token, value=-0.1, others=(), **fields):
    """An entry of ``logprobs.content`` as OpenAI sends it."""
    top = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in [(token, value), *others]]
    return {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": top, **fields}


def test_probabilities_come_with_the_answer(backend, endpoint, completion):
    """With the option logprobs, numbers come with their alternatives, also after a letter that is two tokens."""
    letter = "\U0001f600".encode()
    content = [
        logprob("Score"),
        logprob("bytes:\\xf0\\x9f", bytes=list(letter[:2])),
        logprob("bytes:\\x98\\x80", bytes=list(letter[2:])),
        logprob(" 0", -0.25, [(" 1", -1.5), (" one", -3.0)]),
        logprob(".", 0.0),
        logprob("7", -2.5, top_logprobs=[{"token": "8", "logprob": -0.5, "bytes": None}]),
        logprob("<|end|>"),
    ]
    endpoint.reply = lambda _: (200, completion("Score\U0001f600 0.7", logprobs={"content": content}), {})
    asked = backend(logprobs=5)
    assert asked.capabilities.probabilities
    assert asked.answer(REQUEST).tokens == (
        Token(7, "0", ((" 0", -0.25), (" 1", -1.5))),
        Token(8, ".", ((".", 0.0),)),
        Token(9, "7", (("8", -0.5), ("7", -2.5))),
    )
    assert (endpoint.asked[0]["logprobs"], endpoint.asked[0]["top_logprobs"]) == (True, 5)
    backend().answer(REQUEST)
    assert "logprobs" not in endpoint.asked[1]
    assert not backend(logprobs=0).capabilities.probabilities


def test_the_first_token_comes_with_its_alternatives(backend, endpoint, completion):
    """It is the first after the markup, and the token itself is among its alternatives."""
    top = [{"token": "No", "logprob": -0.25, "bytes": None}]
    content = [logprob("**", -0.1), logprob("Yes", -1.5, top_logprobs=top), logprob("<|im_end|>", -0.1)]
    endpoint.reply = lambda _: (200, completion("**Yes", logprobs={"content": content}), {})
    assert backend(logprobs=5).answer(REQUEST).first == FirstToken("Yes", (("No", -0.25), ("Yes", -1.5)))


def test_a_question_may_ask_for_probabilities(backend, endpoint):
    """It gets all that endpoints list, unless the endpoint has none or the user set how many."""
    wanted = replace(REQUEST, options={"probabilities": True})
    for settings in ({}, {"logprobs": 3}, {"takes": ["seed"]}):
        backend(**settings).answer(wanted)
    assert [body.get("top_logprobs") for body in endpoint.asked] == [20, 3, None]


def test_a_repeated_question_has_another_seed(backend, endpoint):
    """The number of the repeat is added to the seed; without a seed none is sent."""
    for options in ({}, {"repeat": 2}):
        backend(seed=4).answer(replace(REQUEST, options=options))
    backend().answer(replace(REQUEST, options={"repeat": 2}))
    assert [body.get("seed") for body in endpoint.asked] == [4, 6, None]


def test_plain_sampling_is_sent_on_request(backend, endpoint):
    """A server's own penalties are switched off if the user wants; else nothing is sent, and the manifest says so."""
    for settings in ({}, {"sampling": "plain"}, {"sampling": "none"}):
        backend(**settings).answer(REQUEST)
    names = ("repetition_penalty", "repeat_penalty", "frequency_penalty", "top_p", "top_k")
    sent = [[body.get(name) for name in names] for body in endpoint.asked]
    assert sent == [[None] * 5, [1, 1, 0, 1, -1], [None] * 5]
    assert "sampling" not in backend().identity()
    assert backend(sampling="plain").identity()["sampling"] == "plain"
    assert "server's own" in backend().environment()["sampling"]


def test_special_tokens_are_kept_on_request(backend, endpoint):
    """Servers such as vLLM are asked to keep them; nothing is sent unless the option is set, and old keys stay."""
    for settings in ({}, {"keep_special_tokens": True}):
        backend(**settings).answer(REQUEST)
    assert [body.get("skip_special_tokens") for body in endpoint.asked] == [None, False]
    assert "keep_special_tokens" not in backend().identity()


@pytest.mark.parametrize(
    "logprobs",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param({"content": None}, id="no content"),
        pytest.param({"content": "0.7"}, id="a text"),
        pytest.param({"content": [logprob("0"), None]}, id="an entry of null"),
        pytest.param({"content": [{"token": "0.7"}]}, id="no logprob"),
        pytest.param({"content": [logprob("0.7", top_logprobs=[5])]}, id="an alternative that is a number"),
        pytest.param({"content": [logprob("0.7", "high")]}, id="a logprob in words"),
        pytest.param({"content": [logprob("0.7", 10**400)]}, id="a huge logprob"),
        pytest.param({"content": [logprob("0.7", float("nan"))]}, id="NaN"),
        pytest.param({"content": [logprob("0.7", bytes=[999])]}, id="no bytes"),
        pytest.param({"content": [{"token": {}, "bytes": 10**12, "logprob": -1}]}, id="bytes that are a number"),
        pytest.param({"content": [logprob("0.8")]}, id="another number"),
        pytest.param({"content": [logprob("0.7 "), logprob("1")]}, id="of a longer text"),
        pytest.param({"content": [logprob(".7")]}, id="of a shorter text"),
    ],
)
def test_malformed_logprobs_cost_no_answer(backend, endpoint, completion, logprobs):
    """Malformed log-probabilities give an answer without tokens."""
    endpoint.reply = lambda _: (200, completion("0.7", logprobs=logprobs), {})
    answer = backend(logprobs=5).answer(REQUEST)
    assert (answer.text, answer.outcome, answer.tokens) == ("0.7", "ok", ())


def test_where_the_key_is_hidden_no_tokens_are_kept(backend, endpoint, completion):
    """If the key was removed from a text, the tokens are dropped: they may spell parts of the key."""
    content = [logprob("sk-very-secret-"), logprob("0123456789"), logprob(" "), logprob("0.7")]
    endpoint.reply = lambda _: (200, completion(f"{SECRET} 0.7", logprobs={"content": content}), {})
    assert backend(logprobs=5).answer(REQUEST).tokens == ()


@pytest.mark.parametrize(
    "url", ["http://user:pw@127.0.0.1/v1", "http://127.0.0.1/v1?api-key=x", "127.0.0.1", "file:///x"]
)
def test_addresses_with_secrets_or_without_host_are_refused(backend, url):
    """An address with a secret, or without a host, is refused."""
    with pytest.raises(ConfigError, match="address"):
        backend(base_url=url)


def test_a_redirect_is_not_followed(backend, endpoint):
    """A redirect is an error: key and pictures are not sent to another host."""
    elsewhere = endpoint.url.replace("127.0.0.1", "localhost")
    endpoint.reply = lambda _: (307, {}, {"Location": f"{elsewhere}/chat/completions"})
    with pytest.raises(FatalError, match="redirects elsewhere"):
        backend(key_header="api-key").answer(REQUEST)
    assert len(endpoint.asked) == 1


def test_a_dummy_key_leaves_answers_alone(backend, endpoint, monkeypatch):
    """A dummy key such as "1" is no secret and is not removed from answers."""
    monkeypatch.setenv("OPENAI_API_KEY", "1")
    endpoint.reply = lambda _: "image anomaly score: 0.11."
    assert backend().answer(REQUEST).text == "image anomaly score: 0.11."


def test_a_key_in_the_place_of_its_variables_name_is_not_quoted(backend):
    """A key in place of its variable's name is refused without being shown."""
    with pytest.raises(ConfigError, match="name of an environment variable") as caught:
        backend(api_key_env=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [SECRET, "X-Key: word", "X-Key\nHost", "", "Host", "Content-Length"])
def test_a_key_is_sent_in_no_header_that_is_none_or_is_needed(backend, name):
    """What is not the name of a header is refused and not quoted, and so is a header that steers the request."""
    with pytest.raises(ConfigError, match="header") as caught:
        backend(key_header=name)
    assert SECRET not in str(caught.value)
    assert "word" not in str(caught.value)


def test_reasoning_beside_the_completion_is_counted(backend, endpoint, completion):
    """Reasoning tokens are added to the completion only if the total shows that they are not part of it."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 7}}
    for total, output in ((22, 12), (15, 5)):
        endpoint.reply = lambda _, total=total: (200, completion("x") | {"usage": usage | {"total_tokens": total}}, {})
        assert backend().answer(REQUEST).usage.output_tokens == output


def test_identity_is_what_decides_an_answer(backend):
    """Model, address and sampling options are part of the identity; time-outs and the key's variable are not."""
    same = backend().identity()
    assert same == backend(timeout=9, api_key_env="", takes=("temperature", "schema")).identity()
    others = [{"model": "n"}, {"temperature": 1}, {"max_tokens": 5}, {"detail": "low"}, {"seed": 1}]
    assert all(backend(**options).identity() != same for options in others)
    assert SECRET not in repr(same)
    assert SECRET not in repr(backend().options) + repr(vars(backend())) + repr(vars(backend()._wire))


def test_a_key_is_hidden_however_it_is_spelled(backend, monkeypatch):
    """The key is removed also if it is URL-encoded or cut off."""
    key = "sk-FAKEsecret/abc+DEFghijklmnop="
    monkeypatch.setenv("OPENAI_API_KEY", key)
    hide = backend()._wire.hide
    for spelled in (key, quote(key, safe=""), quote(key), key[:15], quote(key, safe="")[:20]):
        assert hide(f"No: {spelled}, {spelled}.") == "No: [key], [key]."
    assert (
        hide("sk-FAKE is no key, nor is image anomaly score: 0.5")
        == "sk-FAKE is no key, nor is image anomaly score: 0.5"
    )
