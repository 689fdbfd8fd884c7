"""Loads a model: data type, memory, configuration, processor, weights. Every problem becomes one clear line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from lvlm_ad.errors import ConfigError
from lvlm_ad.memory import free_bytes
from lvlm_ad.weights import weights_size

if TYPE_CHECKING:
    from .options import TransformersOptions


def chosen_dtype(wanted: str, device: str) -> str:
    """Return the weights' data type: "auto" is bfloat16 on a GPU (float16 if it has no bfloat16), float32 on a CPU."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "float16" if device == "mps" else "float32"


def free_memory(device: str) -> int | None:
    """Return the free bytes on the device, on all GPUs together for "cuda"; None if unknown."""
    if device == "cuda":
        return sum(int(torch.cuda.mem_get_info(index)[0]) for index in range(torch.cuda.device_count()))
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return free_bytes() if device == "cpu" else None


def stored_parameters(folder: Path, config: Any) -> float:
    """Return about how many parameters the weights in a folder have."""
    stored = getattr(config, "dtype", None)
    bits = torch.finfo(stored).bits if isinstance(stored, torch.dtype) else 16
    return weights_size(folder) * 8 / bits


def checked_config(folder: Path, options: TransformersOptions) -> Any:
    """Read a model's configuration and check that the model answers questions about pictures."""
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=options.trust_remote_code
        )
    except (ValueError, OSError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise _untrusted(folder) from None
        raise ConfigError(
            f"transformers {transformers.__version__} cannot read the configuration of {folder}: {first_line(error)}"
        ) from error
    own_class = options.trust_remote_code and "AutoModelForImageTextToText" in (getattr(config, "auto_map", None) or {})
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES and not own_class:
        raise ConfigError(
            f"{folder} is a {config.model_type}, which transformers {transformers.__version__} does not load as a "
            "model that answers questions about pictures."
        )
    return config


def _untrusted(folder: Path) -> ConfigError:
    return ConfigError(
        f"{folder} needs the code that comes with it. Read that code; if you trust it, set trust_remote_code=true."
    )


def load_model(folder: Path, options: TransformersOptions, device: str) -> tuple[Any, Any]:
    """Load a model with its processor.

    Raises:
        ConfigError: files are missing or damaged, the model needs code of its own, or it does not fit.
    """
    # Its progress bars and advice would interrupt our own output.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    dtype = chosen_dtype(options.dtype, device)
    shared = {"local_files_only": True, "trust_remote_code": options.trust_remote_code}
    processor = _load_processor(folder, options, shared)
    try:
        model, report = transformers.AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation=_attention(options.attention, device),
            quantization_config=_quantization(options.quantize, dtype),
            use_safetensors=True,
            output_loading_info=True,
            # "auto": accelerate distributes the model over all GPUs.
            device_map="auto" if device == "cuda" else device,
            **shared,
        )
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"{folder} does not fit into the memory of {device}: {first_line(error)}") from error
    except Exception as error:
        # Damaged files, a missing package, an unsupported attention: each raises another exception.
        raise ConfigError(f"{folder} cannot be loaded: {first_line(error)}") from error
    if report["missing_keys"]:
        raise ConfigError(
            f"{folder} lacks {len(report['missing_keys'])} of the model's weights, such as "
            f"{min(report['missing_keys'])}; they would be random."
        )
    model.generation_config = _special_tokens(folder, model.generation_config)
    return model.eval(), processor


def _load_processor(folder: Path, options: TransformersOptions, shared: dict[str, Any]) -> Any:
    try:
        processor = transformers.AutoProcessor.from_pretrained(folder, **shared, **options.processor)
    except Exception as error:
        if "trust_remote_code" in str(error) and not options.trust_remote_code:
            raise _untrusted(folder) from None
        raise ConfigError(f"The processor of {folder} cannot be loaded: {first_line(error)}") from error
    if not getattr(processor, "chat_template", None) or not hasattr(processor, "tokenizer"):
        raise ConfigError(f"{folder} holds no chat template, so the format of its questions is unknown.")
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def _special_tokens(folder: Path, own: Any) -> Any:
    """Return the begin, end and padding tokens of a model's generation settings; its other settings change answers."""
    file = folder / "generation_config.json"
    if file.is_file():
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{file} is not JSON: {first_line(error)}") from error
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    return transformers.GenerationConfig(**{name: getattr(own, name, None) for name in names})


def _attention(wanted: str, device: str) -> str | None:
    """Return the implementation of attention; None lets transformers choose, usually sdpa."""
    if wanted != "auto":
        return wanted
    flash = device.startswith("cuda") and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if flash else None


def _quantization(kind: str, dtype: str) -> Any:
    if kind == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(f"quantize={kind} needs bitsandbytes: pip install bitsandbytes.")
    if kind == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, dtype)
    )


def first_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its message."""
    first = next(iter(str(error).strip().splitlines()), "no reason is given")
    if "ignore_mismatched_sizes" in first:
        first = "the shapes of its weights do not match its config.json"
    return f"{type(error).__name__}: {first[:400].rstrip('.')}."
