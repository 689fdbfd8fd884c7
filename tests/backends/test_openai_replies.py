"""Replies as endpoints, gateways and proxies really write them, read without a server."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lvlm_ad_backends.openai import _result_of
from lvlm_ad_backends.openai.failures import failed_answer
from lvlm_ad_backends.openai.reasons import one_line, reason_in
from lvlm_ad_backends.openai.replies import answer_of
from lvlm_ad_backends.openai.streams import body_of
from lvlm_ad_backends.openai.usage import usage_of

from lvlm_ad.backend import Answer, Usage
from lvlm_ad.errors import BackendError, FatalError, RateLimitError, RejectedError, UnusableReplyError

TEXT = "image anomaly score: 0.9; region 3: 0"


def chat(content=TEXT, finish="stop", message=None, **choice):
    """A reply of chat completions."""
    message = {"role": "assistant", "content": content, **(message or {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish, **choice}]}


def read(body, headers=None):
    """Return the outcome, or the error, of a reply with status 200."""
    try:
        return answer_of(body, headers or {}, 0.1)
    except BackendError as error:
        return error


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("stop STOP eos eos_token end end_turn COMPLETE completed stop_sequence FinishReason.STOP", "ok"),
        ("length MAX_TOKENS max_tokens model_length max_output_tokens contextLengthReached", "truncated"),
        ("model_context_window_exceeded FINISH_REASON_MAX_TOKENS token_limit", "truncated"),
        ("content_filter SAFETY RECITATION SPII PROHIBITED_CONTENT BLOCKLIST IMAGE_SAFETY sensitive", "filtered"),
        ("content-filter guardrail_intervened ERROR_TOXIC content_filtered", "filtered"),
        ("refusal", "refused"),
    ],
)
def test_the_words_of_many_endpoints_for_how_an_answer_ended(words, outcome):
    """Only stop and its equals are ok; words for a limit or a filter are known whatever their spelling."""
    assert {word: answer_of(chat(finish=word), {}, 0.1).outcome for word in words.split()} == dict.fromkeys(
        words.split(), outcome
    )


def test_a_character_that_was_cut_in_two_is_left_out():
    """Bytes at the end that are no character are left out, as some servers do already; within the text they stay."""
    texts = [answer_of(chat(text, finish="length"), {}, 0.1).text for text in ("a\ufffdb\ufffd\ufffd", "\ufffd")]
    assert texts == ["a\ufffdb", ""]


@pytest.mark.parametrize("word", ["abort", "error", "network_error", "tool_calls", "OTHER", "null", "", None, 1, {}])
def test_an_unknown_end_is_no_complete_answer(word):
    """Any other end is an error that holds what came, as a truncated answer."""
    error = read(chat(finish=word))
    assert isinstance(error, UnusableReplyError)
    assert (error.answer.text, error.answer.outcome) == (TEXT, "truncated")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (chat(native_finish_reason="MAX_TOKENS"), "truncated"),
        (chat(native_finish_reason="end_turn"), "ok"),
        (chat(finish=None, native_finish_reason="stop"), "ok"),
        (chat(finish=None) | {"incomplete_details": {"reason": "max_output_tokens"}}, "truncated"),
        ({"choices": [{"finish_reason": "content_filter: PROHIBITED_CONTENT"}]}, "filtered"),
        ({"choices": [{"finish_reason": "length"}]}, "truncated"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "filtered"),
        ({"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, "filtered"),
        (chat() | {"error": {"message": "", "code": None}}, "ok"),
    ],
)
def test_the_end_stands_in_other_fields_too(body, outcome):
    """A router's native reason, details of an incomplete reply and a missing message decide as well."""
    assert read(body).outcome == outcome


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "bad input", "type": "data_inspection_failed", "code": "data_inspection_failed"}}),
        (400, {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}),
        (400, {"error": {"code": "1301", "message": "输入或生成内容可能包含不安全或敏感内容"}}),
        (400, {"error": {"code": "400", "message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (400, {"error": {"code": "400", "message": "litellm.ContentPolicyViolationError: AzureException - no"}}),
        (500, {"error": {"message": "filtered due to the prompt triggering Azure's content management policy"}}),
        (400, {"error": {"message": "your prompt was flagged as potentially violating our usage policy"}}),
        (400, {"error": {"code": "InputImageSensitiveContentDetected", "message": "the input image"}}),
        (403, {"error": "Content violates usage guidelines. Team: 1"}),
    ],
)
def test_a_filter_is_known_by_code_or_words(status, body):
    """What a content filter sends as an error is the outcome filtered, also if a gateway dropped its code."""
    answer = failed_answer(status, body, {}, 0.1)
    assert (answer.outcome, answer.text) == ("filtered", "")
    line = {"custom_id": "k", "response": {"status_code": status, "body": body}}
    assert _result_of(line)[1].outcome == "filtered"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"message": "Your account was deactivated for violating our usage policies"}}),
        (400, {"error": {"message": "This model's maximum context length is 4096 tokens", "code": "context_length"}}),
        (400, {"error": {"message": "unknown field: stop_reason", "code": "invalid_request_error"}}),
    ],
)
def test_an_error_that_is_no_filters_stays_an_error(status, body):
    """An account that was closed, a context that is too long, or an unknown field is no declined question."""
    with pytest.raises(BackendError):
        failed_answer(status, body, {}, 0.1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra input"}]}}, "body.seed: Extra input"),
        ({"detail": [{"loc": ["body", 0], "msg": "a"}, {"loc": ["query"], "msg": "b"}]}, "body.0: a; query: b"),
        ({"error": "as a text"}, "as a text"),
        ({"errors": ["one", "two", "one"]}, "one; two"),
        ({"success": False, "errors": [{"code": 7, "message": "no route"}], "messages": []}, "no route"),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "login fail"),
        ({"error_code": 17, "error_msg": "quota"}, "quota"),
        ({"error": "Bad Request", "message": "the field is missing", "status": 400}, "the field is missing"),
        ({"fault": {"faultstring": "no route", "detail": {"errorcode": "x"}}}, "no route"),
        ({"Response": {"Error": {"Code": "C", "Message": "in capitals"}}}, "in capitals"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": '{"detail": "too small"}'}}},
            "too small",
        ),
        ({"error": {"message": "Invalid value", "param": "top_p"}}, "Invalid value (field top_p)"),
        ("<html><head><title>502 Bad\nGateway</title>", "502 Bad Gateway"),
        ("<!doctype html><body><h1>Sign in</h1>", "Sign in"),
        ("no healthy upstream", "no healthy upstream"),
        ({"ids": ["not a reason"], "choices": []}, ""),
    ],
)
def test_the_reason_is_found_wherever_it_stands(body, reason):
    """A text, an object or a list, nested or in capitals, a provider's own words, a page's title: all are quoted."""
    assert reason_in(body).endswith(reason)
    assert bool(reason_in(body)) == bool(reason)


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (403, "<!DOCTYPE html><title>Just a moment...</title>", {}, "gateway .*Just a moment.*the key may be right"),
        (403, "error code: 1010", {}, "gateway .*status 403: error code: 1010"),
        (403, {"error": {"message": "country not supported"}}, {}, "access is refused: country not supported"),
        (401, "Unauthorized", {}, "the key is refused: status 401: Unauthorized"),
        (407, "", {}, "a proxy asks for a login"),
        (301, "", {"location": "https://h.example/v2/chat/completions?t=s"}, "to --set base_url=https://h.example/v2"),
        (308, "", {"location": "/login"}, "elsewhere, to /login; .*base_url=URL"),
    ],
)
def test_what_kept_a_question_from_the_endpoint_is_no_fault_of_the_key(status, body, headers, says):
    """Gateway, proxy and redirect are named, and the new address is quoted without its query."""
    with pytest.raises(FatalError, match=says.replace("to --set", "--set")) as caught:
        failed_answer(status, body, headers, 0.1, " KEY", " PROXY")
    assert "t=s" not in str(caught.value)
    assert (" KEY" in str(caught.value)) == ("refused:" in str(caught.value))


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            FatalError,
            "bal",
        ),
        ({"choices": None, "base_resp": {"status_msg": "rate limit"}}, RateLimitError, "rate limit"),
        ({"code": 422, "msg": "bad picture"}, RejectedError, "status 422: bad picture"),
        ({"object": "list", "data": []}, UnusableReplyError, r"without choices: '\{\"object\": \"list\".*base_url may"),
        ({"choices": [{"text": "image anomaly score: 0.9"}]}, UnusableReplyError, r"without a message: .*0\.9"),
        ({"error_code": 17, "error_msg": "Open api daily request limit reached"}, FatalError, "per day or longer"),
        ("<title>Open WebUI</title>", UnusableReplyError, "text/html, .*'Open WebUI'; base_url may be wrong"),
        ("", UnusableReplyError, "nothing"),
        ("\x1b[2J half \ud800", UnusableReplyError, r"\\x1b\[2J half \?"),
    ],
)
def test_a_reply_without_an_answer_is_quoted(body, error, says):
    """A reply with status 200 that holds no answer gives the error that fits its words, or is quoted."""
    raised = read(body, {"content-type": "text/html; charset=utf-8"})
    assert type(raised) is error
    with pytest.raises(error, match=says):
        raise raised


def test_a_quote_ends_before_half_a_word():
    """A long text is cut before its last word: half a key could not be recognized as one."""
    assert one_line("word " * 50 + "sk-secret", 254) == "word " * 50 + "..."


REASONED = "region 3 looks odd"


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": REASONED},
        {"content": " ", "reasoning": REASONED},
        {"content": None, "reasoning": {"content": REASONED}},
        {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": REASONED}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": REASONED}]}]},
    ],
)
@pytest.mark.parametrize(
    ("finish", "outcome", "says"),
    [("stop", "empty", "came as reasoning"), ("length", "truncated", "--set max_tokens=N")],
)
def test_text_that_came_only_as_reasoning_is_kept_and_said(message, finish, outcome, says):
    """Reasoning is never the answer's text, but the detail says what happened, and how the reasoning began."""
    answer = read(chat(finish=finish, message=message))
    assert (answer.text.strip(), answer.outcome) == ("", outcome)
    assert says in answer.detail
    assert answer.detail.endswith(REASONED)


def test_thoughts_beside_an_answer_are_not_part_of_it():
    """Of a content in parts, the parts with thoughts are left out."""
    parts = [{"type": "reasoning", "text": "0.1?"}, {"type": "thinking", "thinking": "0.2?"}]
    assert read(chat([*parts, {"type": "text", "text": "0.9"}])).text == "0.9"
    assert read(chat({"type": "text", "text": "0.9"})).text == "0.9"


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [
        ({"prompt_tokens": 900.0, "completion_tokens": 20.0}, Usage(900, None, 20)),
        ({"prompt_tokens": "900", "completion_tokens": 20, "prompt_tokens_details": "odd"}, Usage(900, None, 20)),
        ({"input_tokens": 7, "output_tokens": 8}, Usage(7, None, 8)),
        ({"prompt_tokens": 9.5, "completion_tokens": True}, Usage()),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, Usage()),
        ({"prompt_tokens": 2**62, "completion_tokens": -1, "completion_tokens_details": [1]}, Usage()),
        ([900, 20], Usage()),
        ("900", Usage()),
    ],
)
def test_counts_of_any_shape(usage, read_as):
    """Whole numbers are counts whatever their type; anything else is unknown."""
    assert usage_of(usage) == read_as


def piece(content=None, finish=None, **more):
    """A piece of a stream."""
    delta = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def stream(*pieces, between="\n\n"):
    """Server-sent events as bytes."""
    return between.join([*(f"data: {json.dumps(one)}" for one in pieces), "data: [DONE]", ""]).encode()


@pytest.mark.parametrize(
    "content",
    [
        stream(piece("score: "), piece("0.9"), piece(None, "stop", usage={"prompt_tokens": 9, "completion_tokens": 2})),
        stream(piece("score: 0.9"), piece(None, "stop"), {"choices": [], "usage": {"prompt_tokens": 9}}, between="\n"),
        b"\xef\xbb\xbf: a comment\r\n\r\n"
        + stream(piece("score: ", "null"), piece("0.9", "stop", usage={"prompt_tokens": 9}), between="\r\n\r\n"),
        stream(piece([{"type": "text", "text": "score: 0.9"}], "stop", usage={"prompt_tokens": 9})),
        stream(
            {"choices": [{"message": {"content": "score: 0.9"}, "finish_reason": "stop"}]}
            | {"usage": {"prompt_tokens": 9}}
        ),
        b"\n".join(
            json.dumps(one).encode() for one in (piece("score: "), piece("0.9", "stop", usage={"prompt_tokens": 9}))
        ),
        b"data: "
        + json.dumps(piece("score: 0.9", "stop", usage={"prompt_tokens": 9}), indent=1)
        .replace("\n", "\ndata: ")
        .encode(),
        b": PROCESSING\n\n" + json.dumps(chat("score: 0.9") | {"usage": {"prompt_tokens": 9}}).encode(),
    ],
)
def test_a_stream_that_nobody_asked_for_is_read(content):
    """Pieces are joined, in any framing, and the last token counts are those of the answer."""
    answer = read(body_of(content))
    assert (answer.text, answer.outcome, answer.usage.input_tokens) == ("score: 0.9", "ok", 9)


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (stream(piece("score: 0.9; region")), ("truncated", "score: 0.9; region")),
        (stream(piece("score"), piece(None, "abort")), ("truncated", "score")),
        (b'data: {"choices": [{"del\n\n' + stream(piece("score", "stop")), ("truncated", "score")),
        (stream(piece("score"), {"error": {"message": "overloaded", "code": 429}}), RateLimitError),
        (b'event: error\ndata: {"type": "error", "message": "boom", "status": 400}\n\n', RejectedError),
        (b"data: nothing\n\ndata: of use\n\n", UnusableReplyError),
    ],
)
def test_a_stream_that_breaks_off_is_no_complete_answer(content, result):
    """Without a finish reason or with a damaged piece a stream is not ok; an error in it is an error."""
    error = read(body_of(content))
    if isinstance(result, tuple):
        assert (error.answer.outcome, error.answer.text) == result
    else:
        assert type(error) is result


def test_reasoning_in_a_stream_is_joined():
    """Thoughts, refusals and log-probabilities are joined like the text."""
    thought = [{"choices": [{"delta": {"reasoning_content": part}}]} for part in ("so ", "odd")]
    assert read(body_of(stream(*thought, piece("", "length")))).detail.endswith("so odd")
    refused = [{"choices": [{"delta": {"refusal": part}}]} for part in ("I ", "cannot")]
    answer = read(body_of(stream(*refused, piece(None, "stop"))))
    assert (answer.outcome, answer.detail) == ("refused", "I cannot")


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(chat("score \u00ff 0.9"), ensure_ascii=False).encode("latin-1"),
        json.dumps(chat("score 0.9")).encode("utf-16"),
        json.dumps(chat("score 0.9"))[:-1].encode() + b', "created": ' + b"9" * 6000 + b"}",
    ],
)
def test_a_damaged_part_does_not_spoil_a_paid_answer(data):
    """A byte that is no UTF-8, another encoding or a number of thousands of digits leaves the text readable."""
    assert read(body_of(data)).text.endswith("0.9")


def test_a_line_of_a_batch_ends_as_a_live_answer_does():
    """In a batch, too, an unknown end holds what came, a body may be text, and a status may be missing."""

    def result(response, **line):
        return _result_of({"custom_id": "k", "response": response, **line})[1]

    error = result({"status_code": 200, "body": chat(finish="abort")})
    assert (error.answer.outcome, error.answer.batch) == ("truncated", True)
    assert result({"status_code": 200, "body": chat(finish="MAX_TOKENS")}).outcome == "truncated"
    assert result({"body": json.dumps(chat())}).outcome == "ok"
    assert result(None, error={"code": "content_filter", "message": "no"}).outcome == "filtered"
    assert "expired; too late" in str(result(None, error={"errors": ["expired", "too late"]}))


NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "finish_reason",
        "error",
        "code",
        "detail",
        "loc",
        "msg",
        "metadata",
        "raw",
        "usage",
        "type",
        "text",
        "thinking",
        "param",
        "status",
        "reasoning",
        "logprobs",
        "token",
        "promptFeedback",
        "base_resp",
        "delta",
        "index",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.sampled_from([200, 307, 400, 401, 403, 407, 429, 500]))
def test_no_json_crashes_the_reader(value, status):
    """Whatever JSON comes, there is an answer or an error of ours, and its message can be written."""
    body = body_of(json.dumps(value).encode())
    try:
        answer = answer_of(body, {}, 0.1) if status == 200 else failed_answer(status, body, {}, 0.1)
    except BackendError as error:
        str(error).encode()
    else:
        assert isinstance(answer, Answer)


@pytest.mark.parametrize("shape", ['{"error":%s}', '{"detail":[{"loc":[%s],"msg":"m"}]}', '{"error":{"code":%s}}'])
def test_deep_nesting_is_no_crash(shape):
    """JSON that is nested as deep as it can be read gives an error of ours."""
    deepest = next(deep for deep in range(3000, 0, -100) if not isinstance(body_of(b"[" * deep + b"]" * deep), str))
    for deep in (deepest - 50, deepest // 2):
        body = body_of((shape % ("[" * deep + "]" * deep)).encode())
        for status in (400, 429, 503):
            with pytest.raises(BackendError):
                failed_answer(status, body, {}, 0.1)
        assert isinstance(read(body), BackendError)
