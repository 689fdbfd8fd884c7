"""Finds the weights of a CLIP model, and says which file is wanted where they cannot be had."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch

from lvlm_ad.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RANDOM", "loaded"]

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
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(0)
            return open_clip.create_model(model, pretrained=None)
    tags = open_clip.list_pretrained_tags_by_model(model)
    file = Path(pretrained).expanduser()
    if pretrained not in tags and not file.is_file():
        raise ConfigError(
            f"There are no weights {pretrained!r} for {model}: no such file, and open_clip has "
            f"{', '.join(tags) or 'none'}."
        )
    try:
        with _quiet():
            return open_clip.create_model(model, pretrained=pretrained if pretrained in tags else str(file))
    except Exception as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        if "Failed to download" in why:
            raise ConfigError(_wanted(model, pretrained)) from error
        raise ConfigError(f"{pretrained} holds no weights of {model} that can be loaded ({why}).") from error


def _wanted(model: str, tag: str) -> str:
    """Say which file is wanted and where to put it."""
    config = open_clip.get_pretrained_cfg(model, tag)
    place = config.get("hf_hub", "").rstrip("/")
    places = [*([f"https://huggingface.co/{place}"] if place else []), *filter(None, [config.get("url")])]
    return (
        f"The weights {tag} of {model} are not on this machine and cannot be fetched. Fetch them where there is a "
        f"network from {' or '.join(places)}, and give the file with --set pretrained=FILE."
    )


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
