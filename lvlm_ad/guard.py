"""Tells an interruption by the user from one that a plugin raises: the one ends the command, the other is a fault."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["guarded"]


@contextmanager
def guarded() -> Iterator[None]:
    """Run a plugin's code so that a KeyboardInterrupt of its own comes out as an ordinary error.

    Raises:
        RuntimeError: the plugin raised KeyboardInterrupt, which no user has caused.
    """
    pressed = threading.Event()

    def hears(_signal: int, _frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    # Signals are heard in the main thread alone, and may be somebody else's.
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, hears)
    try:
        yield
    except KeyboardInterrupt as error:
        if pressed.is_set() or (main and not ours):
            raise
        raised = RuntimeError("KeyboardInterrupt, though nobody pressed Ctrl-C")
        raise raised.with_traceback(error.__traceback__) from error
    finally:
        if ours and signal.getsignal(signal.SIGINT) is hears:
            signal.signal(signal.SIGINT, signal.default_int_handler)
