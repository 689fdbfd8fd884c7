"""A chat endpoint that answers at once or after a fixed time and uses hardly any CPU.

``endpoint_overhead.py`` and ``scale.py`` run it in a process of its own, so that they measure the caller alone.

    POST /v1/chat/completions    a valid completion, ``--latency`` seconds after the question; status 429 while
                                 ``--limit`` other questions are being answered
    GET /stats                   counts since the last GET /stats

It prints its port and serves until its standard input is closed. Questions are not parsed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["serving"]

_CHUNK = 1 << 18
_TOO_MANY = {"error": {"message": "Too many at once.", "type": "requests", "code": "rate_limit_exceeded"}}


@contextmanager
def serving(latency: float, limit: int) -> Iterator[str]:
    """Start the endpoint and yield its address; the arguments are those of the command line."""
    command = [sys.executable, __file__, "--latency", str(latency), "--limit", str(limit)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - narrows the type
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


class Endpoint:
    """What the connections share.

    Args:
        latency: seconds from the last byte of a question to its answer.
        limit: questions answered at once.
    """

    def __init__(self, latency: float, limit: int) -> None:
        self._latency = latency
        self._limit = limit
        self._answers = itertools.cycle([_response("200 OK", _completion(text)) for text in _texts()])
        self._under_way = self._peak = self._turned_away = 0
        self._cpu_before = time.process_time()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client's questions, one after the other."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: *(\d+)", head)
                body = int(length[1]) if length else 0
                writer.write(self._stats() if head.startswith("GET") else await self._question(reader, body))
                await writer.drain()

    async def _question(self, reader: asyncio.StreamReader, length: int) -> bytes:
        admitted = self._under_way < self._limit
        self._turned_away += not admitted
        self._under_way += admitted
        self._peak = max(self._peak, self._under_way)
        try:
            for start in range(0, length, _CHUNK):
                await reader.readexactly(min(_CHUNK, length - start))
            if not admitted:
                return _response("429 Too Many Requests", _TOO_MANY)
            await asyncio.sleep(self._latency)
            return next(self._answers)
        finally:
            # Before the client has its answer: one that stays within the limit is never turned away.
            self._under_way -= admitted

    def _stats(self) -> bytes:
        counts = {"peak": self._peak, "turned_away": self._turned_away, "cpu": time.process_time() - self._cpu_before}
        self._peak = self._turned_away = 0
        self._cpu_before = time.process_time()
        return _response("200 OK", counts)


def _completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1105, "completion_tokens": 12, "total_tokens": 1117},
    }


def _texts() -> list[str]:
    """Return 1,000 answers that name up to four of sixteen regions; the same ones each time."""
    draw = random.Random(0)  # noqa: S311 - answers, no secret
    texts = []
    for _ in range(1000):
        numbers = sorted(draw.sample(range(1, 17), draw.randint(0, 4)))
        regions = [{"id": number, "score": round(draw.random(), 2)} for number in numbers]
        texts.append(json.dumps({"image_score": round(draw.random(), 2), "regions": regions}))
    return texts


def _response(status: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def _serve(endpoint: Endpoint) -> None:
    server = await asyncio.start_server(endpoint.connected, "127.0.0.1", 0, limit=4 * _CHUNK, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds from question to answer")
    parser.add_argument("--limit", type=int, default=32, help="questions answered at once; others get status 429")
    args = parser.parse_args()
    asyncio.run(_serve(Endpoint(args.latency, args.limit)))


if __name__ == "__main__":
    main()
