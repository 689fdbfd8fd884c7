"""Finds the weights of a CLIP model, and says which file is wanted where they cannot be had."""

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

__all__ = ["RANDOM", "loaded", "reason", "tokenizer", "told"]

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip's repositories at the hub hold, the better first."""

RANDOM = "random"
"""In the place of weights: a random start, always the same; the scores mean nothing."""


def loaded(model: str, pretrained: str) -> Any:
    """Build a model of open_clip with its weights, on the CPU.

    Args:
        model: the architecture's name in open_clip.
        pretrained: a tag of open_clip, which it fetches unless it did before; a file; or ``RANDOM``. Pickled files are
            read for their tensors alone.

    Raises:
        ConfigError: there is no such model, tag or file; the weights cannot be fetched; or they are of another model.
    """
    names = open_clip.list_models()
    if model not in names:
        raise ConfigError(f"open_clip {open_clip.__version__} has no model {model!r}.{nearest(model, names)}")
    if pretrained == RANDOM:
        with torch.random.fork_rng(devices=[]), _quiet(), told(f"{model} cannot be built"):
            torch.manual_seed(0)
            return open_clip.create_model(model, pretrained=None)
    tags = open_clip.list_pretrained_tags_by_model(model)
    file, looks = Path(pretrained).expanduser(), {}
    if pretrained in tags:
        looks = open_clip.get_pretrained_cfg(model, pretrained)
        file = _fetched(model, pretrained, looks)
    elif not file.is_file():
        raise ConfigError(
            f"There are no weights {pretrained!r} for {model}: no such file, and open_clip has "
            f"{', '.join(tags) or 'none'}."
        )
    with _quiet(), told(f"{file} holds no weights of {model} that can be loaded"):
        return open_clip.create_model(
            model,
            pretrained=str(file),
            force_preprocess_cfg={name: looks[name] for name in ("mean", "std") if name in looks},
            force_quick_gelu=bool(looks.get("quick_gelu", False)),
        )


def tokenizer(model: str) -> Any:
    """Return what turns texts into the model's tokens.

    Raises:
        ConfigError: it cannot be had; those of some models come from the hub.
    """
    with _quiet(), told(f"The tokenizer of {model} cannot be had"):
        return open_clip.get_tokenizer(model)


def _fetched(model: str, tag: str, config: dict[str, Any]) -> Path:
    """Return the file of a tag, fetched from the hub unless it was before.

    Raises:
        ConfigError: it cannot be had; the message says which file is wanted and how to give it.
    """
    repository = str(config.get("hf_hub", "")).rstrip("/")
    if not repository:
        raise ConfigError(
            f"The weights {tag} of {model} are not at the hub; give their file with --set pretrained=FILE."
        )
    otherwise = f"give the file of {tag} with --set pretrained=FILE"
    if config.get("quick_gelu") and f"{model}-quickgelu" in open_clip.list_models():
        # The activation is no part of the file.
        otherwise += f" --set model={model}-quickgelu"
    if config.get("url"):
        otherwise += f"; it is also at {config['url']}"
    others = [other for other in open_clip.list_pretrained_tags_by_model(model) if other != tag]
    if any(repository.endswith(f".{other}") for other in others):
        # open_clip 3.3.0 fetches epoch 31 of ViT-B-16-plus-240 for epoch 32 without a word.
        raise ConfigError(f"open_clip {open_clip.__version__} would fetch {repository} for {tag}; {otherwise}.")
    for name in _FILES:
        file = from_hub(repository, [name], otherwise=otherwise, extra="clip") / name
        if file.is_file():
            return file
    raise ConfigError(f"{repository} holds neither {' nor '.join(_FILES)}; {otherwise}.")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn whatever open_clip and those whom it calls raise into one line."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"{what} ({reason(error)}).") from error


def reason(error: Exception) -> str:
    """Say in one line why a file could not be read; what pickle says of others' files helps nobody."""
    text = " ".join(str(error).split())
    if isinstance(error, (pickle.UnpicklingError, KeyError, EOFError, StopIteration)) or not text:
        return "it is damaged, or holds something else than tensors"
    return text[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's own words on what it loads back; what is wrong comes as an exception."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
