"""HTTP client for OpenAI-compatible endpoints: options, the key, the connection, and failures of the transport."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from lvlm_ad.backend import BackendOptions, Transport
from lvlm_ad.errors import BackendError, ConfigError, TransientError, UnusableReplyError

from .network import ReplyTooLargeError, connection_failure, http, make_client, make_http_client, proxy_hint

if TYPE_CHECKING:
    from openai import OpenAI

_DEFAULT_VARIABLE = "OPENAI_API_KEY"
_SHORTEST_KEY = 8
"""Characters that a real key has at least."""
_KIND = 12
"""Characters at the beginning of a key that only tell its kind, such as "sk-proj-"."""
_LISTED = 20
"""Most models named in a message."""


Feature = Literal["temperature", "seed", "logprobs", "schema", "batch", "uuid"]
"""``uuid``: vLLM's name of a picture, by which it finds what it has computed for the same picture before."""
_OWN_HEADERS = {"host", "connection", "cookie", "expect", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
"""Headers that must not carry a key: they steer the connection."""


class OpenAIOptions(BackendOptions):
    """Options of an OpenAI-compatible endpoint.

    Example:
        >>> OpenAIOptions(model="qwen", base_url="http://127.0.0.1:8000/v1/").base_url
        'http://127.0.0.1:8000/v1'
    """

    priced_by: ClassVar[tuple[str, ...]] = ("model", "base_url")
    keyless: ClassVar[Mapping[str, Any]] = {"api_key_env": "", "api_key_file": None}

    model: str = ""
    """The model's name at the endpoint. If it is missing, the error lists the models that the endpoint serves."""
    base_url: str = "https://api.openai.com/v1"
    """Address of the endpoint, including its version, such as http://127.0.0.1:8000/v1."""
    api_version: str | None = None
    """Value of the query parameter ``api-version``, for older addresses of Azure."""
    api_key_env: Annotated[str, Transport] = "OPENAI_API_KEY"
    """Environment variable that holds the key; empty: no key is needed."""
    api_key_file: Annotated[Path | None, Transport] = None
    """File that holds the key, instead of the variable."""
    key_header: Annotated[str, Transport] = "authorization"
    """Header that carries the key besides Authorization, such as X-Api-Key; Azure requires "api-key"."""
    takes: Annotated[tuple[Feature, ...], Transport] = ("temperature", "seed", "logprobs", "schema", "batch")
    """Features that the endpoint supports; others are never sent."""
    detail: Literal["auto", "low", "high", "none"] = "high"
    """Resolution at which the model sees pictures; "none" sends no such field."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Sampling temperature. Default: 0 if the endpoint supports a temperature. "none": the endpoint decides."""
    seed: int | None = None
    """Sampling seed."""
    sampling: Literal["plain"] | None = None
    """For a server of your own: "plain" tells vLLM, SGLang or llama.cpp to leave the model's probabilities as they are,
    however it was started: no penalties, no top_p, top_k or min_p. Default: the server decides, and is sent nothing."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Most tokens of an answer, including reasoning."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105 - no secret
    """The endpoint's name for this limit."""
    reasoning_effort: str | None = None
    """How long a reasoning model thinks; a value that the endpoint knows."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of alternatives per token for which to request log-probabilities."""
    keep_special_tokens: bool | None = None
    """Whether the answer keeps the model's special tokens, such as those around a place; vLLM and SGLang remove them
    unless this is true. Default: the endpoint decides, and is sent nothing."""
    timeout: Annotated[float, Field(gt=0), Transport] = 120.0
    """Seconds to wait for the beginning of an answer, and again for its end."""

    @model_validator(mode="before")
    @classmethod
    def _default_temperature(cls, values: Any) -> Any:
        """Ask for the most likely answer if the endpoint supports a temperature."""
        if isinstance(values, dict):
            takes = values.get("takes", cls.model_fields["takes"].default)
            return {"temperature": 0.0 if "temperature" in takes else None, **values}
        return values

    @field_validator(
        "temperature", "seed", "sampling", "reasoning_effort", "logprobs", "api_version", "api_key_file", mode="before"
    )
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("api_key_env")
    @classmethod
    def _variable_name(cls, value: str) -> str:
        """Refuse a key in place of its variable's name, without quoting it."""
        if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value):
            raise ValueError("give the name of an environment variable, such as OPENAI_API_KEY, not the key itself")
        return value

    @field_validator("key_header")
    @classmethod
    def _header_name(cls, value: str) -> str:
        """Refuse a key in place of the header's name, without quoting it, and headers that the request needs itself."""
        if not re.fullmatch(r"[A-Za-z]{1,40}(-[A-Za-z]{1,40}){0,5}", value):
            raise ValueError("give the name of a header, of letters and hyphens, such as X-Api-Key, not the key itself")
        if value.lower() in _OWN_HEADERS or value.lower().startswith(("content-", "accept", "proxy-", "x-stainless-")):
            raise ValueError(f"requests use {value} for something else; name the header in which the server reads keys")
        return value.lower()

    @field_validator("base_url")
    @classmethod
    def _address_without_secrets(cls, value: str) -> str:
        """Refuse an address that would write a secret into the run's manifest."""
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("give an address up to its version, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address must not hold a user, password, query or fragment; api_key_env names the key's variable"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _only_supported_features(self) -> OpenAIOptions:
        for name in ("temperature", "seed", "logprobs"):
            if getattr(self, name) is not None and name not in self.takes:
                raise ValueError(
                    f"this endpoint does not support {name}; do not set it, or add it to takes = {list(self.takes)}"
                )
        return self


class StatusError(Exception):
    """A reply with an HTTP status other than success: the status, the body, and headers with names in lower case."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.content, self.headers = status, content, headers


class Wire:
    """Client of one endpoint; building it raises ConfigError if the key is missing or its file cannot be read."""

    def __init__(self, options: OpenAIOptions, key: str = "") -> None:
        self._url = options.base_url
        self._model = options.model
        self._timeout = options.timeout
        self._key, self._source = (SecretStr(key), "") if key else _find_key(options)
        self._options = options
        client = make_http_client(options)
        # Each question has a client, and so a connection, of its own: a shared one looks at every connection for each.
        self._free = [client]
        self._questions = http().URL(f"{options.base_url}/chat/completions")
        self.client: OpenAI = make_client(self._key, options, client)
        self.proxy_hint = proxy_hint(options.base_url)

    def hide(self, text: str) -> str:
        """Replace the key in a text, also where it is URL-encoded or cut off."""
        key = self._key.get_secret_value()
        if len(key) < _SHORTEST_KEY:
            # A dummy such as "1" or "none" is no secret, and occurs in many answers.
            return text
        spellings = {key, quote(key, safe=""), quote(key)}
        for head in {spelling[:_KIND] for spelling in spellings}:
            start = text.find(head)
            while start >= 0:
                rest = text[start:]
                length = max(len(os.path.commonprefix([spelling, rest])) for spelling in spellings)  # noqa: RUF071 - texts
                text = f"{text[:start]}[key]{rest[length:]}"
                start = text.find(head, start + 1)
        return text

    def key_source(self) -> str:
        """Return a sentence about the origin of the key; empty if no key is needed."""
        return f" {self._source} contains {'the' if self._key else 'no'} key." if self._source else ""

    def post(self, body: bytes) -> Any:
        """Post a question and return the response of the HTTP library; raises as ``call`` does."""
        # The client's own methods would copy and check every picture, or take as long as all other work on a question.
        own = {**self.client.auth_headers, **self.client.default_headers}
        headers = {name: value for name, value in own.items() if isinstance(value, str)}
        query = self.client.default_query or None
        try:
            client = self._free.pop()
        except IndexError:
            client = make_http_client(self._options)
            if self.client.is_closed():
                client.close()
        try:
            response = self.call(lambda: client.post(self._questions, content=body, headers=headers, params=query))
        finally:
            self._free.append(client)
            # It was in use when ``close`` went through those that were free.
            if self.client.is_closed():
                self._close_free()
        if not response.is_success:
            raise StatusError(response.status_code, response.content, response.headers)
        return response

    def call(self, call: Callable[[], Any]) -> Any:
        """Call the client, or the HTTP library below it, and translate the exceptions of both.

        Raises:
            StatusError: the status is not success.
            TransientError: there is no complete reply.
            FatalError: this address and environment allow no connection.
        """
        import openai  # noqa: PLC0415 - takes half a second

        failure: StatusError | BackendError
        try:
            return call()
        except openai.APIStatusError as error:
            failure = StatusError(error.status_code, error.response.content, error.response.headers)
        except (openai.APITimeoutError, http().TimeoutException):
            failure = TransientError(f"no answer within {self._timeout:g} s", crowded=True)
        except openai.APIConnectionError as error:
            failure = connection_failure(error.__cause__ or error, self.proxy_hint)
        except (http().RequestError, ssl.SSLError) as error:
            failure = connection_failure(error, self.proxy_hint)
        except ReplyTooLargeError as error:
            failure = UnusableReplyError(f"an unreadable reply: {error}")
        except RecursionError:
            failure = UnusableReplyError("an unreadable reply: it is nested too deeply")
        except RuntimeError:
            if not self.client.is_closed():
                raise
            failure = TransientError("the backend was closed")
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            # The client does not catch a body that is not JSON, and does not check its fields.
            failure = UnusableReplyError(f"an unreadable reply: {type(error).__name__}")
        # Outside of the handlers, so that the client's exception, which holds the key, is not this one's context.
        raise failure

    def served(self) -> str:
        """Return a sentence that lists the models of the endpoint, or says why it cannot; begins with a space."""
        import openai  # noqa: PLC0415 - as above

        try:
            models = self.client.with_options(timeout=5, max_retries=0).models.list()
            names = sorted({self.hide(str(model.id)) for model in models.data})
        except openai.APIConnectionError:
            return f" No server answers at {self._url}; start it, or give its address with --set base_url=URL."
        except Exception:  # noqa: BLE001 - it only completes another message; a wrong address may return anything
            hint = "" if re.search(r"/v\d[^/]*(/openai)?$", self._url) else " Most end in /v1."
            return f" {self._url}/models does not say what it serves; is the address right?{hint}"
        if not names:
            return " It lists no models; set model=NAME."
        if self._model in names:
            return f" It lists {self._model}, so the reason lies elsewhere; is the address right?"
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return f" It serves {', '.join(name[:80] for name in names[:_LISTED])}{more}; choose one with --set model=NAME."

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self._close_free()

    def _close_free(self) -> None:
        """Close the clients that no question uses."""
        with suppress(IndexError):
            while True:
                self._free.pop().close()


def _find_key(options: OpenAIOptions) -> tuple[SecretStr, str]:
    """Return the key and where it comes from."""
    key, source = "", ""
    if options.api_key_file is not None:
        try:
            # Files often begin with a byte order mark or end with a line break.
            key = options.api_key_file.expanduser().read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise ConfigError(f"The key's file {options.api_key_file} cannot be read: {reason}.") from None
        source = f"The file {options.api_key_file}"
    elif options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip()
        source = f"The environment variable {options.api_key_env}"
    if not key.isascii() or any(character.isspace() for character in key):
        raise ConfigError(f"{source} is not a key: it contains spaces, line breaks or characters that no key has.")
    # Local servers seldom need a key, so the default variable may be unset; one that the user chose may not.
    chosen = options.api_key_file is not None or options.api_key_env != _DEFAULT_VARIABLE
    if not key and source and (chosen or not _is_local(options.base_url)):
        raise ConfigError(
            f"{source} contains no key for {options.base_url}; set it, or name another variable or file: "
            "--set api_key_env=NAME or --set api_key_file=PATH. If the endpoint needs no key: --set api_key_env="
        )
    return SecretStr(key), source


def _is_local(url: str) -> bool:
    """Return whether an address is on this machine or in its local network."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".internal", ".lan", ".local"))
