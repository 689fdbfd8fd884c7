"""What all commands share: exit codes, one-line errors, and settings."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from contextvars import ContextVar
from typing import Any, ParamSpec, TextIO, TypeVar

import typer

from lvlm_ad.errors import LvlmAdError

__all__ = [
    "EXIT_INCOMPLETE",
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "guarded",
    "merged_settings",
    "print_json",
    "say",
    "table_width",
]

EXIT_USAGE = 2
"""Bad usage, configuration or data."""
EXIT_INCOMPLETE = 3
"""The run finished, but some images have no usable answer."""
EXIT_INTERRUPTED = 130
"""Interrupted; what was answered is kept."""

_WIDE = 1000

_STDOUT: ContextVar[TextIO] = ContextVar("stdout")
"""Where a command's JSON object goes."""

P = ParamSpec("P")
R = TypeVar("R")


def say(text: str) -> None:
    """Print a line on stderr, without the control characters that a file name or a server's message may hold."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    print(shown, file=sys.stderr)  # noqa: T201 - this is the command line


def table_width() -> int | None:
    """Return how wide a table may be; None: as the terminal is. What goes into a file or a pipe is not cut."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _WIDE


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    print(text, file=_STDOUT.get(sys.stdout))


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into one line and the right exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if kwargs.get("json"):
                # What a model of the user's own prints must not come between the object's lines.
                _STDOUT.set(sys.stdout)
                with redirect_stdout(sys.stderr):
                    return command(*args, **kwargs)
            return command(*args, **kwargs)
        except LvlmAdError as error:
            say(f"lvlm-ad: {error}")
            raise typer.Exit(EXIT_USAGE) from None
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            say(f"lvlm-ad: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}.")
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            say("lvlm-ad: interrupted. What was answered is kept; the same command goes on from here.")
            sys.stderr.flush()
            # Threads that still wait for an answer would hold up an ordinary exit until their time-out.
            os._exit(EXIT_INTERRUPTED)

    return run


def merged_settings(settings: list[str], **options: str | None) -> dict[str, Any]:
    """Read ``--set`` settings; an option such as ``--division`` overrides the setting of its name.

    Raises:
        ConfigError: a setting is no KEY=VALUE.
    """
    from lvlm_ad.presets import parse_settings

    return {**parse_settings(settings), **{name: value for name, value in options.items() if value is not None}}
