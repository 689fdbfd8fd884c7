"""GPT-4V and any endpoint that speaks OpenAI's chat completions: pictures as data URIs, retries left to the client."""

from __future__ import annotations

import base64
import os
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lvlm_ad.backend import Answer, Backend, BackendOptions, Outcome, Request, Transport, Usage
from lvlm_ad.errors import ConfigError, FatalError, TransientError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["OpenAIBackend", "OpenAIOptions"]

_FILTERED = frozenset({"content_filter", "content_policy_violation"})
"""Error codes by which an endpoint's filter declines a question."""

_OFFICIAL = "https://api.openai.com/v1"


class OpenAIOptions(BackendOptions):
    """Options of an OpenAI-compatible endpoint."""

    model: Annotated[str, Field(min_length=1)]
    """The model's name at the endpoint."""
    base_url: str = _OFFICIAL
    """The endpoint, up to and including its version, such as http://127.0.0.1:8000/v1."""
    api_key_env: Annotated[str, Transport] = "OPENAI_API_KEY"
    """The environment variable that holds the key. An endpoint of your own may need none."""
    detail: Literal["auto", "low", "high"] = "high"
    """How closely pictures are looked at."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 0.0
    """Sampling temperature; "none" leaves it to the endpoint."""
    seed: int | None = None
    """Sampling seed, where the endpoint takes one."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """The most tokens an answer may have."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105 - no secret
    """What the endpoint calls that limit."""
    timeout: Annotated[float, Field(gt=0), Transport] = 120.0
    """Seconds to wait for an answer."""
    max_retries: Annotated[int, Field(ge=0), Transport] = 5
    """How often the client asks again after a time-out, a lost connection, or status 408, 409, 429 or 5xx."""

    @field_validator("temperature", "seed", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("base_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        """Refuse what would put a secret into the manifest."""
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an address such as http://127.0.0.1:8000/v1 is wanted")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "an address holds no user, password or query; the key comes from the variable in api_key_env"
            )
        return value.rstrip("/")


class OpenAIBackend(Backend):
    """Asks chat completions, one question a request.

    Raises:
        ConfigError: OpenAI's own endpoint is asked and the key's environment variable is not set.
    """

    Options: ClassVar[type[BackendOptions]] = OpenAIOptions

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(options)
        self._options = options
        # A key with a line break or a space at its end, as files give, would make an invalid header.
        key = os.environ.get(options.api_key_env, "").strip()
        if not key and options.base_url == _OFFICIAL:
            raise ConfigError(
                f"The environment variable {options.api_key_env} holds no key for {options.base_url}; set it, or name "
                "another with --set api_key_env=NAME, or another endpoint with --set base_url=URL."
            )
        # The client insists on a key; an endpoint that needs none ignores this one.
        self._client: OpenAI = _client(key or "none", options)
        self._key = key

    def answer(self, request: Request) -> Answer:
        """Ask once, with the client's retries.

        Raises:
            TransientError: the question failed.
            FatalError: the key or the model is refused, or the account is exhausted.
        """
        import openai  # noqa: PLC0415 - half a second; paid only by those who ask

        start = perf_counter()
        try:
            completion = self._client.chat.completions.create(**self._body(request))
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise FatalError(
                f"{self._options.base_url} refuses model {self._options.model!r}: {self._reason(error)}"
            ) from error
        except openai.RateLimitError as error:
            if error.code == "insufficient_quota":
                raise FatalError(
                    f"The account at {self._options.base_url} is exhausted: {self._reason(error)}"
                ) from error
            raise TransientError(f"rate limit: {self._reason(error)}") from error
        except openai.APIStatusError as error:
            if error.code in _FILTERED:
                return Answer("", "refused", seconds=perf_counter() - start, detail=str(error.code))
            raise TransientError(f"status {error.status_code}: {self._reason(error)}") from error
        except openai.APITimeoutError as error:
            raise TransientError(f"no answer within {self._options.timeout:g} s") from error
        except openai.APIConnectionError as error:
            raise TransientError(f"no connection to {self._options.base_url}: {error.__cause__ or error}") from error
        except (openai.OpenAIError, ValueError) as error:
            # ValueError: a body that is no JSON passes the client unwrapped.
            raise TransientError(f"an unreadable reply: {type(error).__name__}") from error
        return _answer(completion, perf_counter() - start)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _reason(self, error: Any) -> str:
        """Return the server's reason, shortened and without the key, which some servers quote back."""
        body = error.body if isinstance(error.body, dict) else {}
        reason = str(body.get("message") or error.message)
        return (reason.replace(self._key, "[key]") if self._key else reason)[:300]

    def _body(self, request: Request) -> dict[str, Any]:
        options = self._options
        content: list[dict[str, Any]] = []
        for picture in request.images:
            uri = f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"
            content.append({"type": "image_url", "image_url": {"url": uri, "detail": options.detail}})
        content.append({"type": "text", "text": request.text})
        body: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": "user", "content": content}],
            options.token_parameter: options.max_tokens,
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.seed is not None:
            body["seed"] = options.seed
        if request.options.get("format") == "json":
            schema = {"name": "anomaly_scores", "strict": True, "schema": request.options["schema"]}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def _client(key: str, options: OpenAIOptions) -> OpenAI:
    from openai import OpenAI  # noqa: PLC0415 - as above

    return OpenAI(api_key=key, base_url=options.base_url, timeout=options.timeout, max_retries=options.max_retries)


def _answer(completion: Any, seconds: float) -> Answer:
    """Translate a completion. The client does not check it: an endpoint may send any JSON, whatever the types promise.

    Raises:
        TransientError: it holds no choice with a message.
    """
    choices = getattr(completion, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    if message is None:
        raise TransientError("a reply without choices")
    reason = str(getattr(choice, "finish_reason", "") or "")
    refusal = str(getattr(message, "refusal", "") or "")
    content = getattr(message, "content", "")
    outcome: Outcome = "ok"
    if refusal or reason == "content_filter":
        outcome = "refused"
    elif reason == "length":
        outcome = "truncated"
    return Answer(
        # An empty text was paid for like any other; Text2Segmentation calls it unparsable.
        text=content if isinstance(content, str) else "",
        outcome=outcome,
        usage=_usage(getattr(completion, "usage", None)),
        seconds=seconds,
        model=str(getattr(completion, "model", "") or ""),
        detail=refusal or reason,
    )


def _usage(usage: Any) -> Usage:
    def count(holder: Any, name: str) -> int | None:
        found = getattr(holder, name, None)
        return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None

    return Usage(
        input_tokens=count(usage, "prompt_tokens"),
        cached_tokens=count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"),
        output_tokens=count(usage, "completion_tokens"),
    )
