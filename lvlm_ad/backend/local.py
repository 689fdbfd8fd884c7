"""What backends that run a model from its files have in common: options, the check of memory, files and their hash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from lvlm_ad.backend.contract import Backend, BackendOptions, Transport
from lvlm_ad.errors import FatalError, LvlmAdError
from lvlm_ad.memory import check_memory, needs_in_words
from lvlm_ad.weights import find_weights, name_of_model, weights_hash

__all__ = ["AutoOrNumber", "LocalBackend", "LocalOptions"]


def _auto_or_number(value: Any) -> Any:
    if value == "auto" or (str(value).isdecimal() and int(value) >= 1):
        return value
    raise ValueError("it must be auto or a number from 1")


AutoOrNumber = Annotated[int | Literal["auto"], BeforeValidator(_auto_or_number)]


class LocalOptions(BackendOptions):
    """Options that mean the same to every backend that runs a model from its files.

    Example:
        >>> LocalOptions(model="Qwen/Qwen3-VL-8B-Instruct").max_tokens
        512
    """

    of_model: ClassVar[tuple[str, ...]] = ("parameters", "revision")

    model: Annotated[str, Field(min_length=1)]
    """The model's name on the Hugging Face hub, or its folder."""
    revision: str | None = None
    """A branch, tag or commit on the hub."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Data type of the weights; auto: bfloat16 on a GPU, float32 on a CPU."""
    quantize: str = "none"
    """How the weights are quantised; each backend has its own values."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens of an answer."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the most likely token."""
    seed: int = 0
    """Sampling seed; has no effect with temperature 0."""
    constrain: bool = False
    """Force every answer into its format, through xgrammar; for prompts that ask for nothing but the format.
    Answers of methods without a fixed format, such as boxes, stay free."""
    batch_size: Annotated[AutoOrNumber, Transport] = "auto"
    """Questions answered together; auto: as many as use the device best."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the model's processor, such as max_pixels."""
    chat: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the model's chat template, such as enable_thinking."""
    keep_special_tokens: bool | None = None
    """Keep the model's special tokens in the answer, such as those around a place; only the end of its turn is removed.
    Default: no."""
    trust_remote_code: bool = False
    """Run the code that comes with the model."""
    parameters: Annotated[float | None, Transport] = None
    """Number of its parameters, in billions; used to check before the download whether it fits."""


class LocalBackend(Backend):
    """Base of backends that run a model from its files. Subclasses define ``check`` besides ``answer``.

    Building one is cheap: ``identity`` finds the files, the first question starts the model.

    Args:
        options: the model and how it answers.
        device: where it runs.
        dtype: data type of the weights there.
        free: returns the free bytes of the device's memory; None if unknown.

    Raises:
        ConfigError: the model does not fit.

    Attributes:
        smaller: the setting that messages recommend if the weights do not fit.
    """

    billed: ClassVar[bool] = False
    smaller: ClassVar[str] = "quantize"
    options: LocalOptions

    def __init__(self, options: LocalOptions, *, device: str, dtype: str, free: Callable[[], int | None]) -> None:
        super().__init__(options)
        self._device, self._dtype, self._free = device, dtype, free
        self._stored_as = dtype if options.quantize == "none" else options.quantize
        self._parameters = None if options.parameters is None else options.parameters * 1e9
        if self._parameters is not None:
            self.check_fits(self._parameters)
        self._find_lock, self._start_lock = threading.Lock(), threading.Lock()
        self._folder: Path | None = None
        self._hash = self._failure = ""

    def check_fits(self, parameters: float) -> None:
        """Check that a model with so many parameters fits into the device's free memory.

        Raises:
            ConfigError: it does not.
        """
        check_memory(self.options.model, parameters, self._stored_as, self._free(), self._device, self.smaller)

    def check(self, folder: Path) -> None:
        """Check a model's files. Called before they are hashed, because hashing takes a minute.

        Raises:
            ConfigError: this backend cannot run the model.
        """

    def find(self) -> Path:
        """Find, check and hash the model's files, once, and return their folder.

        Raises:
            ConfigError: the model cannot be found or downloaded, or ``check`` refuses it.
        """
        options = self.options
        with self._find_lock:
            if self._folder is None:
                folder = find_weights(options.model, revision=options.revision, code=options.trust_remote_code)
                self.check(folder)
                self._hash, self._folder = weights_hash(folder), folder
            return self._folder

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Let one thread start the model while others wait; after a failure every question raises the same error.

        Raises:
            FatalError: the model cannot be started.
        """
        with self._start_lock:
            if self._failure:
                raise FatalError(self._failure)
            try:
                yield
            except LvlmAdError as error:
                self._failure = str(error)
                raise FatalError(self._failure) from error

    def identity(self) -> dict[str, Any]:
        """Identify the weights by their content, and add their data type on this device. Raises as ``find`` does."""
        self.find()
        name = name_of_model(self.options.model)
        return {**super().identity(), "model": name, "weights": self._hash, "dtype": self._dtype}

    def needs(self) -> str:
        """Return the memory that it needs, the memory that is free, and whether its files must be downloaded."""
        model, revision = self.options.model, self.options.revision
        return needs_in_words(model, revision, self._parameters, self._stored_as, self._free(), self._device)
