"""Open vision-language models in this process: any that transformers loads as AutoModelForImageTextToText."""

from __future__ import annotations

import importlib.util
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, Request, Transport
from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, Statistics, TooLargeError
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, RejectedError
from lvlm_ad.weights import at_hand, chosen_device, device_name, find_weights, weights_hash

if TYPE_CHECKING:
    from ._local_model import LocalModel, Prepared, Written

__all__ = ["TransformersBackend", "TransformersOptions"]

_MOST = 64
"""Questions in one batch, at most, where the size is found by itself."""
_WITHOUT_GPU = 4
"""The same where there is no GPU memory to go by; more gains nothing there."""
_COLDEST = 0.01
"""The least temperature: scores divided by less overflow."""
_OWN_CHAT = {
    *("add_generation_prompt", "continue_final_message", "conversation", "padding", "processor_kwargs"),
    *("return_dict", "return_tensors", "tokenize"),
}
"""What the model's chat template is called with anyway."""
_NEEDED = ("torch", "transformers", "accelerate")


class TransformersOptions(BackendOptions):
    """Options of a model in this process."""

    of_model: ClassVar[tuple[str, ...]] = ("parameters", "revision")

    model: Annotated[str, Field(min_length=1)]
    """Its name at the Hugging Face hub, or its folder."""
    revision: str | None = None
    """A branch, tag or commit at the hub."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (all GPUs, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """The type of the weights; auto: bfloat16 on a GPU, float32 on a CPU."""
    attention: Annotated[str, Transport] = "auto"
    """How attention is computed: auto (flash_attention_2 if installed, else sdpa), sdpa, eager."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Fewer bits a weight, through bitsandbytes, on a CUDA GPU."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """The most tokens an answer may have."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the likeliest token."""
    seed: int = 0
    """Sampling seed; with temperature 0 it decides nothing."""
    constrain: bool = False
    """Hold every answer to its format, through xgrammar; for prompts that want the format and nothing else."""
    batch_size: Annotated[int | Literal["auto"], Transport] = "auto"
    """Questions answered together; auto grows until the GPU's memory is used well."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """What the model's processor is loaded with, such as max_pixels."""
    chat: dict[str, Any] = Field(default_factory=dict)
    """What the model's chat template is filled with, such as enable_thinking."""
    trust_remote_code: bool = False
    """Run the code that the model brings with it."""
    parameters: Annotated[float | None, Transport] = None
    """How many the model has, in billions; says before it is fetched whether it fits."""

    @field_validator("temperature")
    @classmethod
    def _not_almost_zero(cls, value: float) -> float:
        if 0 < value < _COLDEST:
            raise ValueError(f"0 takes the likeliest token; otherwise {_COLDEST} or more is wanted")
        return value

    @field_validator("chat")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_OWN_CHAT & set(value))
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be set: lvlm-ad itself does")
        return value

    @field_validator("batch_size", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        if value == "auto" or (str(value).isdecimal() and int(value) >= 1):
            return value
        raise ValueError("auto or a number from 1 is wanted")


class TransformersBackend(Backend):
    """Asks a model that runs in this process, many questions together.

    Building it is cheap; the files are found when its identity is asked for, and loaded with the first question.

    Raises:
        ConfigError: the extra "local" is not installed, there is no such device, or the model does not fit.
    """

    Options: ClassVar[type[BackendOptions]] = TransformersOptions
    billed: ClassVar[bool] = False
    distributable: ClassVar[bool] = True

    def __init__(self, options: TransformersOptions) -> None:
        super().__init__(options)
        absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if absent:
            raise ConfigError(f"It needs {' and '.join(absent)}; pip install 'lvlm-ad[local]'.")
        from ._local_loading import chosen_dtype, room_for  # noqa: PLC0415 - seconds, paid by its users

        self._options = options
        self._device = chosen_device(options.device)
        self._dtype = chosen_dtype(options.dtype, self._device)
        if options.quantize != "none" and not self._device.startswith("cuda"):
            raise ConfigError(f"quantize={options.quantize} needs a CUDA GPU; the device is {self._device}.")
        if options.parameters is not None:
            kind = self._dtype if options.quantize == "none" else options.quantize
            room_for(options.parameters * 1e9, kind, self._device)
        if options.batch_size == "auto":
            most = _MOST if self._device.startswith("cuda") else _WITHOUT_GPU
            self._size = BatchSize(min(4, most), most)
        else:
            most = options.batch_size
            self._size = BatchSize(most, most)
        # One batch under way and one in preparation.
        self.capabilities = Capabilities(
            concurrency=2 * most,
            batches_internally=True,
            max_output_tokens=options.max_tokens,
            schema=options.constrain,
            probabilities=True,
        )
        self._starting = threading.Lock()
        self._folder: Path | None = None
        self._hash = ""
        self._model: LocalModel | None = None
        self._batches: Batches[Request, Prepared, Written] | None = None
        self._failure = ""

    @property
    def statistics(self) -> Statistics:
        """What was answered so far, and how long the device waited for pictures."""
        return self._batches.statistics if self._batches else Statistics()

    def identity(self) -> dict[str, Any]:
        """Name the weights by their content, and the type that they have on this device.

        Raises:
            ConfigError: the model cannot be found or fetched.
        """
        self._found()
        folder = Path(self._options.model).expanduser()
        # A folder's place is no part of the model.
        name = folder.resolve().name if folder.is_dir() else self._options.model
        return {**super().identity(), "model": name, "weights": self._hash, "dtype": self._dtype}

    def environment(self) -> dict[str, str]:
        """Name the device, how questions were computed there, and the packages that took part."""
        options = self._options
        found = {name: version(name) for name in ("accelerate", "bitsandbytes") if importlib.util.find_spec(name)}
        device = device_name(self._device)
        return {"device": device, "attention": options.attention, "batch_size": str(options.batch_size), **found}

    def needs(self) -> str:
        """Say how much memory it needs of how much is free, and whether its files are to be fetched."""
        from ._local_loading import free_memory, needed_memory  # noqa: PLC0415 - as above

        options, said = self._options, []
        if options.parameters is not None:
            kind = self._dtype if options.quantize == "none" else options.quantize
            free = free_memory(self._device)
            of_free = "" if free is None else f" of {free / 1e9:.0f} GB free"
            said.append(f"{needed_memory(options.parameters * 1e9, kind) / 1e9:.0f} GB{of_free} on {self._device}")
        if not Path(options.model).expanduser().is_dir() and not at_hand(options.model, revision=options.revision):
            said.append("to be fetched")
        return ", ".join(said)

    def answer(self, request: Request) -> Answer:
        """Have one question answered, together with others.

        Raises:
            FatalError: the model cannot be loaded, or the device fails.
            RejectedError: the question does not fit into memory, or the model cannot take it.
        """
        model, batches = self._started()
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
            raise RejectedError(text) from error

    def close(self) -> None:
        """Stop, and give the device's memory back."""
        with self._starting:
            if self._batches is not None:
                self._batches.close()
            self._model = self._batches = None

    def _found(self) -> Path:
        """Find the files, look whether they are such a model, and hash them, once."""
        from ._local_loading import checked_config, room_for_weights  # noqa: PLC0415 - as above

        with self._starting:
            if self._folder is None:
                options = self._options
                folder = find_weights(options.model, revision=options.revision, code=options.trust_remote_code)
                # Before gigabytes are hashed.
                room_for_weights(folder, checked_config(folder, options), options.quantize, self._dtype, self._device)
                self._hash = weights_hash(folder)
                self._folder = folder
            return self._folder

    def _started(self) -> tuple[LocalModel, Batches[Request, Prepared, Written]]:
        """Load the model, once; what prevents it is told to everyone who asks."""
        from ._local_model import LocalModel  # noqa: PLC0415 - as above

        folder = self._found()
        with self._starting:
            if self._failure:
                raise FatalError(self._failure)
            if self._model is None or self._batches is None:
                try:
                    self._model = LocalModel(folder, self._options)
                except LvlmAdError as error:
                    self._failure = str(error)
                    raise FatalError(self._failure) from error
                self._batches = Batches(self._model.prepare, self._model.generate, length=_length, size=self._size)
            return self._model, self._batches


def _length(request: Request) -> float:
    """Estimate how long a question is in tokens: few letters each, and about a thousandth of the pixels."""
    sizes = [picture.size or (0, 0) for picture in request.images]
    return len(request.text) / 4 + sum(width * height for width, height in sizes) / 1000
