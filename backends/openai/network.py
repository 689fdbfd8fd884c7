"""The HTTP client of one endpoint: its proxy, its certificates, and limits on the size and the time of a reply."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from lvlm_ad.errors import BackendError, ConfigError, FatalError, TransientError, UnusableReplyError

if TYPE_CHECKING:
    from openai import OpenAI
    from pydantic import SecretStr

    from .wire import OpenAIOptions

_FILE_SECONDS = 3600.0
"""Time limit for downloading the answers of a batch, which may be hundreds of megabytes."""
MAX_BYTES, _MAX_FILE_BYTES = 64_000_000, 500_000_000
"""Maximum size of an unpacked reply: of an answer, and of the file with a batch's answers."""
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the certificates to trust; the HTTP client reads no others."""


class ReplyTooLargeError(Exception):
    """A reply exceeds the limit; reading it ends."""


def make_client(key: SecretStr, options: OpenAIOptions, http_client: Any) -> OpenAI:
    """Make the client of an endpoint over an HTTP client, the result of ``make_http_client``."""
    from openai import OpenAI  # noqa: PLC0415 - takes half a second

    secret = key.get_secret_value()
    return OpenAI(
        # The client requires a key; an endpoint that needs none ignores this one.
        api_key=secret or "none",
        base_url=options.base_url,
        timeout=http_client.timeout,
        # The framework retries, since it knows the waits of the whole run.
        max_retries=0,
        default_headers={options.key_header: secret} if secret and options.key_header != "authorization" else None,
        default_query={"api-version": options.api_version} if options.api_version else None,
        http_client=http_client,
    )


def make_http_client(options: OpenAIOptions) -> Any:
    """Make the HTTP client of an endpoint.

    Raises:
        ConfigError: a variable of the environment names a proxy or certificates that cannot be used.
    """
    from openai import DefaultHttpxClient, Timeout  # noqa: PLC0415 - as above

    name, proxy = _proxy(options.base_url)
    certificates = next((name for name in _CERTIFICATES if os.environ.get(name)), "the system")
    try:
        return DefaultHttpxClient(
            # A redirect would send pictures and key to a host that the user did not name.
            follow_redirects=False,
            timeout=Timeout(options.timeout, connect=min(options.timeout, 15.0)),
            event_hooks={"response": [_limited(options.timeout)]},
            verify=_trusted(*map(os.environ.get, _CERTIFICATES)),
            proxy=proxy or None,
            # The variables for certificates and proxies are read here.
            trust_env=False,
        )
    except OSError as error:
        raise ConfigError(
            f"The certificates that {certificates} names cannot be read: {error.strerror or error}."
        ) from None
    except ImportError:
        host = urlsplit(options.base_url).hostname
        raise ConfigError(
            f"{name} names a SOCKS proxy, which needs a package: pip install socksio. To go without the proxy, set "
            f"NO_PROXY={host}."
        ) from None
    except (ValueError, http().InvalidURL):
        raise ConfigError(
            f"{name} is not the address of a proxy; write one such as http://proxy.example:3128."
        ) from None


@cache
def _trusted(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Read the trusted certificates, once for each value of ``_CERTIFICATES``: it takes as long as many questions."""
    context: ssl.SSLContext = http().create_ssl_context()
    return context


def http() -> Any:
    """Return the client's HTTP library, which was renamed."""
    try:
        import httpx2  # noqa: PLC0415 - the client's own dependency
    except ModuleNotFoundError:
        import httpx  # noqa: PLC0415 - before the client's version 3

        return httpx
    return httpx2


def proxy_hint(url: str) -> str:
    """Return a sentence about the proxy for an address, after a space; empty if there is none."""
    name, _ = _proxy(url)
    host = urlsplit(url).hostname
    return (
        f" {name} names a proxy that all questions go through; to go without it, set NO_PROXY={host}." if name else ""
    )


def connection_failure(reason: BaseException, proxy: str) -> BackendError:
    """Return the error that says why there is no connection.

    Args:
        reason: what the HTTP library raised.
        proxy: result of ``proxy_hint``.
    """
    causes = [reason]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return FatalError(f"no connection ({reason}): the server's certificate is not trusted.{_certificates()}{proxy}")
    if "WRONG_VERSION_NUMBER" in str(reason):
        return FatalError(
            f"no connection ({reason}): the server does not use https; should base_url begin with http://?{proxy}"
        )
    if isinstance(reason, http().ConnectError | http().ProxyError):
        question = "does the proxy work" if proxy else "is the server running"
        return TransientError(f"no connection ({reason}); {question}, and is base_url right?{proxy}", unreached=True)
    if isinstance(reason, http().DecodingError):
        return UnusableReplyError(f"an unreadable reply: {reason}")
    return TransientError(f"the connection broke: {reason}")


def _certificates() -> str:
    """Say how other certificates can be trusted; begins with a space."""
    used = [name for name in _CERTIFICATES if os.environ.get(name)]
    unused = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name) and not used]
    text = f" {used[0]} names the certificates that are trusted." if used else ""
    more = f" {unused[0]} is set, but only SSL_CERT_FILE is read." if unused else ""
    return f"{text}{more} Set SSL_CERT_FILE to the file of certificates that your network or server uses."


def _proxy(url: str) -> tuple[str, str]:
    """Return the variable that names the proxy for an address, and the proxy; both are empty if there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    scheme = next((scheme for scheme in (parts.scheme, "all") if proxies.get(scheme)), "")
    exceptions = [one.strip() for one in proxies.get("no", "").split(",")]
    if not scheme or _is_this_machine(host) or proxy_bypass(host) or any(fnmatch(host, one) for one in exceptions):
        return "", ""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    proxy = proxies[scheme] if "://" in proxies[scheme] else f"http://{proxies[scheme]}"
    return next((name for name in names if os.environ.get(name)), "The system's network setting"), proxy


def _is_this_machine(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _limited(seconds: float) -> Callable[[Any], None]:
    """Return a hook that limits the size and the time of a whole reply."""
    # The client's own time-out restarts with each byte.
    library = http()
    stream_type: Any = library.SyncByteStream

    class Limited(stream_type):  # type: ignore[misc]
        def __init__(self, chunks: Iterable[bytes], close: Callable[[], None], most: int, until: float) -> None:
            self._chunks, self._most, self._until = chunks, most, until
            self.close = close

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in self._chunks:
                size += len(chunk)
                if size > self._most:
                    raise ReplyTooLargeError(f"it is larger than {self._most // 10**6} MB")
                if monotonic() > self._until:
                    raise library.ReadTimeout("the reply did not end in time")
                yield chunk

    def hook(response: Any) -> None:
        is_file = response.request.url.path.endswith("/content")
        most = _MAX_FILE_BYTES if is_file else MAX_BYTES
        until = monotonic() + (max(seconds, _FILE_SECONDS) if is_file else seconds)
        response.stream = sent = Limited(response.stream, response.stream.close, most, until)
        if "content-encoding" in response.headers:
            # Counts the bytes again when unpacked: a small reply may unpack to gigabytes.
            packed = library.Response(response.status_code, headers=response.headers, stream=sent)
            response.stream = Limited(packed.iter_bytes(), sent.close, most, until)
            response.headers.pop("content-encoding")

    return hook
