"""An endpoint for ``kill_drill.py``: a third of its replies is no answer, and it knows what was under way at a kill."""

from __future__ import annotations

import hashlib
import json
import math
import random
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["TIMEOUT", "Endpoint", "is_gone", "serving"]

FAULTS = ("429", "429 with a wait", "500", "reset", "hang", "no JSON", "broken off", "no choices")
TIMEOUT = 1.0
"""Seconds that the command waits for an answer."""


@dataclass(eq=False)
class Exchange:
    """One request, from its arrival on.

    Attributes:
        run: the process that asked.
        question: the hash of the request's body.
        name: of the answer, if one is given.
        kind: one of ``FAULTS``, "answer", or "busy".
        connection: the client's.
        arrived: seconds.
    """

    run: str
    question: str
    name: str
    kind: str
    connection: socket.socket
    arrived: float


@dataclass(frozen=True)
class Given:
    """A complete, well-formed answer whose bytes were handed to the socket: by whom asked, to what, and when."""

    run: str
    question: str
    at: float


class Endpoint:
    """What the connections share.

    Args:
        seed: decides on faults and latencies, by question and by how often it came.
        latency: seconds, on average.

    Attributes:
        lock: guards everything below.
        allowed: questions that may have been answered by now; further ones are put off with status 503.
        kinds: how many requests of which kind came; "too late": answers that nobody waited for any more.
        given: name -> the answer.
        arrived: run -> how many requests came from it.
        under_way: requests received and not yet completely answered.
        killed: runs that were killed.
        posthumous: names of the answers to questions that came out of the connection after their sender's death.
        settled: questions known to have a stored answer.
        needless: requests for those.
        doubled: requests for what another living process was being answered.
    """

    def __init__(self, seed: int, latency: float) -> None:
        self._seed = seed
        self._latency = latency
        self.lock = threading.Lock()
        self.allowed = math.inf
        self.kinds: Counter[str] = Counter()
        self.given: dict[str, Given] = {}
        self.answered: set[str] = set()
        self.arrived: Counter[str] = Counter()
        self.under_way: set[Exchange] = set()
        self.killed: set[str] = set()
        self.posthumous: set[str] = set()
        self.settled: set[str] = set()
        self.needless = self.doubled = 0
        self._times: Counter[str] = Counter()

    def receive(self, run: str, body: bytes, connection: socket.socket) -> tuple[Exchange, float]:
        """Take a question in; returns it and the seconds that its answer is to take."""
        question = hashlib.sha256(body).hexdigest()
        with self.lock:
            self._times[question] += 1
            name = f"{question[:16]}-{self._times[question]}"
            draw = random.Random(f"{self._seed} {name}")  # noqa: S311 - faults, no secret
            kind = draw.choice(FAULTS) if draw.random() < 1 / 3 else "answer"
            waiting = {other.question for other in self.under_way if other.kind == "answer"}
            if len(self.answered | waiting) >= self.allowed:
                kind = "busy"
            self.kinds[kind] += 1
            self.arrived[run] += 1
            if run in self.killed:
                self.posthumous.add(name)
            self.needless += question in self.settled and run not in self.killed
            self.doubled += any(
                other.question == question and other.run not in {run, *self.killed} for other in self.under_way
            )
            exchange = Exchange(run, question, name, kind, connection, time.monotonic())
            self.under_way.add(exchange)
            return exchange, self._latency * draw.uniform(0.5, 1.5)

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Hand a reply to the socket, and count it if it is an answer.

        What was under way for a process that was then killed counts as given: an endpoint bills it.
        """
        with self.lock:
            self.under_way.discard(exchange)
            dead = exchange.run in self.killed
            # A machine that is too busy may make any answer late; one that a living client cannot take is none.
            late = time.monotonic() - exchange.arrived > 0.8 * TIMEOUT or is_gone(exchange.connection)
            if exchange.kind == "answer" and late and not dead:
                self.kinds["too late"] += 1
                return
            try:
                exchange.connection.sendall(data)
            except OSError:
                if not dead:
                    raise
            if exchange.kind == "answer":
                self.given[exchange.name] = Given(exchange.run, exchange.question, time.monotonic())
                self.answered.add(exchange.question)

    def drop(self, exchange: Exchange) -> None:
        """Forget a request that gets no reply."""
        with self.lock:
            self.under_way.discard(exchange)


def is_gone(connection: socket.socket) -> bool:
    """Say whether the other side has closed a connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Handler(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Answer a question, or fail to."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        endpoint = self.server.endpoint
        exchange, seconds = endpoint.receive(self.headers["Authorization"].split()[-1], body, self.connection)
        kind = exchange.kind
        if kind == "hang":
            select.select([self.connection], [], [], 30 * TIMEOUT)
            endpoint.drop(exchange)
        elif kind == "reset":
            time.sleep(seconds)
            endpoint.drop(exchange)
            # Without lingering, closing resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            time.sleep(0.0 if kind == "busy" else seconds)
            endpoint.send(exchange, reply(exchange))
        self.close_connection = kind in {"hang", "reset", "broken off"} or is_gone(self.connection)

    def log_message(self, *_args: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """The endpoint on the loopback interface."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take a lost connection for what it is here: a client that was killed or gave up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def reply(exchange: Exchange) -> bytes:
    """Return the bytes of a reply."""
    score = int(exchange.question[:4], 16) % 101 / 100
    message = {"role": "assistant", "content": f"image anomaly score: {score}."}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": exchange.name,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 800, "completion_tokens": 20, "total_tokens": 820},
    }
    good = json.dumps(completion).encode()
    oops = json.dumps({"error": {"message": "made to fail", "type": "drill", "code": None}}).encode()
    status, data, more = {
        "429": ("429 Too Many Requests", oops, ""),
        "429 with a wait": ("429 Too Many Requests", oops, "Retry-After: 0.2\r\n"),
        "500": ("500 Internal Server Error", oops, ""),
        "busy": ("503 Service Unavailable", oops, "Retry-After: 1\r\n"),
        "no JSON": ("200 OK", good[: len(good) // 2], ""),
        "no choices": ("200 OK", json.dumps({**completion, "choices": []}).encode(), ""),
    }.get(exchange.kind, ("200 OK", good, ""))
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + (data[: len(data) // 2] if exchange.kind == "broken off" else data)


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    """Serve, and give the address."""
    with Server(endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
