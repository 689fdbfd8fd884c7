"""The way to an endpoint: proxies, certificates, and the size of what comes back."""

import gzip
import json
import ssl
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from lvlm_ad_backends.openai import network

from lvlm_ad.backend import Request
from lvlm_ad.errors import ConfigError, FatalError, TransientError, UnusableReplyError
from lvlm_ad.plugins import load_plugin
from lvlm_ad.presets import validated

REQUEST = Request((), "what is wrong?")
SOCKS = "socks5://127.0.0.1:9"


@pytest.fixture
def ask(endpoint, monkeypatch):
    """Ask the endpoint, or another address, once, in an environment without proxies but those given."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def asked(url="", **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        plugin = load_plugin("backend", "openai")
        values = {"model": "m", "base_url": url or endpoint.url, "timeout": 5, "api_key_env": ""}
        backend = plugin.build(validated(plugin.Options, values, "test"))
        try:
            return backend.answer(REQUEST)
        finally:
            backend.close()

    return asked


@pytest.mark.parametrize(
    "environment",
    [
        {"http_proxy": "http://127.0.0.1:9"},
        {"ALL_PROXY": SOCKS, "NO_PROXY": "localhost"},
        {"HTTP_PROXY": "127.0.0.1:9"},
        {"https_proxy": "no address at all"},
    ],
)
def test_this_machine_is_asked_without_a_proxy(ask, environment):
    """A proxy for the world outside is never asked for an endpoint on this machine."""
    assert ask(**environment).outcome == "ok"


def test_a_closed_backend_asks_nothing(endpoint):
    """After ``close`` no connection is used or made, not by questions at the same time either."""
    plugin = load_plugin("backend", "openai")
    values = {"model": "m", "base_url": endpoint.url, "api_key_env": ""}
    backend = plugin.build(validated(plugin.Options, values, "test"))
    with ThreadPoolExecutor(4) as pool:
        assert [one.outcome for one in pool.map(backend.answer, [REQUEST] * 4)] == ["ok"] * 4
        backend.close()
        late = [pool.submit(backend.answer, REQUEST) for _ in range(8)]
    for one in late:
        with pytest.raises(TransientError, match="the backend was closed"):
            one.result()
    assert len(endpoint.asked) == 4


def test_questions_under_way_when_the_backend_is_closed_leave_no_connection(endpoint):
    """They may be answered; then their connections, which were in use when the free ones were closed, end, too."""
    closed, plain = threading.Event(), endpoint.reply

    def reply(body):
        closed.wait(30)
        return plain(body)

    def until(holds):
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.01)

    endpoint.reply = reply
    plugin = load_plugin("backend", "openai")
    values = {"model": "m", "base_url": endpoint.url, "api_key_env": ""}
    backend = plugin.build(validated(plugin.Options, values, "test"))
    before = set(threading.enumerate())
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(backend.answer, REQUEST)
        until(lambda: len(endpoint.asked) == 3)
        backend.close()
        closed.set()
    # The endpoint has a thread for each connection.
    until(lambda: set(threading.enumerate()) <= before)
    # Not before: what is no longer referred to is closed, too.
    del backend


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "all_proxy"])
def test_a_failure_on_the_way_names_the_proxy(ask, endpoint, name):
    """A page of a proxy, a proxy that is down and one that wants a login are told from the endpoint's own errors."""
    proxy = endpoint.url.removesuffix("/v1")
    endpoint.reply = lambda _: (502, b"<html><title>Bad Gateway</title></html>", {"Content-Type": "text/html"})
    with pytest.raises(TransientError, match=rf"502: Bad Gateway\. {name} names a proxy.*NO_PROXY=model\.example"):
        ask("http://model.example/v1", **{name: proxy})
    endpoint.reply = lambda _: (407, b"", {})
    with pytest.raises(FatalError, match=rf"a proxy asks for a login.*{name}"):
        ask("http://model.example/v1")
    endpoint.reply = lambda _: (503, {"error": {"message": "busy"}}, {})
    with pytest.raises(TransientError, match=r"status 503: busy$"):
        ask("http://model.example/v1")
    with pytest.raises(TransientError, match=rf"no connection \(.*does the proxy work.*{name}"):
        ask("http://model.example/v1", **{name: "http://127.0.0.1:9"})


@pytest.mark.parametrize("host", ["model.example", "*.example", "*"])
def test_no_proxy_is_obeyed(ask, host):
    """NO_PROXY takes names, patterns and everything, as other programs do."""
    with pytest.raises(TransientError, match=r"no connection \(.*is the server running") as caught:
        ask("http://model.example:9/v1", ALL_PROXY="http://127.0.0.1:9", NO_PROXY=host)
    assert "ALL_PROXY" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"ALL_PROXY": SOCKS}, r"ALL_PROXY names a SOCKS proxy.*pip install socksio.*NO_PROXY=model\.example"),
        ({"HTTPS_PROXY": "ftp://127.0.0.1"}, "HTTPS_PROXY is not the address of a proxy"),
        ({"SSL_CERT_FILE": "/absent/ca.pem"}, "SSL_CERT_FILE names cannot be read: No such file"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(ask, monkeypatch, environment, says):
    """A proxy that needs a package, an address that is none, and certificates that are missing name their variable."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigError, match=says):
        ask("https://model.example/v1", **environment)


def test_a_certificate_that_is_not_trusted_is_named(monkeypatch):
    """The message names the variable that helps, and one that is set but not read."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    reason = network.http().ConnectError("certificate verify failed: self-signed certificate")
    reason.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    error = network.connection_failure(reason, "")
    assert isinstance(error, FatalError)
    assert "REQUESTS_CA_BUNDLE is set, but only SSL_CERT_FILE is read" in str(error)
    monkeypatch.setenv("SSL_CERT_FILE", "/other.pem")
    assert "SSL_CERT_FILE names the certificates that are trusted" in str(network.connection_failure(reason, ""))


def _raw_deflate(data):
    return zlib.compress(data)[2:-4]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", _raw_deflate), ("identity", bytes)],
)
def test_the_size_of_a_reply_is_counted_unpacked(ask, endpoint, completion, monkeypatch, coding, pack):
    """A packed answer is read; one that unpacks to more than the limit is given up, however small it was sent."""
    endpoint.reply = lambda _: (200, pack(json.dumps(completion("packed")).encode()), {"Content-Encoding": coding})
    assert ask().text == "packed"
    monkeypatch.setattr(network, "MAX_BYTES", 3_000_000)
    endpoint.reply = lambda _: (200, pack(b'{"a": "' + b" " * 10**7), {"Content-Encoding": coding})
    with pytest.raises(UnusableReplyError, match="larger than 3 MB"):
        ask()


@pytest.mark.parametrize("error", [RecursionError, TypeError, AttributeError, ValueError])
def test_what_the_client_cannot_read_is_an_unusable_reply(endpoint, error):
    """The client does not check what it reads; whatever it then raises is an error of ours."""
    plugin = load_plugin("backend", "openai")
    backend = plugin.build(validated(plugin.Options, {"model": "m", "base_url": endpoint.url}, "test"))

    def odd():
        raise error

    with pytest.raises(UnusableReplyError, match="an unreadable reply"):
        backend._wire.call(odd)
    backend.close()


def test_a_reply_that_cannot_be_unpacked_is_unreadable(ask, endpoint):
    """What is not packed as its header says is unreadable, not a lost connection."""
    endpoint.reply = lambda _: (200, b"plain", {"Content-Encoding": "gzip"})
    with pytest.raises(UnusableReplyError, match="an unreadable reply: "):
        ask()
