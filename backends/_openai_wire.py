"""The way to an OpenAI-compatible endpoint: its key, the client, and bytes there and back."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from lvlm_ad.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["FailedError", "Reply", "Wire"]

_LARGEST = 500_000_000
"""Bytes of a reply, at most. A batch's answers come in one file; a single answer is far smaller."""
_FILE_SECONDS = 3600.0
"""Seconds that a file may take to come."""
_USUAL_VARIABLE = "OPENAI_API_KEY"
_SHORTEST_KEY = 8
_KIND = 12
"""Characters of a key that say of which kind it is."""
"""Characters that a key has at least."""
_SHOWN = 20
"""Models named in a message, at most."""


class _Options(Protocol):
    """What of the backend's options concerns the way."""

    @property
    def base_url(self) -> str: ...
    @property
    def api_version(self) -> str | None: ...
    @property
    def api_key_env(self) -> str: ...
    @property
    def api_key_file(self) -> Path | None: ...
    @property
    def key_header(self) -> str: ...
    @property
    def timeout(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply: its body, and its headers with names in lower case."""

    content: bytes
    headers: Mapping[str, str]


class FailedError(Exception):
    """A reply whose status is no success.

    Attributes:
        status: the HTTP status.
        content: the body.
        headers: names in lower case.
    """

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.content, self.headers = status, content, headers


def _without(spellings: Collection[str], text: str) -> str:
    """Replace a key and every beginning of it that tells more than its kind, as "sk-proj-" does."""
    parts, at = [], 0
    for found in re.finditer("|".join({re.escape(key[:_KIND]) for key in spellings}), text):
        if found.start() >= at:
            parts.append(text[at : found.start()])
            at = found.start() + max(_alike(key, text[found.start() : found.start() + len(key)]) for key in spellings)
    parts.append(text[at:])
    return "[key]".join(parts)


def _alike(one: str, other: str) -> int:
    """Count the characters that two texts begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


class Wire:
    """The client of one endpoint.

    Args:
        options: address, key and time-out.

    Raises:
        ConfigError: the key's file cannot be read, or a key is wanted and there is none.
    """

    def __init__(self, options: _Options) -> None:
        self._url = options.base_url
        self._timeout = options.timeout
        self._key, self._source = _key(options)
        self.client: OpenAI = _client(self._key, options)

    def hide(self, text: str) -> str:
        """Replace the key wherever it stands, as an address spells it too, and where it is quoted in part."""
        key = self._key.get_secret_value()
        # A shorter one is no secret but a dummy such as "1" or "none", and would be found in any answer.
        return _without({key, quote(key, safe=""), quote(key)}, text) if len(key) >= _SHORTEST_KEY else text

    def key_source(self) -> str:
        """Say where the key came from: a sentence that begins with a space; empty where none is looked for."""
        if not self._source:
            return ""
        return f" {self._source} holds {'it' if self._key else 'none'}."

    def post(self, path: str, body: bytes) -> Reply:
        """Post a body that is JSON already.

        Raises:
            FailedError: the status is no success.
            TransientError: there is no complete reply.
        """
        # The client's own way from messages to bytes copies and checks every picture; these bytes are the body.
        json = {"headers": {"Content-Type": "application/json"}}
        reply = self.called(
            lambda: self.client.post(path, cast_to=_http().Response, content=body, options=json)  # type: ignore[call-overload]
        )
        return Reply(reply.content, reply.headers)

    def called(self, call: Callable[[], Any]) -> Any:
        """Call the client. Nothing of its exceptions is kept as a cause: they hold the request, key included.

        Raises:
            FailedError: the status is no success.
            TransientError: there is no complete reply.
        """
        import openai  # noqa: PLC0415 - half a second; paid only by those who ask

        failure: FailedError | TransientError
        try:
            return call()
        except openai.APIStatusError as error:
            failure = FailedError(error.status_code, error.response.content, error.response.headers)
        except openai.APITimeoutError:
            failure = TransientError(f"no answer within {self._timeout:g} s", crowded=True)
        except openai.APIConnectionError as error:
            failure = TransientError(
                f"no connection ({error.__cause__ or error}); is the server running, and base_url right?",
                unreached=isinstance(error.__cause__, _http().ConnectError),
            )
        except RuntimeError:
            if not self.client.is_closed():
                raise
            failure = TransientError("the backend was closed")
        except (openai.OpenAIError, ValueError) as error:
            # ValueError: a body that is no JSON passes the client unwrapped.
            failure = TransientError(f"an unreadable reply: {type(error).__name__}")
        # Raised out here, or the client's exception would hang on it as its context.
        raise failure

    def served(self) -> str:
        """Return a sentence that says which models the endpoint serves, as far as it tells; begins with a space."""
        import openai  # noqa: PLC0415 - as below

        try:
            found = self.client.with_options(timeout=5, max_retries=0).models.list()
            names = sorted({self.hide(str(model.id)) for model in found.data})
        except openai.APIConnectionError:
            return f" No server answers at {self._url}; start it, or give its address with --set base_url=URL."
        except Exception:  # noqa: BLE001 - it only adds to another message; an endpoint that is wrong once may be in any way
            hint = "" if re.search(r"/v\d[^/]*(/openai)?$", self._url) else " Most end in /v1."
            return f" {self._url}/models does not say what it serves; is the address right?{hint}"
        if not names:
            return " It lists no models; set model=NAME."
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f" It serves {', '.join(name[:80] for name in names[:_SHOWN])}{more}; choose one with --set model=NAME."

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def _key(options: _Options) -> tuple[SecretStr, str]:
    """Return the key and where it is from.

    One with a line break at its end, as files give it, would make an invalid header.
    """
    key, where = "", ""
    if options.api_key_file is not None:
        try:
            key = options.api_key_file.expanduser().read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"The key's file {options.api_key_file} cannot be read: {reason}.") from None
        where = f"The file {options.api_key_file}"
    elif options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip()
        where = f"The environment variable {options.api_key_env}"
    if not key.isascii() or any(character.isspace() for character in key):
        raise ConfigError(f"{where} holds no key: there are spaces, line breaks or characters in it that no key has.")
    # A server nearby seldom wants a key, so the usual variable may be unset; a source that the user chose may not.
    chosen = options.api_key_file is not None or options.api_key_env != _USUAL_VARIABLE
    if not key and where and (chosen or not _is_near(options.base_url)):
        raise ConfigError(
            f"{where} holds no key for {options.base_url}; set it, or name another with --set api_key_env=NAME or "
            "--set api_key_file=PATH, or say with --set api_key_env= that none is needed."
        )
    return SecretStr(key), where


def _is_near(url: str) -> bool:
    """Whether an address is on this machine or in its network, where servers seldom want a key."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".internal", ".lan", ".local"))


def _client(key: SecretStr, options: _Options) -> OpenAI:
    from openai import DefaultHttpxClient, OpenAI, Timeout  # noqa: PLC0415 - as above

    secret = key.get_secret_value()
    # The client insists on a key; an endpoint that needs none ignores this one. Its own retries are off: the framework
    # asks again, and knows what the whole run was told to wait.
    return OpenAI(
        api_key=secret or "none",
        base_url=options.base_url,
        timeout=Timeout(options.timeout, connect=min(options.timeout, 15.0)),
        max_retries=0,
        default_headers={"api-key": secret} if secret and options.key_header == "api-key" else None,
        default_query={"api-version": options.api_version} if options.api_version else None,
        # A redirect would take the pictures, and a key in a header of its own, to a host that nobody named.
        http_client=DefaultHttpxClient(follow_redirects=False, event_hooks={"response": [_bounded(options.timeout)]}),
    )


def _http() -> Any:
    """Return the client's HTTP library, which was renamed."""
    try:
        import httpx2  # noqa: PLC0415 - the client's own dependency
    except ModuleNotFoundError:
        import httpx  # noqa: PLC0415 - likewise, before the client's version 3

        return httpx
    return httpx2


def _bounded(seconds: float) -> Callable[[Any], None]:
    """Return a hook that bounds the body of every reply; the client's own time-out begins anew with each byte."""
    http = _http()
    stream_type: Any = http.SyncByteStream

    class Bounded(stream_type):  # type: ignore[misc]
        def __init__(self, stream: Any, longest: float) -> None:
            self._stream, self._until = stream, monotonic() + longest

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in self._stream:
                size += len(chunk)
                if monotonic() > self._until:
                    raise http.ReadTimeout("the reply did not end in time")
                if size > _LARGEST:
                    raise http.ReadError(f"the reply is larger than {_LARGEST // 10**6} MB")
                yield chunk

        def close(self) -> None:
            self._stream.close()

    def hook(response: Any) -> None:
        # A batch's answers may be hundreds of megabytes.
        is_file = response.request.url.path.endswith("/content")
        response.stream = Bounded(response.stream, max(seconds, _FILE_SECONDS) if is_file else seconds)

    return hook
