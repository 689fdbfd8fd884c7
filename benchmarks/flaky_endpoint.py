"""A chat endpoint for the kill drills: some of its replies fail, and it records which answers it gave to whom and when.

Each process that asks has an API key of its own, which is no part of a question. Each answer has a name of its own in
the field "model". The name is stored with the answer, so it shows which reply a stored answer comes from.
"""

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
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench_command import Command

__all__ = ["Endpoint", "Exchange", "Lost", "serving"]

FAULTS = ("429", "429 with a wait", "500", "reset", "hang", "no JSON", "broken off", "no choices")
_UNREADABLE = {"no JSON", "no choices"}
"""Faults in replies that are probably paid for."""
DISK_DELAY = 0.25
"""Seconds from the moment when an answer was handed to the socket until it must be on the disk."""


@dataclass(eq=False)
class Exchange:
    """One question and its reply."""

    asker: str  # key of the process that asked
    question: str  # hash of the request's body
    answer: str  # name of the answer
    kind: str  # "answer", one of ``FAULTS``, or "busy"
    connection: socket.socket  # the client's
    arrived: float = field(default_factory=time.monotonic)  # when the question came, in seconds
    given: float = math.nan  # when a whole answer was handed to the socket, in seconds


@dataclass
class Lost:
    """Given answers that are not stored, by reason."""

    in_flight: int = 0  # how many were under way when their asker was killed
    not_yet_stored: list[float] = field(default_factory=list)  # seconds from the answer to the kill, if they were few
    unexplained: int = 0  # how many were lost for another reason


class Endpoint:
    """What the connections share.

    Args:
        seed: decides on faults and latencies.
        latency: seconds, on average.
        faults: share of the replies that fail.
        timeout: seconds that a client waits for an answer.

    Attributes:
        lock: guards everything below.
        allowed: questions that may have been answered by now; further ones get status 503.
        kinds: number of replies of each kind; "too late": answers that no living client waited for.
        askers: keys of all processes that asked.
        given: name -> exchange, of all answers that were given.
        answered: questions with a given answer.
        in_flight: names of the answers that were under way when their asker was killed.
        settled: questions that are known to have a stored answer.
        needless: number of requests for those.
        doubled: number of requests for a question that another living process was asking.
    """

    def __init__(self, seed: int, latency: float, faults: float = 0.0, timeout: float = 60.0) -> None:
        self._seed, self._latency, self._faults, self._timeout = seed, latency, faults, timeout
        self.lock = threading.Lock()
        self.allowed = math.inf
        self.kinds: Counter[str] = Counter()
        self.askers: set[str] = set()
        self.given: dict[str, Exchange] = {}
        self.answered: set[str] = set()
        self.in_flight: set[str] = set()
        self.settled: set[str] = set()
        self._unreadable: set[str] = set()
        self.needless = self.doubled = 0
        self._under_way: set[Exchange] = set()
        self._killed: dict[str, float] = {}
        self._times: Counter[str] = Counter()

    def receive(self, asker: str, body: bytes, connection: socket.socket) -> tuple[Exchange, float]:
        """Take a question; return its exchange and the seconds until its reply."""
        question = hashlib.sha256(body).hexdigest()
        with self.lock:
            self._times[question] += 1
            name = f"{question[:16]}-{self._times[question]}"
            draw = random.Random(f"{self._seed} {name}")  # noqa: S311 - faults, no secret
            kind = draw.choice(FAULTS) if draw.random() < self._faults else "answer"
            if kind in _UNREADABLE:
                # A client gives a question up after two of these.
                kind = kind if question not in self._unreadable else "answer"
                self._unreadable.add(question)
            due = {other.question for other in self._under_way if other.kind == "answer"}
            if len(self.answered | due) >= self.allowed:
                kind = "busy"
            exchange = Exchange(asker, question, name, kind, connection)
            self.kinds[kind] += 1
            self.askers.add(asker)
            if asker in self._killed:
                self.in_flight.add(name)
            else:
                self.needless += question in self.settled
            dead = {asker, *self._killed}
            self.doubled += any(other.question == question and other.asker not in dead for other in self._under_way)
            self._under_way.add(exchange)
            return exchange, self._latency * draw.uniform(0.5, 1.5)

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Hand a reply to the socket, and record it if it is an answer.

        An answer that was under way for a killed process counts as given, because an endpoint bills it. An answer that
        comes too late for a living client, because the machine is busy, does not.
        """
        with self.lock:
            self._under_way.discard(exchange)
            killed = exchange.asker in self._killed
            late = time.monotonic() - exchange.arrived > 0.8 * self._timeout or _closed(exchange.connection)
            if exchange.kind == "answer" and late and not killed:
                self.kinds["too late"] += 1
                return
            try:
                exchange.connection.sendall(data)
            except OSError:
                if not killed:
                    raise
            if exchange.kind == "answer":
                exchange.given = time.monotonic()
                self.given[exchange.answer] = exchange
                self.answered.add(exchange.question)

    def forget(self, exchange: Exchange) -> None:
        """Forget a request that gets no reply."""
        with self.lock:
            self._under_way.discard(exchange)

    def kill(self, command: Command) -> int:
        """Kill a process that asks, record what was under way, and return its exit status."""
        # The lock holds all answers back, so what is under way at the kill is known exactly.
        with self.lock:
            mine = [one for one in self._under_way if one.asker == command.key and not _closed(one.connection)]
            command.process.kill()
            self._killed[command.key] = time.monotonic()
            self.in_flight |= {one.answer for one in mine}
        return command.process.wait()

    def lost(self, stored: set[str]) -> Lost:
        """Compare the given answers with the names of the stored ones."""
        lost = Lost()
        for name, exchange in self.given.items():
            before_kill = self._killed.get(exchange.asker, math.inf) - exchange.given
            if name in stored:
                continue
            if name in self.in_flight:
                lost.in_flight += 1
            elif before_kill < DISK_DELAY:
                lost.not_yet_stored.append(before_kill)
            else:
                lost.unexplained += 1
        return lost


def _closed(connection: socket.socket) -> bool:
    """Check whether the other side has closed a connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        endpoint = self.server.endpoint
        exchange, seconds = endpoint.receive(self.headers["Authorization"].split()[-1], body, self.connection)
        kind = exchange.kind
        if kind == "hang":
            select.select([self.connection], [], [], 30)
            endpoint.forget(exchange)
        elif kind == "reset":
            time.sleep(seconds)
            endpoint.forget(exchange)
            # Without lingering, closing resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            time.sleep(0.0 if kind == "busy" else seconds)
            endpoint.send(exchange, _reply(exchange))
        self.close_connection = kind in {"hang", "reset", "broken off"} or _closed(self.connection)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A lost connection is a client that was killed or gave up.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _reply(exchange: Exchange) -> bytes:
    score = int(exchange.question[:4], 16) % 101 / 100
    message = {"role": "assistant", "content": f"image anomaly score: {score}; region 1: 0.5."}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": exchange.answer,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 800, "completion_tokens": 20, "total_tokens": 820},
    }
    answer = json.dumps(completion).encode()
    failure = json.dumps({"error": {"message": "made to fail", "type": "drill", "code": None}}).encode()
    status, data, more = {
        "429": ("429 Too Many Requests", failure, ""),
        "429 with a wait": ("429 Too Many Requests", failure, "Retry-After: 0.2\r\n"),
        "500": ("500 Internal Server Error", failure, ""),
        "busy": ("503 Service Unavailable", failure, "Retry-After: 1\r\n"),
        "no JSON": ("200 OK", answer[: len(answer) // 2], ""),
        "no choices": ("200 OK", json.dumps({**completion, "choices": []}).encode(), ""),
    }.get(exchange.kind, ("200 OK", answer, ""))
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + (data[: len(data) // 2] if exchange.kind == "broken off" else data)


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    """Serve in this process and yield the address."""
    with _Server(endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
