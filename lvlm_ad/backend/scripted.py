"""The fake backend: it gives the answers that it was told to give."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lvlm_ad.backend.contract import Backend, BackendOptions, Capabilities
from lvlm_ad.backend.messages import Answer, Request
from lvlm_ad.errors import ConfigError, FatalError

__all__ = ["ScriptedBackend", "ScriptedOptions"]


class ScriptedOptions(BackendOptions):
    """Options of the scripted backend."""

    file: Path | None = None
    """A file with the answers in the order of the questions: a JSON array, or JSON Lines. Each is a string, or an
    object with "text" and perhaps "outcome"."""
    repeat: bool = False
    """Begin again after the last answer."""


Script = Sequence[str | Answer] | Callable[[Request], str | Answer]


class ScriptedBackend(Backend):
    """Gives the answers it was told to give, in order; the fake for tests and for answers collected by hand.

    Args:
        options: its options.
        script: a sequence of answers, or a function of the request; None: the answers come from ``options.file``.

    Attributes:
        requests: every request so far, in the order asked.

    Raises:
        ConfigError: there are no answers, or the file cannot be read as such.
    """

    Options: ClassVar[type[BackendOptions]] = ScriptedOptions
    # One at a time and none of them stored, so that the n-th answer belongs to the n-th question of each run.
    capabilities = Capabilities(concurrency=1, stored=False)

    def __init__(self, options: BackendOptions | None = None, *, script: Script | None = None) -> None:
        super().__init__(options)
        self._script: Script = self._read_file() if script is None else script
        if callable(self._script):
            self.capabilities = Capabilities(concurrency=1)
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    def identity(self) -> dict[str, Any]:
        """Include the file's content, not its name: an edited script is another model."""
        identity = super().identity()
        path = identity.pop("file", None)
        if path is not None:
            identity["answers"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return identity

    def answer(self, request: Request) -> Answer:
        """Give the next answer.

        Raises:
            FatalError: the script has no answer left.
        """
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        if callable(self._script):
            given = self._script(request)
        else:
            count = len(self._script)
            if index >= count and not (self._scripted.repeat and count):
                raise FatalError(
                    f"The script holds {count} answers; question {index + 1} has none. Add it, or set repeat."
                )
            given = self._script[index % count]
        return given if isinstance(given, Answer) else Answer(text=given)

    @property
    def _scripted(self) -> ScriptedOptions:
        assert isinstance(self.options, ScriptedOptions)  # noqa: S101 - narrows the type; Options fixes it
        return self.options

    def _read_file(self) -> list[str | Answer]:
        path = self._scripted.file
        if path is None:
            raise ConfigError("The scripted backend has no answers: give --set file=ANSWERS.json.")
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"The script {path} cannot be read: {error.strerror}.") from error
        try:
            items = (
                json.loads(text) if text.lstrip().startswith("[") else [json.loads(s) for s in text.splitlines() if s]
            )
            return [item if isinstance(item, str) else Answer(**item) for item in items]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The script {path} is no JSON array or JSON Lines of answers: {error}.") from error
