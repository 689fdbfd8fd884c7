"""Options of a model that vLLM serves on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lvlm_ad.backend import Transport
from lvlm_ad.backend.local import AutoOrNumber, LocalOptions

_OURS = ("--host", "--port", "--api-key", "--uds")
"""Arguments that only lvlm-ad sets, so that the server answers nobody but this process."""


class VllmOptions(LocalOptions):
    """Options of a model that vLLM serves on this machine.

    Example:
        >>> VllmOptions(model="Qwen/Qwen3-VL-8B-Instruct").gpus
        'auto'
    """

    vllm: Annotated[Path | None, Transport] = None
    """The environment that holds vLLM: its folder, its Python or its program vllm. Default: the program beside this
    Python, else on the PATH."""
    quantize: Literal["none", "fp8", "4bit"] = "none"
    """Weights made smaller while they are loaded, on a GPU: 8-bit floats, or 4 bits through bitsandbytes."""
    gpus: Annotated[AutoOrNumber, Transport] = "auto"
    """GPUs that share the model; auto: the largest power of two that does not exceed their number and divides the
    attention heads."""
    gpu_memory: Annotated[float, Field(gt=0, le=1), Transport] = 0.9
    """Fraction of each GPU's memory that vLLM takes; lower it if another program uses the GPU."""
    max_model_len: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a question and its answer together. Default: what the model allows and the memory holds."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Alternatives per token whose log-probabilities every answer brings. Default: 20 where the question needs them."""
    arguments: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``, such as ["--hf-overrides", "{...}"]."""
    timeout: Annotated[float, Field(gt=0), Transport] = 3600.0
    """Seconds to wait for an answer, including the time in which the question waits for others."""

    @field_validator("vllm", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        """An empty path would be the current folder, whose program nobody meant to run."""
        if value == "":
            raise ValueError("it is empty; name the folder of the environment that holds vLLM")
        return value

    @field_validator("arguments")
    @classmethod
    def _leave_the_address(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if ours := next((one for one in value if one.partition("=")[0] in _OURS), None):
            raise ValueError(f"{ours.partition('=')[0]} is set by lvlm-ad: nobody else may ask the server")
        return value
