"""Loads the weights of a CLIP model; messages name the missing file."""

from __future__ import annotations

import logging
import pickle
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.weights import from_hub

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RANDOM", "load_clip", "load_tokenizer", "one_line", "reason"]

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names in open_clip's repositories at the hub, in order of preference."""

RANDOM = "random"
"""Instead of weights: random values, always the same; the scores mean nothing."""


def load_clip(model: str, pretrained: str) -> Any:
    """Load a model of open_clip with its weights, on the CPU.

    Args:
        model: the architecture's name in open_clip.
        pretrained: a tag of open_clip, whose file is downloaded once; a file; or ``RANDOM``. Of pickled files only the
            tensors are read.

    Raises:
        ConfigError: there is no such model, tag or file; the download fails; or the weights belong to another model.
    """
    names = open_clip.list_models()
    if model not in names:
        raise ConfigError(f"open_clip {open_clip.__version__} has no model {model!r}.{nearest(model, names)}")
    if pretrained == RANDOM:
        with torch.random.fork_rng(devices=[]), _quiet(), one_line(f"{model} cannot be built"):
            torch.manual_seed(0)
            return open_clip.create_model(model, pretrained=None)
    tags = open_clip.list_pretrained_tags_by_model(model)
    file, config = Path(pretrained).expanduser(), {}
    if pretrained in tags:
        config = open_clip.get_pretrained_cfg(model, pretrained)
        file = _download(model, pretrained, config)
    elif not file.is_file():
        raise ConfigError(
            f"There are no weights {pretrained!r} for {model}: no such file, and open_clip has "
            f"{', '.join(tags) or 'none'}."
        )
    with _quiet(), one_line(f"{file} holds no weights of {model} that can be loaded"):
        return open_clip.create_model(
            model,
            pretrained=str(file),
            force_preprocess_cfg={name: config[name] for name in ("mean", "std") if name in config},
            force_quick_gelu=bool(config.get("quick_gelu", False)),
        )


def load_tokenizer(model: str) -> Any:
    """Load the model's tokenizer.

    Raises:
        ConfigError: it is not available; some must be downloaded from the hub.
    """
    with _quiet(), one_line(f"The tokenizer of {model} cannot be loaded"):
        return open_clip.get_tokenizer(model)


def _download(model: str, tag: str, config: dict[str, Any]) -> Path:
    """Return the file of a tag, downloaded from the hub once.

    Raises:
        ConfigError: it is not available; the message names the file and how to give it.
    """
    repository = str(config.get("hf_hub", "")).rstrip("/")
    if not repository:
        raise ConfigError(
            f"The weights {tag} of {model} are not at the hub; give their file with --set pretrained=FILE."
        )
    otherwise = f"give the file of {tag} with --set pretrained=FILE"
    if config.get("quick_gelu") and f"{model}-quickgelu" in open_clip.list_models():
        # The file does not tell the activation.
        otherwise += f" --set model={model}-quickgelu"
    if config.get("url"):
        otherwise += f"; it is also at {config['url']}"
    others = [other for other in open_clip.list_pretrained_tags_by_model(model) if other != tag]
    if any(repository.endswith(f".{other}") for other in others):
        # open_clip 3.3.0 silently loads epoch 31 of ViT-B-16-plus-240 instead of epoch 32.
        raise ConfigError(f"open_clip {open_clip.__version__} would load {repository} for {tag}; {otherwise}.")
    for name in _FILES:
        file = from_hub(repository, [name], otherwise=otherwise, extra="clip") / name
        if file.is_file():
            return file
    raise ConfigError(f"{repository} holds neither {' nor '.join(_FILES)}; {otherwise}.")


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn any exception of open_clip and its dependencies into one line."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"{what} ({reason(error)}).") from error


def reason(error: Exception) -> str:
    """Explain in one line why a file cannot be read; pickle's own messages explain nothing."""
    text = " ".join(str(error).split())
    if isinstance(error, (pickle.UnpicklingError, KeyError, EOFError, StopIteration)) or not text:
        return "it is damaged, or holds other things than tensors"
    return text[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log messages and warnings of open_clip; problems raise an exception anyway."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
