"""Every error that lvlm-ad raises on purpose.

::

    LvlmAdError                 something the user can mend; one line: what, where, what to do
    ├── ConfigError             a wrong option, preset, protocol or prompt file
    ├── DataError               a data set that is missing, damaged or not what it was said to be
    │   └── ImageError          one image or mask file that cannot be used
    ├── PluginError             a backend or baseline that cannot be found, loaded or built
    ├── StoreError              the answer or division store cannot be read or written
    ├── RunError                a run's folder is damaged or was written by a newer version
    ├── UnaskedError            a question was not asked: it waits in a batch, or the run was ended
    │   └── BudgetSpentError    it could have exceeded --max-cost (``lvlm_ad.asking``)
    ├── MetricError             arrays from which no metric can be computed honestly (also a ValueError)
    └── BackendError            a model gave no answer
        ├── FatalError          no further question can succeed: bad key, empty account
        │   └── NotFoundError   what was named is not at the endpoint: a model, a batch, a file
        ├── RejectedError       this question is refused as a wrong request; asked again it would be refused again
        └── TransientError      this question failed; asked again, it may succeed
            └── RateLimitError  it was turned away; asked again later, it will be taken

A refusal, a truncated answer or an unreadable answer is no error: see ``Answer.outcome`` and ``Scores.status``.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BackendError",
    "ConfigError",
    "DataError",
    "FatalError",
    "ImageError",
    "LvlmAdError",
    "MetricError",
    "NotFoundError",
    "PluginError",
    "RateLimitError",
    "RejectedError",
    "RunError",
    "StoreError",
    "TransientError",
    "UnaskedError",
    "line_of",
    "nearest",
    "place_of",
    "where",
]


class LvlmAdError(Exception):
    """Base of all errors of this package; its text is one line fit to be shown to the user."""


class ConfigError(LvlmAdError):
    """An option, preset, protocol or prompt file is wrong."""


class DataError(LvlmAdError):
    """A data set is missing, damaged or not what it was said to be."""


class ImageError(DataError):
    """One image or mask file cannot be used."""


class PluginError(LvlmAdError):
    """A backend or baseline cannot be found, loaded or built."""


class StoreError(LvlmAdError):
    """The answer store or the division store cannot be read or written."""


class RunError(LvlmAdError):
    """A run's folder is damaged or was written by a newer version."""


class MetricError(LvlmAdError, ValueError):
    """No metric can be computed honestly from these arrays (wrong shape, NaN or infinite scores)."""


class UnaskedError(LvlmAdError):
    """A question was not asked, and nothing is wrong with it: the same command may ask it later."""


class BackendError(LvlmAdError):
    """A model gave no answer."""


class FatalError(BackendError):
    """No further question can succeed (bad key, unknown model, exhausted account); the run stops, answers are kept."""


class NotFoundError(FatalError):
    """What was named is not at the endpoint: a model, a batch, a file."""


class RejectedError(BackendError):
    """This question as it stands is refused as a wrong request; the run goes on if others are taken.

    Args:
        message: what happened.
        peculiar: whether it is known that the question itself is at fault. A first question that is rejected ends the
            run otherwise: what is wrong with it is mostly wrong with all.
    """

    def __init__(self, message: str, *, peculiar: bool = False) -> None:
        super().__init__(message)
        self.peculiar = peculiar


class TransientError(BackendError):
    """This question failed; asked again, it may succeed. After all retries the run goes on without it.

    Args:
        message: what happened.
        wait: seconds that the endpoint wants to be left alone; None if it does not say.
        crowded: whether too many questions under way may be the cause.
        unreached: whether the question did not even get to the endpoint: the network or the server is gone.
    """

    def __init__(
        self, message: str, *, wait: float | None = None, crowded: bool = False, unreached: bool = False
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.crowded = crowded
        self.unreached = unreached


class RateLimitError(TransientError):
    """The endpoint turned the question away unread because there are too many; asked later, it will be taken."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message, wait=wait, crowded=True)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what the user probably meant.

    Args:
        name: what was given.
        known: the right names.

    Returns:
        A sentence, " Did you mean 'x'?" or " Known: a, b, c." with a leading space; empty when nothing is known.
    """
    names = sorted(set(known))
    close = get_close_matches(name.lower(), [n.lower() for n in names], n=3, cutoff=0.6)
    if close:
        right = [n for n in names if n.lower() in close]
        return f" Did you mean {' or '.join(repr(n) for n in right)}?"
    return f" Known: {', '.join(names)}." if names else ""


def where(error: BaseException, *, whole_path: bool = True) -> str:
    """Say what went wrong and in which line: the innermost one that is neither Python's own nor an installed package's.

    Args:
        error: what was raised.
        whole_path: whether to name the file with its folder; a message that is kept in a run must not.
    """
    said = str(error.msg) if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}{f': {said:.200}' if said else ''}{place_of(error, whole_path=whole_path)}"


def place_of(error: BaseException, *, whole_path: bool = True) -> str:
    """Name the line as ``where`` does, as " (file, line n)"; empty if there is none.

    Args:
        error: what was raised.
        whole_path: whether to name the file with its folder.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f" ({_shown(error.filename, whole_path)}, line {error.lineno})"
    return line_of(traceback.extract_tb(error.__traceback__), whole_path=whole_path)


def line_of(frames: Iterable[traceback.FrameSummary], *, whole_path: bool = True) -> str:
    """Name the innermost line of a stack that may be to blame: the user's own, or else an installed package's.

    Python's own lines never are, nor are those of this package, which called what failed.

    Args:
        frames: the stack, outermost first.
        whole_path: whether to name the file with its folder.

    Returns:
        " (file, line n)"; empty if there is none.
    """
    ours = f"{Path(__file__).parent}{os.sep}"
    python, *packages = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    # Packages may lie below the standard library.
    named = [one for one in frames if not one.filename.startswith(("<frozen", ours))]
    named = [one for one in named if one.filename.startswith(tuple(packages)) or not one.filename.startswith(python)]
    own = [one for one in named if not one.filename.startswith(tuple(packages))] or named
    return f" ({_shown(own[-1].filename, whole_path)}, line {own[-1].lineno})" if own else ""


def _shown(file: str, whole_path: bool) -> str:  # noqa: FBT001 - passed on
    return file if whole_path else PurePath(file).name
