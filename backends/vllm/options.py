"""Options of a model that vLLM serves on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from lvlm_ad.backend import BackendOptions, Transport

_OURS = ("--host", "--port", "--api-key", "--uds")
"""Where the server listens and whom it answers: nobody but this process."""


class VllmOptions(BackendOptions):
    """Options of a model that vLLM serves on this machine; those of the transformers backend mean the same here.

    Example:
        >>> VllmOptions(model="Qwen/Qwen3-VL-8B-Instruct").max_tokens
        512
    """

    of_model: ClassVar[tuple[str, ...]] = ("parameters", "revision")

    model: Annotated[str, Field(min_length=1)]
    """The model's name on the Hugging Face hub, or its folder."""
    revision: str | None = None
    """A branch, tag or commit on the hub."""
    vllm: Annotated[Path | None, Transport] = None
    """The program vllm of the environment that holds vLLM. Default: beside this Python, else on the PATH."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Data type of the weights; auto: bfloat16 on a GPU, float32 on a CPU."""
    quantize: Literal["none", "fp8", "4bit"] = "none"
    """Weights made smaller while they are loaded, on a GPU: 8-bit floats, or 4 bits through bitsandbytes."""
    gpus: Annotated[int | Literal["auto"], Transport] = "auto"
    """GPUs that share the model; auto: a power of two, as many as there are and as divide its attention heads."""
    gpu_memory: Annotated[float, Field(gt=0, le=1), Transport] = 0.9
    """Fraction of each GPU's memory that vLLM takes; lower it if another program uses the GPU."""
    max_model_len: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a question and its answer together. Default: what the model allows and the memory holds."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens of an answer."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the most likely token."""
    seed: int = 0
    """Sampling seed; has no effect with temperature 0."""
    constrain: bool = False
    """Force every answer into its format; for prompts that ask for nothing but the format.
    Answers of methods without a fixed format, such as boxes, stay free."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Alternatives per token whose log-probabilities every answer brings. Default: 20 where the question needs them."""
    batch_size: Annotated[int | Literal["auto"], Transport] = "auto"
    """Questions answered together; auto: as many as vLLM finds room for."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the model's processor, such as max_pixels."""
    chat: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the model's chat template, such as enable_thinking."""
    keep_special_tokens: bool | None = None
    """Keep the model's special tokens in the answer, such as those around a place; only the end of its turn is removed.
    Default: no."""
    trust_remote_code: bool = False
    """Run the code that comes with the model."""
    arguments: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``, such as ["--hf-overrides", "{...}"]."""
    parameters: Annotated[float | None, Transport] = None
    """Number of its parameters, in billions; used to check before the download whether it fits."""
    timeout: Annotated[float, Field(gt=0), Transport] = 3600.0
    """Seconds to wait for an answer, including the time in which the question waits for others."""

    @field_validator("gpus", "batch_size", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        if value == "auto" or (str(value).isdecimal() and int(value) >= 1):
            return value
        raise ValueError("it must be auto or a number from 1")

    @field_validator("arguments")
    @classmethod
    def _leave_the_address(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if ours := next((one for one in value if one.partition("=")[0] in _OURS), None):
            raise ValueError(f"{ours.partition('=')[0]} is set by lvlm-ad: nobody else may ask the server")
        return value
