"""Backend for GPT-4V and every other endpoint with OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import ClassVar, TypeVar

from lvlm_ad.backend import Answer, BackendOptions, Batch, BatchBackend, Capabilities, Request
from lvlm_ad.errors import BackendError, ConfigError, NotFoundError, RejectedError

from .batches import LABEL, PATH, batch_of, line_of, result_of
from .body import chat_body
from .options import OpenAIOptions
from .replies import answer_of, failed_answer, parse_json, sentence
from .wire import StatusError, Wire

__all__ = ["OpenAIBackend", "OpenAIOptions"]

_SHOWN = 1000
"""Most characters of a message; cut only after the key was removed from it."""

T = TypeVar("T")


class OpenAIBackend(BatchBackend):
    """Asks chat completions, one question per request or many in a batch.

    Args:
        options: address, model, key and sampling options.

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

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(options)
        self._options = options
        if not options.base_url:
            raise ConfigError("No address is set; give the endpoint's with --set base_url=URL.")
        self.capabilities = Capabilities(
            max_output_tokens=options.max_tokens,
            detail=options.detail,
            schema="schema" in options.takes,
            probabilities=bool(options.logprobs),
        )
        self._wire = Wire(options)
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
            error.args = (f"{sentence(str(error))}{self._wire.served()}",)
            raise self._explained(error) from None
        except BackendError as error:
            raise self._explained(error) from None

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def check_batch(self) -> None:
        """Check that the endpoint takes batches.

        Raises:
            ConfigError: "batch" is not among the features of the option ``takes``.
        """
        if "batch" not in self._options.takes:
            raise ConfigError(
                f"{self._options.base_url} takes no batches (takes = {list(self._options.takes)}); leave --batch out."
            )

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file."""
        return line_of(key, chat_body(request, self._options))

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return its id."""
        with file.open("rb") as content:
            return self._call(lambda: self._wire.client.files.create(file=content, purpose="batch")).id

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return its id; its metadata keep ``label``."""
        return self._call(
            lambda: self._wire.client.batches.create(
                input_file_id=file_id, endpoint=PATH, completion_window="24h", metadata={LABEL: label}
            )
        ).id

    def find_batch(self, label: str) -> str | None:
        """Look for a batch by its label among the newest hundred."""
        newest = self._call(lambda: self._wire.client.batches.list(limit=100)).data
        return next((batch.id for batch in newest if (batch.metadata or {}).get(LABEL) == label), None)

    def batch(self, batch_id: str) -> Batch:
        """Return a batch's state."""
        batch = batch_of(self._call(lambda: self._wire.client.batches.retrieve(batch_id)))
        return replace(batch, detail=self._wire.hide(batch.detail)[:_SHOWN])

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or its error, from the output file and the error file."""
        client = self._wire.client
        batch = self._call(lambda: client.batches.retrieve(batch_id))
        for file_id in (batch.output_file_id, batch.error_file_id):
            content = self._call(partial(client.files.content, file_id)).content if file_id else b""
            for line in content.splitlines():
                if (result := result_of(parse_json(line))) is not None:
                    key, answer = result
                    yield key, self._without_key(answer) if isinstance(answer, Answer) else self._explained(answer)

    def _answer(self, request: Request) -> Answer:
        start = perf_counter()
        try:
            reply = self._wire.post("/chat/completions", chat_body(request, self._options))
        except StatusError as failure:
            return self._failed_answer(failure, perf_counter() - start)
        return answer_of(parse_json(reply.content), reply.headers, perf_counter() - start)

    def _failed_answer(self, failure: StatusError, seconds: float) -> Answer:
        body = parse_json(failure.content)
        return failed_answer(failure.status, body, failure.headers, seconds, self._wire.key_source())

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
        tokens = answer.tokens if text == answer.text else ()
        return replace(answer, text=text, detail=hide(answer.detail), model=hide(answer.model), tokens=tokens)

    def _explained(self, error: BackendError) -> BackendError:
        """Add the address and the model to an error, and remove the key."""
        text = self._wire.hide(str(error))[:_SHOWN]
        error.args = (f"{self._options.base_url}, model {self._options.model}: {text}",)
        return error
