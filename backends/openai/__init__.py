"""Backend for GPT-4V and every other endpoint with OpenAI's chat completions, and with its Batch API."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from lvlm_ad.backend import Answer, BackendOptions, Batch, BatchBackend, Capabilities, Picture, Request
from lvlm_ad.errors import (
    BackendError,
    ConfigError,
    NotFoundError,
    RejectedError,
    TransientError,
    UnusableReplyError,
    sentence,
)

from .failures import failed_answer
from .network import MAX_BYTES
from .reasons import filtered_by, reason_in
from .replies import answer_of
from .streams import body_of, parse_json
from .wire import OpenAIOptions, StatusError, Wire

if TYPE_CHECKING:
    from openai.types import Batch as OpenAIBatch

__all__ = ["OpenAIBackend", "OpenAIOptions"]

_SHOWN = 1000
"""Most characters of a message; cut only after the key was removed from it."""
_PATH: Final = "/v1/chat/completions"
"""Where the endpoint sends the questions of a batch."""
_LABEL: Final = "lvlm-ad"
"""Name of our label in a batch's metadata."""

_STATES: dict[str, Literal["done", "failed"]] = {
    "completed": "done",
    "expired": "done",
    "cancelled": "done",
    "failed": "failed",
}
_MOST_LOGPROBS = 20
"""Alternatives of a token that an endpoint lists at most."""

_PLAIN_SAMPLING = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1.0,
}
"""Values that change nothing. Servers ignore names that they do not know; the last is llama.cpp's name of the one
before."""

_OK, _SERVER_ERROR = 200, 500

T = TypeVar("T")


class OpenAIBackend(BatchBackend):
    """Asks chat completions, one question per request or many in a batch.

    Args:
        options: address, model, key and sampling options.
        key: the key of a server that this process starts; empty: the one that the options name.
        more: from a question to further fields of its body.

    Raises:
        ConfigError: the address, the model or the key is missing, or the key's file cannot be read.

    Example:
        >>> options = OpenAIOptions(model="qwen", base_url="http://127.0.0.1:8000/v1", api_key_env="")
        >>> backend = OpenAIBackend(options)
        >>> backend.capabilities.max_output_tokens
        1024
        >>> backend.close()
    """

    Options: ClassVar[type[BackendOptions]] = OpenAIOptions

    def __init__(
        self,
        options: OpenAIOptions,
        *,
        key: str = "",
        more: Callable[[Request], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        super().__init__(options)
        self._options, self._more = options, more
        if not options.base_url:
            raise ConfigError("The endpoint has no address; give it with --set base_url=URL.")
        self.capabilities = Capabilities(
            max_output_tokens=options.max_tokens,
            detail=options.detail,
            schema="schema" in options.takes,
            probabilities=bool(options.logprobs),
        )
        self._wire = Wire(options, key)
        if not options.model:
            served = self._wire.served()
            self._wire.close()
            raise ConfigError(f"No model is named for {options.base_url}.{served}")

    def answer(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            TransientError: time-out, lost connection, server error or unreadable reply.
            RateLimitError: status 429.
            RejectedError: the endpoint calls the request malformed or too large.
            FatalError: the endpoint refuses the key or the model, or the account is empty.
        """
        try:
            return self._without_key(self._answer(request))
        except NotFoundError as error:
            error.args = (f"{sentence(error)}{self._wire.served()}",)
            raise self._explained(error) from None
        except BackendError as error:
            raise self._explained(error) from None

    def environment(self) -> dict[str, str]:
        """Return what the server does with the model's probabilities, as far as that is known."""
        return {"sampling": self._options.sampling or "the server's own top_p, top_k and penalties"}

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def check_batch(self) -> None:
        """Check that the endpoint accepts batches.

        Raises:
            ConfigError: "batch" is not among the features of the option ``takes``.
        """
        if "batch" not in self._options.takes:
            raise ConfigError(
                f"{self._options.base_url} does not support batches (takes = {list(self._options.takes)}); leave "
                "--batch out."
            )

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file."""
        head = f'{{"custom_id":"{key}","method":"POST","url":"{_PATH}","body":'
        return head.encode() + _chat_body(request, self._options) + b"}\n"

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return its id."""
        with file.open("rb") as content:
            return self._call(lambda: self._wire.client.files.create(file=content, purpose="batch")).id

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return its id; its metadata keep ``label``."""
        return self._call(
            lambda: self._wire.client.batches.create(
                input_file_id=file_id, endpoint=_PATH, completion_window="24h", metadata={_LABEL: label}
            )
        ).id

    def find_batch(self, label: str) -> str | None:
        """Look for a batch by its label among the newest hundred."""

        def search() -> str | None:
            newest = self._wire.client.batches.list(limit=100).data
            return next((batch.id for batch in newest if (batch.metadata or {}).get(_LABEL) == label), None)

        return self._call(search)

    def batch(self, batch_id: str) -> Batch:
        """Return a batch's state."""
        batch = self._call(lambda: _batch_of(self._wire.client.batches.retrieve(batch_id)))
        return replace(batch, detail=self._wire.hide(batch.detail)[:_SHOWN])

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or its error, from the output file and the error file."""
        client = self._wire.client
        batch = self._call(lambda: client.batches.retrieve(batch_id))
        for file_id in (batch.output_file_id, batch.error_file_id):
            content = self._call(partial(client.files.content, file_id)).content if file_id else b""
            for line in BytesIO(content):
                if len(line) <= MAX_BYTES and (result := _result_of(parse_json(line))) is not None:
                    key, answer = result
                    yield key, self._without_key(answer) if isinstance(answer, Answer) else self._explained(answer)

    def _answer(self, request: Request) -> Answer:
        start = perf_counter()
        try:
            # Some endpoints stream unless they are told not to.
            body = _chat_body(request, self._options, stream=False, **self._more(request))
            reply = self._wire.post(body)
        except StatusError as failure:
            return self._failed_answer(failure, perf_counter() - start)
        return answer_of(body_of(reply.content), reply.headers, perf_counter() - start)

    def _failed_answer(self, failure: StatusError, seconds: float) -> Answer:
        body, wire = body_of(failure.content), self._wire
        return failed_answer(failure.status, body, failure.headers, seconds, wire.key_source(), wire.proxy_hint)

    def _call(self, call: Callable[[], T]) -> T:
        """Call the client; translate its exceptions."""
        try:
            try:
                result: T = self._wire.call(call)
            except StatusError as failure:
                raise RejectedError(self._failed_answer(failure, 0.0).detail) from None
        except BackendError as error:
            raise self._explained(error) from None
        return result

    def _without_key(self, answer: Answer) -> Answer:
        """Remove the key from an answer: some servers quote it."""
        hide = self._wire.hide
        text = hide(answer.text)
        answer = answer if text == answer.text else replace(answer, text=text, tokens=(), first=None)
        return replace(answer, detail=hide(answer.detail), model=hide(answer.model))

    def _explained(self, error: BackendError) -> BackendError:
        """Add the address and the model to an error, and remove the key."""
        if isinstance(error, UnusableReplyError) and error.answer is not None:
            error.answer = self._without_key(error.answer)
        text = self._wire.hide(str(error))[:_SHOWN]
        error.args = (f"{self._options.base_url}, model {self._options.model}: {text}",)
        return error


def _chat_body(request: Request, options: OpenAIOptions, **more: Any) -> bytes:
    """Return a question as JSON; a setting that the endpoint does not support is left out."""
    body: dict[str, Any] = {"model": options.model, options.token_parameter: options.max_tokens}
    for name in ("temperature", "reasoning_effort"):
        if (value := getattr(options, name)) is not None:
            body[name] = value
    if options.seed is not None:
        # The same question once more is another sample.
        body["seed"] = options.seed + int(request.options.get("repeat", 0))
    if options.sampling == "plain":
        body |= _PLAIN_SAMPLING
    if options.keep_special_tokens is not None:
        body["skip_special_tokens"] = not options.keep_special_tokens
    logprobs = options.logprobs
    if logprobs is None and request.options.get("probabilities") and "logprobs" in options.takes:
        logprobs = _MOST_LOGPROBS
    if logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": logprobs}
    if "schema" in request.options and "schema" in options.takes:
        schema = {"name": "anomaly_scores", "strict": True, "schema": request.options["schema"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body["messages"] = [{"role": "user", "content": []}]
    body |= more
    # Pictures are put in afterwards: their base64 text needs no escaping, and each copy of it takes time. No text holds
    # what is split here, because quotation marks in it are escaped.
    head, empty, tail = _json(body).partition(b'"messages":[{"role":"user","content":[]}]')
    shown = (piece for picture in request.images for piece in (*_picture(picture, options), b","))
    text = _json({"type": "text", "text": request.text})
    return b"".join((head, empty[:-3], *shown, text, empty[-3:], tail))


def _picture(picture: Picture, options: OpenAIOptions) -> tuple[bytes, ...]:
    """Return the pieces of a picture's part of a question."""
    url = f"data:{picture.media_type};base64,"
    part = {"url": url} if options.detail == "none" else {"url": url, "detail": options.detail}
    name = {"uuid": picture.digest} if "uuid" in options.takes else {}
    head, comma, tail = _json({"type": "image_url", "image_url": part, **name}).partition(b";base64,")
    return head, comma, base64.b64encode(picture.data), tail


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _batch_of(batch: OpenAIBatch) -> Batch:
    """Translate a batch's state."""
    counts = batch.request_counts
    reasons = [str(error.message) for error in (batch.errors.data or [])] if batch.errors else []
    detail = f"{batch.status}{': ' if reasons else ''}{'; '.join(reasons)}"
    answered, total = (counts.completed + counts.failed, counts.total) if counts else (0, 0)
    return Batch(batch.id, _STATES.get(batch.status, "waiting"), answered, total, detail)


def _result_of(line: Any) -> tuple[str, Answer | BackendError] | None:
    """Return the key and the answer or error in one line of a batch's result; None if the line names no question."""
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        return None
    key, response = line["custom_id"], line.get("response")
    try:
        if isinstance(response, dict):
            answer = _answer_in(response)
        elif filtered := filtered_by(line.get("error"), _SERVER_ERROR):
            answer = Answer("", "filtered", detail=filtered)
        else:
            raise TransientError(f"not answered in the batch: {reason_in(line.get('error')) or 'no reason is given'}")
    except BackendError as error:
        if isinstance(error, UnusableReplyError) and error.answer is not None:
            error.answer = replace(error.answer, batch=True)
        return key, error
    return key, replace(answer, batch=True)


def _answer_in(response: Mapping[str, Any]) -> Answer:
    """Return the answer in the response of a batch's line; a response without a status is taken as success."""
    body, status = response.get("body"), response.get("status_code", _OK)
    if isinstance(body, str):
        body = body_of(body.encode("utf-8", "replace"))
    if status == _OK:
        return answer_of(body, {}, 0.0)
    return failed_answer(status if isinstance(status, int) else _SERVER_ERROR, body, {}, 0.0)
