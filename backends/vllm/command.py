"""The command that serves a model with vLLM, and the check that vLLM can serve the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .installation import Installation
    from .options import VllmOptions

__all__ = ["check_model", "model_config", "serve_command", "tensor_parallel"]

_BOTH_WAYS = ("bagel", "gemma3", "molmo2", "moondream3", "paligemma")
"""Models whose picture tokens attend to each other in both directions, by model_type: vLLM 0.32,
transformers_utils/model_arch_config_convertor.py, is_mm_prefix_lm."""
_GRAMMAR = {"backend": "xgrammar", "disable_any_whitespace": True}
"""JSON allows blanks between any two tokens, and a model may write blanks without end."""


def model_config(folder: Path) -> dict[str, Any]:
    """Read a model's config.json.

    Raises:
        ConfigError: it is not a JSON object.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration of {folder} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{folder / 'config.json'} is not a JSON object.")
    return config


def check_model(config: Mapping[str, Any], options: VllmOptions, vllm: Installation) -> None:
    """Check that vLLM serves a model as its makers mean it; vLLM itself would say so late or never.

    Raises:
        ConfigError: vLLM does not know its architecture, or lacks its kind of attention on this device.
    """
    if vllm.on_cpu and _attends_both_ways(config):
        raise ConfigError(
            f"vLLM {vllm.version} on a CPU computes another model than {options.model}: its picture tokens attend to "
            "each other in both directions, and the CPU's attention cannot do that. Set engine=transformers."
        )
    named = [str(one) for one in config.get("architectures") or []]
    if any(one.partition("=")[0] == "--hf-overrides" for one in options.arguments):
        return
    known = vllm.architectures()
    if not set(named) & set(known):
        what = " or ".join(named) or f"the architecture of a {config.get('model_type')}"
        raise ConfigError(
            f"vLLM {vllm.version} does not know {what}, which {options.model} is."
            f"{nearest(named[0], known) if named else ''} Set engine=transformers, or install a newer vLLM."
        )


def _attends_both_ways(config: Mapping[str, Any]) -> bool:
    both_ways = config.get("is_mm_prefix_lm", config.get("model_type") in _BOTH_WAYS)
    text = config.get("text_config")
    # Gemma 4 has both kinds, and the configuration of each model says which.
    return bool(both_ways) or (isinstance(text, dict) and text.get("use_bidirectional_attention") == "vision")


def tensor_parallel(config: Mapping[str, Any], gpus: int) -> int:
    """Return over how many GPUs a model can be distributed: a power of two that divides all of its attention heads.

    vLLM also divides key-value heads, layers and vocabulary, and stops at a number that is none of their divisors;
    powers of two divide them in the models that there are.

    Example:
        >>> tensor_parallel({"text_config": {"num_attention_heads": 28, "num_key_value_heads": 4}}, 8)
        4
    """
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    found = [one.get(name) for one in parts for name in ("num_attention_heads", "num_heads")]
    heads = [number for number in found if isinstance(number, int)]
    return max(count for count in (1, 2, 4, 8, 16) if count <= max(gpus, 1) and not any(one % count for one in heads))


def serve_command(
    folder: Path, name: str, options: VllmOptions, *, program: Path, dtype: str, port: int, gpus: int
) -> Sequence[str]:
    """Return the command that serves a model to this process alone.

    Args:
        folder: the model's files.
        name: what the server calls the model.
        options: the user's.
        program: vLLM's.
        dtype: data type of the weights.
        port: where to listen.
        gpus: GPUs that share the model; 0 on a CPU.
    """
    more: dict[str, Any] = {
        "--dtype": dtype,
        "--max-model-len": options.max_model_len or "auto",
        # The model's own settings, such as a penalty on repetition, would change answers.
        "--generation-config": "vllm",
        "--limit-mm-per-prompt": {"video": 0},
        "--structured-outputs-config": _GRAMMAR,
        "--seed": 0,
        # The files that the model's hash covers, not those in Mistral's own format beside them.
        "--config-format": "hf",
        "--tokenizer-mode": "hf",
    }
    if gpus:
        more |= {"--tensor-parallel-size": gpus, "--gpu-memory-utilization": options.gpu_memory}
    if options.quantize == "4bit":
        more["--quantization"] = "bitsandbytes"
    else:
        # As above: no pickle beside them.
        more["--load-format"] = "safetensors"
        more |= {"--quantization": "fp8"} if options.quantize == "fp8" else {}
    if options.batch_size != "auto":
        more["--max-num-seqs"] = options.batch_size
    if options.processor:
        more["--mm-processor-kwargs"] = options.processor
    if options.chat:
        more["--default-chat-template-kwargs"] = options.chat
    if options.constrain:
        # As the transformers backend records them: after the grammar.
        more["--logprobs-mode"] = "processed_logprobs"
    listed = [text for key, value in more.items() for text in (key, _written(value))]
    if options.trust_remote_code:
        listed.append("--trust-remote-code")
    return [
        *(str(program), "serve", str(folder), "--served-model-name", name),
        *("--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log"),
        *listed,
        *options.arguments,
    ]


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
