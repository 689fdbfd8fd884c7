"""GPT-4V and any endpoint that speaks OpenAI's chat completions: one question a request, errors told apart by kind."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from lvlm_ad.backend import Answer, BackendOptions, Batch, BatchBackend, Capabilities, Request, Transport
from lvlm_ad.errors import BackendError, ConfigError, FatalError, NotFoundError, RejectedError, TransientError

from ._openai_replies import NO_ENTRY, answer_of, failure_of, parsed
from ._openai_wire import FailedError, Wire

__all__ = ["OpenAIBackend", "OpenAIOptions"]

_OFFICIAL = "https://api.openai.com/v1"

_SHOWN = 1000
"""Characters of a message, at most; cut only after the key was taken out of it."""

Taken = Literal["temperature", "seed", "logprobs", "schema", "batch"]


class OpenAIOptions(BackendOptions):
    """Options of an OpenAI-compatible endpoint."""

    priced_by: ClassVar[tuple[str, ...]] = ("model", "base_url")

    model: str = ""
    """The model's name at the endpoint. Left out, the error lists what the endpoint serves."""
    base_url: str = _OFFICIAL
    """The endpoint, up to its version, such as http://127.0.0.1:8000/v1; empty: it must be set."""
    api_version: str | None = None
    """Sent as the query ``api-version``, which Azure's older addresses want."""
    api_key_env: Annotated[str, Transport] = "OPENAI_API_KEY"
    """The environment variable that holds the key; empty: none is needed."""
    api_key_file: Annotated[Path | None, Transport] = None
    """A file that holds the key, instead of the variable."""
    key_header: Annotated[Literal["authorization", "api-key"], Transport] = "authorization"
    """The header that carries the key; Azure wants "api-key"."""
    takes: Annotated[tuple[Taken, ...], Transport] = ("temperature", "seed", "logprobs", "schema", "batch")
    """What the endpoint takes; what it does not take is never sent."""
    detail: Literal["auto", "low", "high", "none"] = "high"
    """How closely pictures are looked at; "none" sends no such field."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Sampling temperature; 0 where the endpoint takes one, unless set; "none" leaves it to the endpoint."""
    seed: int | None = None
    """Sampling seed."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """The most tokens an answer may have, reasoning included."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105 - no secret
    """What the endpoint calls that limit."""
    reasoning_effort: str | None = None
    """How long a reasoning model thinks, in the endpoint's words."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Ask for the log-probabilities of so many alternatives a token; the endpoint's reply then holds them."""
    timeout: Annotated[float, Field(gt=0), Transport] = 120.0
    """Seconds to wait until an answer begins, and again until it has come completely."""

    @model_validator(mode="before")
    @classmethod
    def _default_temperature(cls, values: Any) -> Any:
        """Ask for the likeliest answer where the endpoint lets us."""
        if isinstance(values, dict):
            values = dict(values)
            taken = values.get("takes", cls.model_fields["takes"].default)
            values.setdefault("temperature", 0.0 if "temperature" in taken else None)
        return values

    @field_validator(
        "temperature", "seed", "reasoning_effort", "logprobs", "api_version", "api_key_file", mode="before"
    )
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, value: str) -> str:
        """Refuse, without quoting it, what is a key rather than a variable's name."""
        if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value):
            raise ValueError(
                "the name of an environment variable is wanted, such as OPENAI_API_KEY, not the key itself"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        """Refuse what would put a secret into the manifest."""
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an address is wanted, up to its version, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address holds no user, password, query or fragment; the key comes from the variable in api_key_env"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _only_what_is_taken(self) -> OpenAIOptions:
        for name in ("temperature", "seed", "logprobs"):
            if getattr(self, name) is not None and name not in self.takes:
                raise ValueError(
                    f"this endpoint takes no {name} (takes = {list(self.takes)}); leave it out, or set takes if it does"
                )
        return self


class OpenAIBackend(BatchBackend):
    """Asks chat completions, one question at a time or many in a batch.

    Raises:
        ConfigError: no address is set; no model is named; the key's file cannot be read; a key is wanted and there is
            none.
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
        # The body of a question that failed, for its next try by the same thread.
        self._kept = threading.local()
        if not options.model:
            served = self._wire.served()
            self._wire.close()
            raise ConfigError(f"No model is named for {options.base_url}.{served}")

    def answer(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            TransientError: a time-out, a lost connection, a failure of the server or an unreadable reply.
            RateLimitError: status 429.
            RejectedError: the request is called wrong, or too large.
            FatalError: the key or the model is refused, or the account is exhausted.
        """
        kept, body = getattr(self._kept, "question", (None, b""))
        if kept is not request:
            body = self._body(request)
        self._kept.question = (None, b"")
        start = perf_counter()
        try:
            reply = self._wire.post("/chat/completions", body)
            return self._hidden(answer_of(parsed(reply.content), reply.headers, perf_counter() - start))
        except FailedError as failed:
            failure = self._failure(failed, perf_counter() - start)
        except BackendError as error:
            failure = error
        if isinstance(failure, Answer):
            return self._hidden(failure)
        if isinstance(failure, TransientError):
            self._kept.question = (request, body)
        if isinstance(failure, NotFoundError):
            failure.args = (f"{_sentence(str(failure))}{self._wire.served()}",)
        raise self._explained(failure)

    def close(self) -> None:
        """Close the client's connections."""
        self._wire.close()

    def check_batch(self) -> None:
        """Say whether the endpoint takes batches.

        Raises:
            ConfigError: the preset says that it does not.
        """
        if "batch" not in self._options.takes:
            raise ConfigError(
                f"{self._options.base_url} takes no batches (takes = {list(self._options.takes)}); leave --batch out."
            )

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file."""
        head = f'{{"custom_id":"{key}","method":"POST","url":"/v1/chat/completions","body":'.encode()
        return head + self._body(request) + b"}\n"

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return its id."""
        with file.open("rb") as content:
            return str(self._called(lambda: self._wire.client.files.create(file=content, purpose="batch").id))

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return its id; ``label`` is kept in its metadata."""
        create = self._wire.client.batches.create
        return str(
            self._called(
                lambda: (
                    create(
                        input_file_id=file_id,
                        endpoint="/v1/chat/completions",
                        completion_window="24h",
                        metadata={"lvlm-ad": label},
                    ).id
                )
            )
        )

    def find_batch(self, label: str) -> str | None:
        """Look for a batch by its label among the newest hundred."""
        found = self._called(lambda: self._wire.client.batches.list(limit=100).data)
        return next((str(batch.id) for batch in found if (batch.metadata or {}).get("lvlm-ad") == label), None)

    def batch(self, batch_id: str) -> Batch:
        """Say how a batch stands."""
        found = self._called(lambda: self._wire.client.batches.retrieve(batch_id))
        counts = found.request_counts
        reasons = [str(error.message) for error in (found.errors.data or [])] if found.errors else []
        detail = self._wire.hide(f"{found.status}{': ' if reasons else ''}{'; '.join(reasons)}")[:_SHOWN]
        states: dict[str, Literal["done", "failed"]] = {
            "completed": "done",
            "expired": "done",
            "cancelled": "done",
            "failed": "failed",
        }
        answered, total = (counts.completed + counts.failed, counts.total) if counts else (0, 0)
        return Batch(batch_id, states.get(found.status, "waiting"), answered, total, detail)

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or its error, from the output file and the error file."""
        found = self._called(lambda: self._wire.client.batches.retrieve(batch_id))
        for file_id in (found.output_file_id, found.error_file_id):
            if file_id:
                content = self._called(partial(self._content, file_id))
                for line in content.splitlines():
                    if (answered := self._batch_answer(parsed(line))) is not None:
                        yield answered

    def _content(self, file_id: str) -> bytes:
        return self._wire.client.files.content(file_id).content

    def _batch_answer(self, line: Any) -> tuple[str, Answer | BackendError] | None:
        """Translate one line of a batch's files; None for a line that names no question."""
        if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
            return None
        key = line["custom_id"]
        response, error = line.get("response"), line.get("error")
        found: Answer | BackendError
        if not isinstance(response, dict):
            reason = error.get("message") if isinstance(error, dict) else None
            found = TransientError(f"not answered in the batch: {reason or 'no reason is given'}")
        elif response.get("status_code") == 200:  # noqa: PLR2004 - HTTP's success
            try:
                found = answer_of(response.get("body"), {}, 0.0)
            except BackendError as failure:
                found = failure
        else:
            status = response.get("status_code")
            found = failure_of(status if isinstance(status, int) else 500, response.get("body"), {}, 0.0)
        if isinstance(found, Answer):
            return key, replace(self._hidden(found), batch=True)
        return key, self._explained(found)

    def _called(self, call: Callable[[], Any]) -> Any:
        """Call the client; its errors become ours."""
        try:
            return self._wire.called(call)
        except FailedError as failed:
            failure = self._failure(failed, 0.0)
        except BackendError as error:
            failure = error
        raise self._explained(failure if isinstance(failure, BackendError) else RejectedError(failure.detail))

    def _failure(self, failed: FailedError, seconds: float) -> BackendError | Answer:
        """Tell what a reply that is no success means; of a key that is refused, where it came from."""
        failure = failure_of(failed.status, parsed(failed.content), failed.headers, seconds)
        if isinstance(failure, FatalError) and failed.status in NO_ENTRY:
            failure.args = (f"{_sentence(str(failure))}{self._wire.key_source()}",)
        return failure

    def _body(self, request: Request) -> bytes:
        """Return the request as JSON. Pictures go in as they are: base64 needs no escaping."""
        options = self._options
        fields: dict[str, Any] = {"model": options.model, options.token_parameter: options.max_tokens}
        for name in ("temperature", "seed", "reasoning_effort"):
            if (value := getattr(options, name)) is not None:
                fields[name] = value
        if options.logprobs is not None:
            fields |= {"logprobs": True, "top_logprobs": options.logprobs}
        if "schema" in request.options and self.capabilities.schema:
            schema = {"name": "anomaly_scores", "strict": True, "schema": request.options["schema"]}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        detail = b"" if options.detail == "none" else b',"detail":' + _json(options.detail)
        parts = [_json(fields)[:-1], b',"messages":[{"role":"user","content":[']
        for picture in request.images:
            kind = _json(f"data:{picture.media_type};base64,")[:-1]
            url = (kind, base64.b64encode(picture.data), b'"')
            parts += [b'{"type":"image_url","image_url":{"url":', *url, detail, b"}},"]
        parts += [b'{"type":"text","text":', _json(request.text), b"}]}]}"]
        return b"".join(parts)

    def _hidden(self, answer: Answer) -> Answer:
        """Take the key out of what a server says: some quote it back."""
        hide = self._wire.hide
        text = hide(answer.text)
        tokens = answer.tokens if text == answer.text else ()
        return replace(answer, text=text, detail=hide(answer.detail), model=hide(answer.model), tokens=tokens)

    def _explained(self, error: BackendError) -> BackendError:
        """Say of an error where it happened, and keep the key out of it."""
        text = self._wire.hide(str(error))[:_SHOWN]
        error.args = (f"{self._options.base_url}, model {self._options.model}: {text}",)
        return error


def _sentence(text: str) -> str:
    """End a text with a full stop."""
    return f"{text.rstrip('. ')}."


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
