"""Options of a model in this process."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from lvlm_ad.backend import BackendOptions, Transport


class TransformersOptions(BackendOptions):
    """Options of a model in this process.

    Example:
        >>> TransformersOptions(model="Qwen/Qwen2.5-VL-7B-Instruct").max_tokens
        512
    """

    of_model: ClassVar[tuple[str, ...]] = ("parameters", "revision")

    model: Annotated[str, Field(min_length=1)]
    """The model's name on the Hugging Face hub, or its folder."""
    revision: str | None = None
    """A branch, tag or commit on the hub."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (all GPUs, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Data type of the weights; auto: bfloat16 on a GPU, float32 on a CPU."""
    attention: Annotated[str, Transport] = "auto"
    """Implementation of attention: auto (flash_attention_2 if installed, else sdpa), sdpa, eager."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Bits per weight, through bitsandbytes, on a CUDA GPU."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens of an answer."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the most likely token."""
    seed: int = 0
    """Sampling seed; has no effect with temperature 0."""
    constrain: bool = False
    """Force every answer into its format, through xgrammar; for prompts that ask for nothing but the format.
    Answers of methods without a fixed format, such as boxes, stay free."""
    batch_size: Annotated[int | Literal["auto"], Transport] = "auto"
    """Questions answered together; auto grows until the GPU's memory is used well."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Arguments for loading the model's processor, such as max_pixels."""
    chat: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the model's chat template, such as enable_thinking."""
    keep_special_tokens: bool | None = None
    """Keep the model's special tokens in the answer, such as those around a place; only the end of its turn is removed.
    Default: no."""
    trust_remote_code: bool = False
    """Run the code that comes with the model."""
    parameters: Annotated[float | None, Transport] = None
    """Number of its parameters, in billions; used to check before the download whether it fits."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        if value == "auto" or (str(value).isdecimal() and int(value) >= 1):
            return value
        raise ValueError("it must be auto or a number from 1")
