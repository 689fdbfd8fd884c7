"""Runs a server and ends it, with every process that it started, when the process that wants it is gone.

    python supervise.py SECONDS COMMAND...

The other side holds the write end of stdin: when that is closed, for whatever reason, the server gets SIGTERM, and one
second later SIGKILL, as nobody waits for its answers; SECONDS later if anything was written before.

Runs alone, with the standard library only, so that it starts fast and nothing that happens in lvlm-ad can end it. Its
status is the server's, or 128 + the number of the signal that ended the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_HURRY = 1.0


def _die_with_me(parent: int) -> None:
    """Have the kernel end the server if this process is killed (Linux); runs in the new process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _end(server: subprocess.Popen[bytes], patience: float) -> None:
    """Wait until nobody wants the server, then end it."""
    seconds = _HURRY
    while os.read(sys.stdin.fileno(), 1024):
        seconds = patience
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(seconds)
    _kill_group(server)


def _kill_group(server: subprocess.Popen[bytes]) -> None:
    """Kill what the server started and left behind: it is in the server's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


def main() -> int:
    """Run the server and return its status."""
    patience, *command = sys.argv[1:]
    parent = os.getpid()
    server = subprocess.Popen(  # noqa: S603 - the command of our own caller
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # Safe: this process has one thread so far.
        preexec_fn=lambda: _die_with_me(parent),  # noqa: PLW1509
    )
    threading.Thread(target=_end, args=(server, float(patience)), daemon=True).start()
    status = server.wait()
    _kill_group(server)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
