"""Backend for open vision-language models in this process, loaded by transformers' AutoModelForImageTextToText."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from lvlm_ad.backend import Answer, BackendOptions, Capabilities, Request
from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, Statistics, TooLargeError, preparing_threads
from lvlm_ad.backend.local import LocalBackend
from lvlm_ad.errors import ConfigError, FatalError, RejectedError
from lvlm_ad.weights import chosen_device, device_name

from .options import TransformersOptions

if TYPE_CHECKING:
    from pathlib import Path

    from .model import LocalModel, Output, Prepared

__all__ = ["TransformersBackend", "TransformersOptions"]

_LARGEST_ON_GPU, _LARGEST_ON_CPU = 64, 4
"""Largest batches with batch_size=auto. A CPU gains nothing from more."""
_NEEDED = ("torch", "transformers", "accelerate")


class TransformersBackend(LocalBackend):
    """Asks a model in this process, several questions together.

    Building it is cheap: ``identity`` finds the files, the first question loads them.

    Args:
        options: the model, its device, and how it answers.

    Raises:
        ConfigError: the extra "local" is not installed, there is no such device, or the model does not fit.
    """

    Options: ClassVar[type[BackendOptions]] = TransformersOptions
    distributable: ClassVar[bool] = True
    engines: ClassVar[tuple[str, ...]] = ("transformers", "vllm")
    smaller: ClassVar[str] = "quantize=4bit on a CUDA GPU"
    options: TransformersOptions

    def __init__(self, options: TransformersOptions) -> None:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"Local models need {' and '.join(missing)}: pip install 'lvlm-ad[local]'.")
        from .loading import chosen_dtype, free_memory  # noqa: PLC0415 - torch takes seconds

        device = chosen_device(options.device)
        if options.quantize != "none" and not device.startswith("cuda"):
            raise ConfigError(f"quantize={options.quantize} needs a CUDA GPU; the device is {device}.")
        dtype = chosen_dtype(options.dtype, device)
        super().__init__(options, device=device, dtype=dtype, free=lambda: free_memory(device))
        if options.batch_size == "auto":
            largest = _LARGEST_ON_GPU if device.startswith("cuda") else _LARGEST_ON_CPU
            self._size = BatchSize(min(4, largest), largest)
        else:
            largest = options.batch_size
            self._size = BatchSize(largest, largest)
        self._preparers = preparing_threads(device)
        self.capabilities = Capabilities(
            # One batch in the model and the others in preparation.
            concurrency=(1 + self._preparers) * largest,
            batches_internally=True,
            max_output_tokens=options.max_tokens,
            schema=options.constrain,
            probabilities=True,
        )
        self._model: LocalModel | None = None
        self._batches: Batches[Request, Prepared, Output] | None = None

    @property
    def statistics(self) -> Statistics:
        """Number of answers so far, and how long the device waited for pictures."""
        return self._batches.statistics if self._batches else Statistics()

    def environment(self) -> dict[str, str]:
        """Return the device, how questions were computed there, and the packages in use."""
        options = self.options
        packages = {name: version(name) for name in ("accelerate", "bitsandbytes") if importlib.util.find_spec(name)}
        device = device_name(self._device)
        return {"device": device, "attention": options.attention, "batch_size": str(options.batch_size), **packages}

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
            text = f"{self.options.model}: {type(error).__name__}: {str(error)[:300]}"
            if "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError":
                raise FatalError(f"{text}. The GPU cannot be used any further in this process.") from error
            # All questions of a run are alike in size and form.
            raise RejectedError(text, shared=True) from error

    def check(self, folder: Path) -> None:
        """Check that transformers can load the model, and that it fits."""
        from .loading import checked_config, stored_parameters  # noqa: PLC0415 - as above

        self.check_fits(stored_parameters(folder, checked_config(folder, self.options)))

    def close(self) -> None:
        """Stop, and release the device's memory."""
        with self._start_lock:
            if self._batches is not None:
                self._batches.close()
            self._model = self._batches = None

    def _start(self) -> tuple[LocalModel, Batches[Request, Prepared, Output]]:
        """Load the model, once."""
        from .model import LocalModel  # noqa: PLC0415 - as above

        with self.starting():
            if self._model is None or self._batches is None:
                self._model = LocalModel(self.find(), self.options)
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
