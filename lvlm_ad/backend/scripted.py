"""The scripted backend: it returns prepared answers, for tests and for answers collected by hand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from lvlm_ad.backend.contract import Backend, BackendOptions, Capabilities
from lvlm_ad.backend.messages import Answer, Request
from lvlm_ad.errors import ConfigError, FatalError

__all__ = ["ScriptedBackend", "ScriptedOptions"]


class ScriptedOptions(BackendOptions):
    """Options of the scripted backend."""

    file: Path | None = None
    """A file with the answers in the order of the questions: a JSON array, or JSON Lines. Each answer is a string, or
    an object with "text" and optionally "outcome"."""
    cycle: bool = Field(default=False, validation_alias=AliasChoices("cycle", "repeat"))
    """Start again after the last answer; also read as "repeat", its old name."""


Script = Sequence[str | Answer] | Callable[[Request], str | Answer]


class ScriptedBackend(Backend):
    """Returns prepared answers in order.

    Args:
        options: its options.
        script: the answers, or a function from a request to its answer; None: read ``options.file``.

    Attributes:
        requests: all requests so far, in order.

    Raises:
        ConfigError: there are no answers, or the file cannot be read.

    Example:
        >>> backend = ScriptedBackend(script=["image anomaly score: 0.1.", "image anomaly score: 0.9."])
        >>> backend.answer(Request((), "What is wrong?")).text
        'image anomaly score: 0.1.'
    """

    Options: ClassVar[type[BackendOptions]] = ScriptedOptions
    # One at a time and not stored, so that the n-th answer belongs to the n-th question of each run.
    capabilities = Capabilities(concurrency=1, stored=False)

    def __init__(self, options: BackendOptions | None = None, *, script: Script | None = None) -> None:
        super().__init__(options)
        assert isinstance(self.options, ScriptedOptions)  # noqa: S101 - narrows the type; Options fixes it
        self._cycle = self.options.cycle
        self._script: Script = _read_script(self.options.file) if script is None else script
        if callable(self._script):
            self.capabilities = Capabilities(concurrency=1)
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    def identity(self) -> dict[str, Any]:
        """Include the file's content, not its name: an edited script is another model."""
        identity = super().identity()
        # Under its old name, so that runs of older versions keep their hash.
        identity["repeat"] = identity.pop("cycle")
        path = identity.pop("file", None)
        if path is not None:
            identity["answers"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return identity

    def answer(self, request: Request) -> Answer:
        """Return the next answer.

        Raises:
            FatalError: the script has no answer left.
        """
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        if callable(self._script):
            answer = self._script(request)
        else:
            count = len(self._script)
            if index >= count and not (self._cycle and count):
                raise FatalError(
                    f"The script holds {count} answers; question {index + 1} has none. Add it, or set cycle."
                )
            answer = self._script[index % count]
        return answer if isinstance(answer, Answer) else Answer(text=answer)


def _read_script(path: Path | None) -> list[str | Answer]:
    if path is None:
        raise ConfigError("The scripted backend has no answers: give --set file=ANSWERS.json.")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"The script {path} cannot be read: {error.strerror}.") from error
    try:
        is_array = text.lstrip().startswith("[")
        items = json.loads(text) if is_array else [json.loads(line) for line in text.splitlines() if line]
        return [item if isinstance(item, str) else Answer(**item) for item in items]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The script {path} is not a JSON array or JSON Lines of answers: {error}.") from error
