"""Every error that lvlm-ad raises on purpose, and the wording that messages share.

::

    LvlmAdError                 base; the message is one line: what happened, where, what to do
    ├── ConfigError             an option, preset, protocol or prompt file is wrong
    ├── DataError               a data set is missing, damaged or not in the expected layout
    │   └── ImageError          one image or mask file cannot be used
    ├── PluginError             a backend or baseline cannot be found, loaded or built, or breaks its contract
    ├── StoreError              stored answers or divisions cannot be read or written
    │   └── CacheError          the cache is damaged; it can be made again
    ├── RunError                a run's folder is damaged or was written by a newer version
    ├── UnaskedError            a question was not asked: it waits in a batch, or the run was stopped
    │   └── BudgetSpentError    its answer could exceed --max-cost (``lvlm_ad.asking``)
    ├── MetricError             no metric can be computed from these arrays (also a ValueError)
    └── BackendError            a model gave no answer
        ├── FatalError          no further question can succeed: wrong key, empty account
        │   └── NotFoundError   the endpoint does not know the model, batch or file
        ├── RejectedError       the endpoint refuses this question as malformed; another try would fail too
        └── TransientError      this question failed; another try may succeed
            ├── RateLimitError  the endpoint turned the question away because there are too many
            └── UnusableReplyError   a reply, probably paid for, is no answer or may be cut off

A refusal, a truncated answer or an unreadable answer is not an error: see ``Answer.outcome`` and ``Scores.status``.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "BackendError",
    "CacheError",
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
    "UnusableReplyError",
    "is_secret_option",
    "is_secret_variable",
    "nearest",
    "sentence",
    "what_is_wrong",
]

# Names of what holds a secret: no message, table or file may contain its value.
_OPTION = re.compile(
    r"(?:\w*_)?(?:api_?key|(?:access|secret|private|auth)_key|(?:access|api|auth|bearer|hf|hub|refresh)_token"
    r"|secret|password|passwd|passphrase|credentials?)|key|token"
)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASS|PASSWORD)")

_LONGEST_WAIT = 366 * 86400
"""Seconds; a longer wait is a mistake."""

_LISTED = 15
"""Names that a message lists."""


class LvlmAdError(Exception):
    """Base of all errors of this package; the message is one line for the user.

    Example:
        >>> import lvlm_ad
        >>> try:
        ...     lvlm_ad.load_dataset("mvtek")
        ... except LvlmAdError as error:
        ...     print(error)
        There is no data set 'mvtek'. Did you mean 'mvtec'?
    """


class ConfigError(LvlmAdError):
    """An option, preset, protocol or prompt file is wrong."""


class DataError(LvlmAdError):
    """A data set is missing, damaged or not in the expected layout."""


class ImageError(DataError):
    """One image or mask file cannot be used."""


class PluginError(LvlmAdError):
    """A backend or baseline cannot be found, loaded or built, or breaks its contract."""


class StoreError(LvlmAdError):
    """Stored answers or divisions cannot be read or written."""


class CacheError(StoreError):
    """The cache is damaged; it can be deleted and made again."""


class RunError(LvlmAdError):
    """A run's folder is damaged or was written by a newer version."""


class MetricError(LvlmAdError, ValueError):
    """No metric can be computed from these arrays: wrong shape, NaN or infinite scores."""


class UnaskedError(LvlmAdError):
    """A question was not asked although nothing is wrong with it; the same command may ask it later."""


class BackendError(LvlmAdError):
    """A model gave no answer."""


class FatalError(BackendError):
    """No further question can succeed (wrong key, empty account); the run stops, stored answers are kept."""


class NotFoundError(FatalError):
    """The endpoint does not know the model, batch or file."""


class RejectedError(BackendError):
    """The endpoint refuses this question as malformed; the run goes on, since it may accept others.

    Args:
        message: what happened.
        shared: whether the reason holds for every question, such as a setting that the endpoint does not know. If
            eight questions are rejected for such reasons and none is answered, the run ends.
        peculiar: deprecated, the opposite of ``shared``; it replaces ``shared`` where it is given.
    """

    def __init__(self, message: str, *, shared: bool = False, peculiar: bool | None = None) -> None:
        super().__init__(message)
        self.shared = shared if peculiar is None else not peculiar


class TransientError(BackendError):
    """This question failed; another try may succeed. After all retries the run goes on without it.

    Args:
        message: what happened.
        wait: seconds that the endpoint asks to wait; None: unknown. An impossible value counts as unknown.
        crowded: whether too many concurrent questions may be the reason.
        unreached: whether the question did not reach the endpoint: the network or the server is down.
        starting: whether the server is still loading its model, which is worth waiting for.

    Example:
        >>> TransientError("status 503", wait=2.0).wait
        2.0
    """

    def __init__(
        self,
        message: str,
        *,
        wait: float | None = None,
        crowded: bool = False,
        unreached: bool = False,
        starting: bool = False,
    ) -> None:
        super().__init__(message)
        self.wait = wait if wait is not None and 0 <= wait <= _LONGEST_WAIT else None
        self.crowded = crowded
        self.unreached = unreached
        self.starting = starting


class RateLimitError(TransientError):
    """The endpoint turned the question away because there are too many; a later try will succeed."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message, wait=wait, crowded=True)


class UnusableReplyError(TransientError):
    """A reply, probably paid for, is no answer or may be cut off; the question is asked once more.

    Args:
        message: what happened.
        answer: the ``Answer`` that counts if the second reply is not better; None: the question then fails.
    """

    def __init__(self, message: str, *, answer: Any = None) -> None:
        super().__init__(message)
        self.answer = answer


def sentence(error: Exception | str) -> str:
    """End a message with a full stop, so that another sentence may follow.

    Example:
        >>> sentence("no connection")
        'no connection.'
    """
    return f"{str(error).rstrip('. ')}."


def listed(names: Sequence[str], kept: int = 3) -> str:
    """Name the first, and count the others.

    Example:
        >>> listed(["a", "b", "c", "d", "e"]), listed(["a", "b"])
        ('a, b, c, 2 more', 'a, b')
    """
    more = [f"{len(names) - kept} more"] if len(names) > kept else []
    return ", ".join([*names[:kept], *more])


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest what the user probably meant.

    Args:
        name: the wrong name.
        known: the right names.

    Returns:
        A sentence that begins with a space; empty if no name is known.

    Example:
        >>> nearest("gpt4v", ["gpt-4v", "claude"])
        " Did you mean 'gpt-4v'?"
        >>> nearest("x", ["gpt-4v", "claude"])
        ' Known: claude, gpt-4v.'
    """
    names = sorted(set(known))
    close = get_close_matches(name.lower(), [n.lower() for n in names], n=3, cutoff=0.6)
    if close:
        similar = [n for n in names if n.lower() in close]
        return f" Did you mean {' or '.join(repr(n) for n in similar)}?"
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return f" Known: {', '.join([*names[:_LISTED], *more])}." if names else ""


_WORDING = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "json_invalid": "is not valid JSON: {error}",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), "must be an object"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("too_short", "string_too_short"), "must have {min_length} or more {unit}"),
    **dict.fromkeys(("too_long", "string_too_long"), "must have {max_length} or fewer {unit}"),
    "string_pattern_mismatch": "must match {pattern}",
    "string_unicode": "cannot be written as UTF-8",
    "path_type": "must be a path",
    "enum": "must be {expected}",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    "string_type": "must be a text",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "must be a day such as 2027-01-31"),
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be {ge:,.16g} or more",
    "greater_than": "must be more than {gt:,.16g}",
    "less_than_equal": "must be {le:,.16g} or less",
    "less_than": "must be less than {lt:,.16g}",
}
"""Pydantic's type of a problem -> what a message says about the value."""


def what_is_wrong(problem: Mapping[str, Any]) -> str:
    """Say in plain words what is wrong with a value; ``problem`` is one of pydantic's ``ValidationError.errors()``.

    Example:
        >>> what_is_wrong({"type": "greater_than_equal", "ctx": {"ge": 1}, "msg": "Input should be ..."})
        'must be 1 or more'
    """
    kind, details = problem["type"], problem.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        return f"is wrong: {details['error']!s:.200}"
    unit = "characters" if kind.startswith("string") else "entries"
    return _WORDING.get(kind, "is of the wrong kind").format_map({"unit": unit, **details})


def is_secret_option(name: str) -> bool:
    """Say whether an option of this name holds a secret itself, not the name of a variable or file that does.

    Example:
        >>> is_secret_option("api_key"), is_secret_option("api_key_env"), is_secret_option("stop_token")
        (True, False, False)
    """
    return bool(_OPTION.fullmatch(name.lower()))


def is_secret_variable(name: str) -> bool:
    """Say whether an environment variable of this name holds a secret.

    Example:
        >>> is_secret_variable("OPENAI_API_KEY"), is_secret_variable("HOME")
        (True, False)
    """
    return bool(_VARIABLE.fullmatch(name.upper()))
