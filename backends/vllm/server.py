"""A vLLM server that this process starts, watches and ends. It ends, too, if this process is killed."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from lvlm_ad.errors import FatalError

from .installation import Installation, variables_for
from .logs import last_line, reason

__all__ = ["Server", "environment", "free_port"]

_SUPERVISOR = Path(__file__).with_name("supervise.py")
_TO_END = 20.0
"""Seconds that the server gets to end before it is killed."""
_TO_START = 3600.0
"""Most seconds until it answers: weights from a slow disk, and compiling, take minutes."""
_OK = 200
_KILLED = 128 + 9
"""Status of a process that SIGKILL ended."""
_HINTS = {
    "trust_remote_code": "Read the code that comes with the model; if you trust it, set trust_remote_code=true",
    "Free memory on device": "Set gpu_memory lower, or end what else uses the GPU",
    "cache blocks": "Set gpu_memory higher, max_model_len lower, or gpus to more",
    "KV cache": "Set gpu_memory higher, max_model_len lower, or gpus to more",
    "memory for kv": "Set the variable VLLM_CPU_KVCACHE_SPACE to fewer GiB",
    "EngineDeadError": "Its engine was killed, perhaps because the machine has too little memory",
    "out of memory": "Set max_model_len or batch_size lower, or gpus to more, or choose a smaller model",
}
"""What vLLM says -> what to do; the first that fits."""


class Server:
    """A running server.

    Args:
        command: the program and its arguments.
        environment: its variables.
        port: where it will listen on this machine.
        log: the file for what it prints; an older one is replaced.

    Raises:
        FatalError: the log cannot be written.

    Attributes:
        log: as given.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> None:
        self.log, self._port, self._ready = log, port, False
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"")
            # To append: two commands that share the file do not write over each other.
            output = log.open("ab")
        except OSError as error:
            raise FatalError(f"vLLM's log {log} cannot be written: {error.strerror}.") from error
        with output:
            # The supervisor ends the server when the pipe is closed: by us, or because this process is gone. The
            # session of its own keeps Ctrl-C away.
            self._process = subprocess.Popen(  # noqa: S603 - this Python, our own file
                [sys.executable, "-I", str(_SUPERVISOR), str(_TO_END), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def wait_until_ready(self, stopped: threading.Event, doing: Callable[[str], None]) -> None:
        """Wait until the server answers.

        Args:
            stopped: gives up when it is set.
            doing: called again and again with the last line of the log, and at the end with "".

        Raises:
            FatalError: it ended, or it is not wanted any more.
        """
        until = monotonic() + _TO_START
        try:
            while not self.healthy():
                if self._process.poll() is not None:
                    raise self.failure("did not start")
                if monotonic() > until:
                    raise self.failure(f"does not answer after {_TO_START / 60:.0f} minutes")
                doing(last_line(self.log) or "starting")
                if stopped.wait(0.3):
                    raise FatalError("vLLM was ended while it started.")
            self._ready = True
        finally:
            doing("")

    def healthy(self) -> bool:
        """Return whether the server says that it can answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == _OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ended(self, seconds: float) -> bool:
        """Return whether the server has ended, or ends within so many seconds because it is unhealthy."""
        until = monotonic() + seconds
        while self._process.poll() is None and monotonic() < until:
            if self.healthy():
                return False
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        return self._process.poll() is not None

    def failure(self, what: str) -> FatalError:
        """Return the error that says why the server is of no use, as its log tells it."""
        status = self._process.poll()
        # What a killed server wrote before is about something else.
        why = "" if status == _KILLED else reason(self.log)
        if not why and status is not None:
            killed = "; it was killed, perhaps because the machine has too little memory" if status == _KILLED else ""
            why = f"it ended with status {status}{killed}"
        hint = next((hint for words, hint in _HINTS.items() if words in why), "")
        return FatalError(f"vLLM {what}{f': {why}' if why else ''}.{f' {hint}.' if hint else ''} Its log: {self.log}")

    def end(self, *, at_once: bool = False) -> None:
        """End the server and all its processes; returns when none is left.

        Args:
            at_once: do not let it wait for the answers under way; while it starts, there are none.
        """
        pipe = self._process.stdin
        with suppress(OSError):
            if self._ready and not at_once:
                pipe.write(b"gently")  # type: ignore[union-attr]
            pipe.close()  # type: ignore[union-attr]
        try:
            self._process.wait(_TO_END + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(key: str, vllm: Installation) -> dict[str, str]:
    """Return the server's variables: those of this process, which win over our defaults, and those that it needs."""
    defaults = {"VLLM_ENGINE_READY_TIMEOUT_S": str(int(_TO_START))}
    if vllm.on_cpu:
        # Half of the processors: with all of them vLLM's threads wait for each other. 4 GiB for the KV cache;
        # vLLM itself would take half of the memory.
        threads = str(max(1, (os.cpu_count() or 1) // 2))
        defaults |= {"OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "4"}
    required = {
        # A variable, as every user of the machine sees the arguments of a process.
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        # vLLM compiles with tools that are installed beside it.
        "PATH": os.pathsep.join([str(vllm.program.parent), os.environ.get("PATH", "")]),
    }
    return {**defaults, **variables_for(vllm.python), **required}
