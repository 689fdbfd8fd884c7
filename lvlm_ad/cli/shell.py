"""What all commands share: options, exit statuses, one-line errors, text and JSON output."""

from __future__ import annotations

import codecs
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TextIO, TypeVar

import typer
from typer.core import TyperGroup

from lvlm_ad.errors import LvlmAdError, what_is_wrong
from lvlm_ad.escape import escaped, json_text
from lvlm_ad.limits import RESAMPLES

if TYPE_CHECKING:
    from rich.console import Console

    from lvlm_ad.evaluate import RunConfig

FprLimit = Annotated[
    float,
    typer.Option(
        help="False-positive rate up to which AUPRO is integrated, above 0 and at most 1; some papers use 0.05."
    ),
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Use the endpoint's Batch API: answers within a day, at a lower price.")
]
Concurrency = Annotated[
    int, typer.Option(min=1, help="Questions at the same time, at first; adapts to the endpoint's limit.")
]
KeepPictures = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Limit of the drawn pictures that --out keeps for later commands; the least recently used are deleted. "
        "0: only their digests are kept.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Estimate the number of questions and their cost; ask nothing.")
]
Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The image file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
Categories = Annotated[list[str], typer.Option("--category", "-c", help="Measure only this category; may be repeated.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset", "-d", help="Name of the data set.  [default: recognized from --data; without --data, demo]"
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Test split, of a data set with several, such as private.  [default: the usual one]"),
]
Division = Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ImagePrompt = Annotated[
    str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's; without --category: general]")
]
MapFormat = StrEnum("MapFormat", ["tiff", "png", "npy"])
MaskThreshold = Annotated[
    int | None,
    typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: depends on the mask's values]"),
]
MaskValues = Annotated[
    str | None,
    typer.Option(metavar="VALUES", help="Mask values that are defective, such as 1,3-7, in place of a threshold."),
]
MaxCost = Annotated[
    float | None, typer.Option(min=0, metavar="USD", help="Stop before a question that could exceed this cost.")
]
ObjectName = Annotated[
    str | None, typer.Option(help="Name of the object in the question.  [default: the question names none]")
]
Model = Annotated[str, typer.Option("--model", "-m", help="Model preset, plugin, preset file or your own class.")]
Models = Annotated[
    list[str],
    typer.Option("--model", "-m", help="Model preset, plugin, preset file or your own class; may be repeated."),
]
Prompt = Annotated[str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's]")]
Out = Annotated[Path, typer.Option(help="Folder for runs, stored answers and the cache.")]
Method = Annotated[
    str,
    typer.Option(
        metavar="METHOD", help="How chat models inspect an image: the name of a method, or FILE.py with your own."
    ),
]
Protocol = Annotated[str, typer.Option(help="Protocol preset or file.")]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Ask again if a stored answer is refused, cut off, empty or unreadable."),
]
Resamples = Annotated[
    int,
    typer.Option(
        min=0,
        max=RESAMPLES,
        help="Bootstrap resamples for intervals, 50 or more; with 0 only image AUROC has an interval.",
    ),
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


def say(text: str) -> None:
    """Print a line on stderr: progress, notes and errors."""
    print(escaped(text), file=sys.stderr)  # noqa: T201 - this is the command line


def show(text: str) -> None:
    """Print a line of a result on stdout."""
    print(escaped(text))  # noqa: T201 - this is the command line


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    print(json_text(value), file=_STDOUT.get(sys.stdout))


def table_console(width: int = 1000) -> Console:
    """Return a console for tables on stdout, as wide as the terminal; a file or a pipe gets ``width`` columns.

    With ``--json`` a command's tables go to stderr: stdout holds the JSON object alone.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    # Texts may come from models or data sets: brackets and colons in them are not markup.
    return Console(width=None if terminal else width, markup=False, emoji=False, highlight=False)


class Commands(TyperGroup):
    """The commands; a value that an option cannot take is named in the words of every other message."""

    def invoke(self, context: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except typer.BadParameter as error:
            # Newer versions of typer check values with pydantic and quote its message; older ones have their own.
            if problems := getattr(error.__cause__, "errors", None):
                problem = problems()[0]
                reason = problem.get("ctx", {}).get("error")
                error.message = str(reason or f"it {what_is_wrong(problem)}; got {str(problem['input'])!r}.")
            raise


class _Output(io.TextIOWrapper):
    """A standard output or error that accepts every text; a failed write does not end the command.

    ``failed`` is the first error, after which nothing is written; None if there is none.
    """

    failed: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text; characters that the encoding lacks are escaped."""
        with self._keeping_errors():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        with self._keeping_errors():
            super().flush()

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed = self.failed or error
            # Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Escape characters that an encoding lacks as JSON does: an error handler for ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def run_process(app: Callable[[], Any]) -> NoReturn:
    """Run the command line as a whole process, whose stdout and stderr may be closed, full, ASCII or without a reader.

    A reader that ends early, such as ``head``, is no error, and neither is a closed stdout.
    """
    codecs.register_error("lvlm_ad.escaped", _escape_unencodable)
    width = os.environ.pop("COLUMNS", "")
    if width.isascii() and width.isdecimal() and int(width):
        # Others, such as 0 for a width that is unknown, would make rich print nothing or raise.
        os.environ["COLUMNS"] = width
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # This takes the stream's number, the lowest free one; the next opened file would take it otherwise.
            os.open(os.devnull, os.O_RDWR)
        if number:
            file = open(number, "wb", closefd=False)  # noqa: SIM115 - open as long as the process
            encoding, terminal = stream.encoding if stream else "utf-8", os.isatty(number)
            lines = terminal or name == "stderr"
            setattr(sys, name, _Output(file, encoding, "lvlm_ad.escaped", line_buffering=lines))
    status: Any = 0
    try:
        app()
    except SystemExit as done:
        status = done.code
    sys.stdout.flush()
    failed = getattr(sys.stdout, "failed", None)
    if failed is not None and not isinstance(failed, BrokenPipeError):
        say(f"lvlm-ad: the result cannot be written to stdout: {failed.strerror}.")
        status = status or EXIT_USAGE
    sys.exit(status)


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
        except MemoryError as error:
            say(f"lvlm-ad: there is not enough memory{f' ({error})' if str(error) else ''}.")
            raise typer.Exit(EXIT_USAGE) from None
        except OSError as error:
            say(f"lvlm-ad: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}.")
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            say("lvlm-ad: interrupted. What is stored is kept; the same command continues from here.")
            sys.stderr.flush()
            # A normal exit would wait for threads that still wait for an answer.
            os._exit(EXIT_INTERRUPTED)

    return run


def named_folder(context: typer.Context, option: typer.CallbackParam, name: str) -> str:
    """Refuse a name that is given and empty, such as that of a variable that is not set."""
    source = context.get_parameter_source(str(option.name))
    if not name and source is not None and source.name != "DEFAULT":
        raise typer.BadParameter("it takes the name of a folder; got nothing")
    return name


def run_config(options: Mapping[str, Any], **others: Any) -> RunConfig:
    """Make the configuration of a command whose options have the names of its fields.

    Args:
        options: the values of all options, by name; those that are no fields are left out, save for ``division`` and
            ``prompt``, which become settings.
        others: values of fields that are not those of an option of the same name.

    Raises:
        ConfigError: a value is wrong.
    """
    from lvlm_ad.evaluate import RunConfig

    settings = merged_settings(options["settings"], division=options["division"], prompt=options["prompt"])
    own = {one.name: options[one.name] for one in fields(RunConfig) if one.name in options}
    return RunConfig(**{**own, "settings": settings, **others})


def merged_settings(settings: list[str], **options: str | None) -> dict[str, Any]:
    """Read ``--set`` settings; an option such as ``--division`` overrides the setting of the same name."""
    from lvlm_ad.presets import parse_settings

    return {**parse_settings(settings), **{name: value for name, value in options.items() if value is not None}}
