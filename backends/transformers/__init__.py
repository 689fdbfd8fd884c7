"""Backend for open vision-language models in this process, loaded by transformers' AutoModelForImageTextToText."""

from __future__ import annotations

import importlib.util
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, Request
from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, Statistics, TooLargeError, preparing_threads
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, RejectedError
from lvlm_ad.memory import check_memory, needs_in_words
from lvlm_ad.weights import chosen_device, device_name, find_weights, name_of_model, weights_hash

from .options import TransformersOptions

if TYPE_CHECKING:
    from .model import LocalModel, Output, Prepared

__all__ = ["TransformersBackend", "TransformersOptions"]

_LARGEST_ON_GPU, _LARGEST_ON_CPU = 64, 4
"""Largest batches with batch_size=auto. A CPU gains nothing from more."""
_NEEDED = ("torch", "transformers", "accelerate")


class TransformersBackend(Backend):
    """Asks a model in this process, several questions together.

    Building it is cheap: ``identity`` finds the files, the first question loads them.

    Args:
        options: the model, its device, and how it answers.

    Raises:
        ConfigError: the extra "local" is not installed, there is no such device, or the model does not fit.
    """

    Options: ClassVar[type[BackendOptions]] = TransformersOptions
    billed: ClassVar[bool] = False
    distributable: ClassVar[bool] = True
    engines: ClassVar[tuple[str, ...]] = ("transformers", "vllm")

    def __init__(self, options: TransformersOptions) -> None:
        super().__init__(options)
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"Local models need {' and '.join(missing)}: pip install 'lvlm-ad[local]'.")
        from .loading import SMALLER, chosen_dtype, free_memory  # noqa: PLC0415 - torch takes seconds

        self._options = options
        self._device = chosen_device(options.device)
        self._dtype = chosen_dtype(options.dtype, self._device)
        if options.quantize != "none" and not self._device.startswith("cuda"):
            raise ConfigError(f"quantize={options.quantize} needs a CUDA GPU; the device is {self._device}.")
        self._stored_as = self._dtype if options.quantize == "none" else options.quantize
        if options.parameters is not None:
            check_memory(options.parameters * 1e9, self._stored_as, free_memory(self._device), self._device, SMALLER)
        if options.batch_size == "auto":
            largest = _LARGEST_ON_GPU if self._device.startswith("cuda") else _LARGEST_ON_CPU
            self._size = BatchSize(min(4, largest), largest)
        else:
            largest = options.batch_size
            self._size = BatchSize(largest, largest)
        self._preparers = preparing_threads(self._device)
        self.capabilities = Capabilities(
            # One batch in the model and the others in preparation.
            concurrency=(1 + self._preparers) * largest,
            batches_internally=True,
            max_output_tokens=options.max_tokens,
            schema=options.constrain,
            probabilities=True,
        )
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._hash = ""
        self._model: LocalModel | None = None
        self._batches: Batches[Request, Prepared, Output] | None = None
        self._failure = ""

    @property
    def statistics(self) -> Statistics:
        """Number of answers so far, and how long the device waited for pictures."""
        return self._batches.statistics if self._batches else Statistics()

    def identity(self) -> dict[str, Any]:
        """Identify the weights by their content, and add their data type on this device.

        Raises:
            ConfigError: the model cannot be found or downloaded.
        """
        self._find()
        name = name_of_model(self._options.model)
        return {**super().identity(), "model": name, "weights": self._hash, "dtype": self._dtype}

    def environment(self) -> dict[str, str]:
        """Return the device, how questions were computed there, and the packages in use."""
        options = self._options
        packages = {name: version(name) for name in ("accelerate", "bitsandbytes") if importlib.util.find_spec(name)}
        device = device_name(self._device)
        return {"device": device, "attention": options.attention, "batch_size": str(options.batch_size), **packages}

    def needs(self) -> str:
        """Return the memory that it needs, the memory that is free, and whether its files must be downloaded."""
        from .loading import free_memory  # noqa: PLC0415 - as above

        options, device = self._options, self._device
        count = None if options.parameters is None else options.parameters * 1e9
        return needs_in_words(options.model, options.revision, count, self._stored_as, free_memory(device), device)

    def answer(self, request: Request) -> Answer:
        """Answer one question, together with other concurrent questions.

        Raises:
            FatalError: the model cannot be loaded, or the device fails.
            RejectedError: the question does not fit into memory, or the model cannot process it.
        """
        model, batches = self._start()
        try:
            return model.answer(batches.ask(request))
        except TooLargeError as error:
            raise FatalError(f"One question alone does not fit into the memory of {self._device}: {error}") from error
        except ClosedError:
            raise FatalError("the model was closed") from None
        except Exception as error:
            text = f"{self._options.model}: {type(error).__name__}: {str(error)[:300]}"
            if "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError":
                raise FatalError(f"{text}. The GPU cannot be used any further in this process.") from error
            # All questions of a run are alike in size and form.
            raise RejectedError(text, shared=True) from error

    def close(self) -> None:
        """Stop, and release the device's memory."""
        with self._lock:
            if self._batches is not None:
                self._batches.close()
            self._model = self._batches = None

    def _find(self) -> Path:
        """Find, check and hash the files, once."""
        from .loading import check_stored_weights, checked_config  # noqa: PLC0415 - as above

        options = self._options
        with self._lock:
            if self._folder is None:
                folder = find_weights(options.model, revision=options.revision, code=options.trust_remote_code)
                # Before gigabytes are hashed.
                check_stored_weights(folder, checked_config(folder, options), self._stored_as, self._device)
                self._hash = weights_hash(folder)
                self._folder = folder
            return self._folder

    def _start(self) -> tuple[LocalModel, Batches[Request, Prepared, Output]]:
        """Load the model, once; after a failure every question raises the same error."""
        from .model import LocalModel  # noqa: PLC0415 - as above

        folder = self._find()
        with self._lock:
            if self._failure:
                raise FatalError(self._failure)
            if self._model is None or self._batches is None:
                try:
                    self._model = LocalModel(folder, self._options)
                except LvlmAdError as error:
                    self._failure = str(error)
                    raise FatalError(self._failure) from error
                self._batches = Batches(
                    self._model.prepare,
                    self._model.generate,
                    length=_length,
                    size=self._size,
                    preparers=self._preparers,
                )
            return self._model, self._batches


def _length(request: Request) -> float:
    """Estimate a question's tokens: one per four letters, and one per thousand pixels."""
    sizes = [picture.size or (0, 0) for picture in request.images]
    return len(request.text) / 4 + sum(width * height for width, height in sizes) / 1000
