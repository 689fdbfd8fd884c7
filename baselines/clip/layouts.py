"""CLIP weights in layouts other than open_clip's: that of transformers, and checkpoints of training programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    State = Mapping[str, torch.Tensor]

FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin")
"""The names of weights in a model's folder, in order of preference."""

_ANCHORS = ("visual.class_embedding", "vision_model.embeddings.class_embedding")
"""A tensor of every CLIP vision transformer, as open_clip and transformers name it; a prefix may come before it."""

_LEVELS = 3
"""How many dictionaries of a checkpoint may enclose the weights."""

_NAMES = (
    (r"^(text_model|vision_model)\.encoder\.layers\.", r"\1.transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.", "visual."),
    (r"^text_model\.", ""),
)
"""Names in transformers' CLIPModel -> names in open_clip."""


def open_layout(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Read weights in another layout than open_clip's.

    Args:
        file: the weights, safetensors or pickled; only tensors are read.

    Returns:
        The weights under open_clip's names, and what ``config.json`` and ``preprocessor_config.json`` beside them say:
        "quick_gelu", "heads", "mean", "std" as far as known. None if open_clip reads the file itself.

    Raises:
        ConfigError: the file holds several models, or weights of transformers without their ``config.json``.
    """
    try:
        content = _read(file)
    except Exception:  # noqa: BLE001 - open_clip reads the file or reports what is wrong
        return None
    state, path = content, ""
    while isinstance(state, Mapping) and not _prefixes(state):
        inner = [name for name, value in state.items() if isinstance(value, Mapping) and _holds_clip(value)]
        if not inner:
            return None
        _only(file, inner)
        path, state = f"{path}{inner[0]}/", state[inner[0]]
    prefix = _only(file, _prefixes(state))
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    is_transformers = _ANCHORS[1] in weights
    if not is_transformers and path in {"", "state_dict/"} and prefix in {"", "module."}:
        return None
    return (_renamed(weights), _facts(file)) if is_transformers else (weights, {})


def _read(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file  # noqa: PLC0415 - comes with the extra

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


def _holds_clip(content: Mapping[Any, Any], levels: int = _LEVELS) -> bool:
    inner = [one for one in content.values() if isinstance(one, Mapping)] if levels else []
    return bool(_prefixes(content)) or any(_holds_clip(one, levels - 1) for one in inner)


def _prefixes(content: Mapping[Any, Any]) -> list[str]:
    """Return the prefixes of the anchor in the names of tensors, one for each model."""
    names = [name for name, value in content.items() if isinstance(name, str) and isinstance(value, torch.Tensor)]
    return sorted({name.removesuffix(anchor) for name in names for anchor in _ANCHORS if name.endswith(anchor)})


def _only(file: Path, names: list[str]) -> str:
    if len(names) > 1:
        raise ConfigError(
            f"{file} holds several models ({', '.join(repr(name) for name in names[:4])}); save the one to measure "
            "in a file of its own."
        )
    return names[0]


def _renamed(state: State) -> dict[str, torch.Tensor]:
    """Rename the weights of transformers' CLIPModel; queries, keys and values become one matrix."""
    renamed: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        attention = re.fullmatch(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)", name)
        if name.endswith(".position_ids") or (attention and attention[2] != "q"):
            continue
        if attention:
            before, _, kind = attention.groups()
            parts = [state[f"{before}.self_attn.{one}_proj.{kind}"] for one in "qkv"]
            renamed[_renamed_name(f"{before}.attn.in_proj_{kind}")] = torch.cat(parts)
        elif name in {"text_projection.weight", "visual_projection.weight"}:
            key = "text_projection" if name.startswith("text") else "visual.proj"
            renamed[key] = value.T.contiguous()
        else:
            renamed[_renamed_name(name)] = value
    return renamed


def _renamed_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _facts(file: Path) -> dict[str, Any]:
    """Return what the files beside transformers' weights say about them."""
    config = _json(file.with_name("config.json"))
    if config is None:
        raise ConfigError(
            f"{file} holds weights of the transformers library (names such as vision_model.…), and its config.json, "
            "which names the activation function, is missing; put that file beside it, or give the folder with both."
        )
    parts = (config.get(name) for name in ("vision_config", "text_config"))
    vision, text = (part if isinstance(part, dict) else {} for part in parts)
    facts: dict[str, Any] = {
        "quick_gelu": vision.get("hidden_act", "quick_gelu") == "quick_gelu",
        "heads": (vision.get("num_attention_heads", 12), text.get("num_attention_heads", 8)),
    }
    pictures = _json(file.with_name("preprocessor_config.json")) or {}
    return facts | {name: pictures[f"image_{name}"] for name in ("mean", "std") if f"image_{name}" in pictures}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}.") from error
    return content if isinstance(content, dict) else None
