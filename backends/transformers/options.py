"""Options of a model in this process."""

from __future__ import annotations

from typing import Annotated, Literal

from lvlm_ad.backend import Transport
from lvlm_ad.backend.local import LocalOptions


class TransformersOptions(LocalOptions):
    """Options of a model in this process.

    Example:
        >>> TransformersOptions(model="Qwen/Qwen2.5-VL-7B-Instruct").device
        'auto'
    """

    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (all GPUs, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    attention: Annotated[str, Transport] = "auto"
    """Implementation of attention: auto (flash_attention_2 if installed, else sdpa), sdpa, eager."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Bits per weight, through bitsandbytes, on a CUDA GPU."""
