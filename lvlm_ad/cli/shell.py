"""What all commands share: options, exit statuses, one-line errors, text and JSON output."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TextIO, TypeVar

import typer

from lvlm_ad.errors import LvlmAdError

if TYPE_CHECKING:
    from rich.console import Console

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The image file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
Categories = Annotated[list[str], typer.Option("--category", "-c", help="Measure only this category; may be repeated.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")]
DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="mvtec, visa, folder or demo.  [default: folder with --data, else demo]"),
]
Division = Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
MaskThreshold = Annotated[
    int | None,
    typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: depends on the mask's values]"),
]
Out = Annotated[Path, typer.Option(help="Folder for runs, stored answers and the cache.")]
Protocol = Annotated[str, typer.Option(help="Protocol preset or file.")]
Resamples = Annotated[
    int,
    typer.Option(min=0, max=100_000, help="Bootstrap resamples for confidence intervals, 50 or more; 0: no intervals."),
]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Set an option of the model or a field of the protocol."),
]


BOARD_WIDTH = 140
"""Columns of a leaderboard or a comparison in a file or a pipe; it needs about 110."""

EXIT_USAGE = 2
"""Bad usage, configuration or data."""
EXIT_INCOMPLETE = 3
"""The run finished, but some images have no usable answer."""
EXIT_INTERRUPTED = 130
"""Interrupted; stored answers are kept."""

_STDOUT: ContextVar[TextIO] = ContextVar("stdout")
"""Where a command's JSON object goes."""

P = ParamSpec("P")
R = TypeVar("R")


def escaped(text: str) -> str:
    r"""Escape control characters: a file name or a server's message must not control the terminal.

    Example:
        >>> escaped("odd\x1b[31mname")
        'odd\\x1b[31mname'
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def say(text: str) -> None:
    """Print a line on stderr: progress, notes and errors."""
    print(escaped(text), file=sys.stderr)  # noqa: T201 - this is the command line


def show(text: str) -> None:
    """Print a line of a result on stdout."""
    print(escaped(text))  # noqa: T201 - this is the command line


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    print(text, file=_STDOUT.get(sys.stdout))


def table_console(width: int = 1000) -> Console:
    """Return a console for tables on stdout, as wide as the terminal; a file or a pipe gets ``width`` columns.

    With ``--json`` a command's tables go to stderr: stdout holds the JSON object alone.
    """
    from rich.console import Console

    class Tables(Console):
        def on_broken_pipe(self) -> None:
            """Let ``guarded`` handle a closed pipe; Rich would end the process with status 1."""
            raise BrokenPipeError

    terminal = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    # Texts may be a stranger's: brackets and colons in them mean nothing.
    return Tables(width=None if terminal else width, markup=False, emoji=False, highlight=False)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a command's exceptions into one line and the right exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if kwargs.get("json"):
                # A user's own model may print; that must not mix with the JSON.
                _STDOUT.set(sys.stdout)
                with redirect_stdout(sys.stderr):
                    return command(*args, **kwargs)
            return command(*args, **kwargs)
        except LvlmAdError as error:
            say(f"lvlm-ad: {error}")
            raise typer.Exit(EXIT_USAGE) from None
        except BrokenPipeError:
            # The reader, such as `head`, has closed the pipe. Without this, Python complains when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            say(f"lvlm-ad: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}.")
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            say("lvlm-ad: interrupted. What is stored is kept; the same command continues from here.")
            sys.stderr.flush()
            # A normal exit would wait for threads that still wait for an answer.
            os._exit(EXIT_INTERRUPTED)

    return run


def merged_settings(settings: list[str], **options: str | None) -> dict[str, Any]:
    """Read ``--set`` settings; an option such as ``--division`` overrides the setting of the same name."""
    from lvlm_ad.presets import parse_settings

    return {**parse_settings(settings), **{name: value for name, value in options.items() if value is not None}}
