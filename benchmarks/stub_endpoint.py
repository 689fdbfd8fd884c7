"""A vision endpoint that costs next to nothing: waits, answers whatever is asked, turns away what is too many.

Run by ``endpoint_overhead.py`` as a process of its own, so that what is measured beside it is the caller. Bodies are
counted and dropped, never parsed. Prints its port once it listens, and serves until its standard input is closed.

    POST /v1/chat/completions    a valid completion, ``--latency`` seconds after the last byte of the question: the same
                                 to all or, with ``--varied``, another each time; status 429 if ``--limit`` others are
                                 under way, counted from their headers to their answer
    GET /v1/models               the one model
    GET /stats                   what was counted since the last DELETE /stats: ``Counts``
    DELETE /stats                begin to count anew
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import cast

_HEADERS_END = b"\r\n\r\n"

# asyncio fills it and calls buffer_updated at once, so all connections can share it.
_BUFFER = bytearray(1 << 20)

_ALIKE = ('{"image_score": 0.1, "regions": []}',)

_MODELS = {"object": "list", "data": [{"id": "stub", "object": "model", "created": 0, "owned_by": "stub"}]}
_TOO_MANY = {"error": {"message": "Too many at once.", "type": "requests", "code": "rate_limit_exceeded"}}
_UNKNOWN = {"error": {"message": "Unknown path.", "type": "invalid_request_error", "code": None}}


@dataclass
class Counts:
    """What was counted.

    Attributes:
        questions: questions received, those turned away included.
        turned_away: questions answered with status 429.
        peak: the most questions under way at once.
        received: bytes of the questions' bodies.
        cpu: seconds of processor time of the server itself.
    """

    questions: int = 0
    turned_away: int = 0
    peak: int = 0
    received: int = 0
    cpu: float = 0.0


class Endpoint:
    """What the connections share.

    Args:
        latency: seconds.
        limit: questions under way at once.
        retry_after: what status 429 says of when to come back, seconds; None: nothing.
        answers: what is answered, in turn.
    """

    def __init__(self, latency: float, limit: int, retry_after: float | None, answers: Sequence[str] = _ALIKE) -> None:
        self.latency = latency
        self.limit = limit
        self.under_way = 0
        self.counts = Counts()
        self._cpu_before = time.process_time()
        self.completions = itertools.cycle([_response("200 OK", _completion(answer)) for answer in answers])
        wait = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        self.too_many = _response("429 Too Many Requests", _TOO_MANY, wait)

    def other(self, method: str, path: str) -> bytes:
        """Return the response to anything that is no question."""
        if path == "/stats":
            self.counts.cpu = time.process_time() - self._cpu_before
            body = asdict(self.counts)
            if method == "DELETE":
                self.counts = Counts()
                self._cpu_before = time.process_time()
            return _response("200 OK", body)
        if path == "/v1/models":
            return _response("200 OK", _MODELS)
        return _response("404 Not Found", _UNKNOWN)


class Connection(asyncio.BufferedProtocol):
    """One client's connection, kept alive from question to question."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._head = bytearray()
        self._missing = 0
        self._admitted = False
        self._response: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        """Return where to receive."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came: headers, then as many bytes of body as they say."""
        start = 0
        while start < nbytes:
            if not self._missing:
                start = self._take_head(start, nbytes)
            taken = min(self._missing, nbytes - start)
            self._missing -= taken
            start += taken
            if self._response is not None and not self._missing:
                self._received()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Free the place of a client that went away."""
        if self._timer is not None:
            self._timer.cancel()
        self._release()

    def _take_head(self, start: int, stop: int) -> int:
        """Read headers as far as they came; return where in the buffer the body begins, or ``stop``."""
        before = len(self._head)
        self._head += _BUFFER[start:stop]
        end = self._head.find(_HEADERS_END)
        if end < 0:
            return stop
        first, *lines = bytes(self._head[:end]).decode("latin-1").split("\r\n")
        self._head.clear()
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._missing = int(headers.get("content-length", 0))
        self._begin(method, path)
        return start + end + len(_HEADERS_END) - before

    def _begin(self, method: str, path: str) -> None:
        endpoint = self._endpoint
        if (method, path) != ("POST", "/v1/chat/completions"):
            self._response = endpoint.other(method, path)
            return
        counts = endpoint.counts
        counts.questions += 1
        counts.received += self._missing
        if endpoint.under_way >= endpoint.limit:
            counts.turned_away += 1
            self._response = endpoint.too_many
            return
        endpoint.under_way += 1
        counts.peak = max(counts.peak, endpoint.under_way)
        self._admitted = True
        self._response = next(endpoint.completions)

    def _received(self) -> None:
        if self._admitted and self._endpoint.latency:
            self._timer = asyncio.get_running_loop().call_later(self._endpoint.latency, self._respond)
        else:
            self._respond()

    def _respond(self) -> None:
        # The place is free before the client can know it, so one that keeps to the limit is never turned away.
        self._release()
        response, self._response, self._timer = self._response, None, None
        if response is not None:
            self._transport.write(response)

    def _release(self) -> None:
        if self._admitted:
            self._admitted = False
            self._endpoint.under_way -= 1


def _completion(answer: str) -> dict[str, object]:
    message = {"role": "assistant", "content": answer, "refusal": None}
    tokens = {"prompt_tokens": 1105, "completion_tokens": 12, "total_tokens": 1117}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {**tokens, "prompt_tokens_details": {"cached_tokens": 0}},
    }


def _varied() -> Iterator[str]:
    """Name up to four regions of sixteen, with scores of two digits; the same answers each time."""
    draw = random.Random(0)  # noqa: S311 - answers, no secret
    for _ in range(1000):
        regions = [
            {"id": number, "score": round(draw.random(), 2)}
            for number in sorted(draw.sample(range(1, 17), draw.randint(0, 4)))
        ]
        yield json.dumps({"image_score": round(draw.random(), 2), "regions": regions})


def _response(status: str, body: object, headers: dict[str, str] | None = None) -> bytes:
    data = json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + _HEADERS_END + data


async def _serve(endpoint: Endpoint) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started it holds its standard input, so it ends with them however they end.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="A vision endpoint that costs next to nothing.")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds from question to answer")
    parser.add_argument("--limit", type=int, default=32, help="questions under way before others are turned away")
    parser.add_argument("--retry-after", type=float, help="say so with status 429, seconds")
    parser.add_argument("--varied", action="store_true", help="answer something else each time")
    args = parser.parse_args()
    answers = tuple(_varied()) if args.varied else _ALIKE
    asyncio.run(_serve(Endpoint(args.latency, args.limit, args.retry_after, answers)))


if __name__ == "__main__":
    main()
