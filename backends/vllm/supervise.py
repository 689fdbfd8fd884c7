"""Runs a server and ends it, with every process that it started, when the process that needs it is gone.

    python supervise.py SECONDS COMMAND...

The process that needs the server holds the write end of stdin. When that is closed, for whatever reason, the server
gets SIGTERM, and SIGKILL one second later, as nobody waits for its answers. If anything was written to stdin before,
SIGKILL comes SECONDS later.

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
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_HURRY = 1.0
"""Seconds between SIGTERM and SIGKILL if nobody waits for answers."""
_TO_GO = 5.0
"""Most seconds to wait until killed processes are gone: one that holds much memory takes a while."""
_TRACKER = b"multiprocessing.resource_tracker"


def _die_with_me(parent: int) -> None:
    """Have the kernel end the server if this process is killed (Linux); runs in the new process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _end(server: subprocess.Popen[bytes], patience: float) -> None:
    """Wait until nobody needs the server, then end it."""
    seconds = _HURRY
    while os.read(sys.stdin.fileno(), 1024):
        seconds = patience
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(seconds)
    _kill_group(server.pid)


def _kill_group(group: int) -> None:
    """Kill all processes of the server's group that are left, and wait until they are gone.

    Python's resource tracker is spared (Linux): when all others are gone, it deletes the shared memory that they left,
    which nobody else knows of, and ends by itself.
    """
    until = time.monotonic() + _TO_GO
    while (left := _commands(group)) and time.monotonic() < until:
        for process, command in left.items():
            if _TRACKER not in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _commands(group: int) -> dict[int, bytes]:
    """Return the processes of a group that have not ended, each with its command line; none where there is no /proc."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # It may end at any moment.
        with contextlib.suppress(OSError):
            state, _, its_group = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:3]
            if int(its_group) == group and state not in b"ZX":
                found[int(folder.name)] = (folder / "cmdline").read_bytes()
    return found


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
    _kill_group(server.pid)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
