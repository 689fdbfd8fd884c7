"""Words for the states of an object, and the vector that stands for all prompts of a state; kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from ._clip import Clip

__all__ = ["TEMPLATES", "Prototypes", "cache_folder", "ensemble", "mean", "raw_mean"]

TEMPLATES = (
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of the {}.",
    "a dark photo of a {}.",
    "a jpeg corrupted photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "a photo of a {} for anomaly detection.",
)
"""The 22 frames of the compositional prompt ensemble (Jeong et al., CVPR 2023), as CLIP-AD's and InCTRL's authors
released them."""

_VERSION = 1
"""Raised when the same prompts give other vectors."""

Choose = Callable[[torch.Tensor], torch.Tensor]
"""From the raw embeddings of many prompts, float32 ``(P, D)``, to one vector ``(D,)`` of any length."""


def ensemble(states: Sequence[str], name: str, templates: Sequence[str] = TEMPLATES) -> tuple[str, ...]:
    """Return every state of a thing in every template, states outside."""
    return tuple(template.format(state.format(name)) for state in states for template in templates)


def mean(vectors: torch.Tensor) -> torch.Tensor:
    """Average the unit vectors."""
    return torch.nn.functional.normalize(vectors, dim=-1).mean(dim=0)


def raw_mean(vectors: torch.Tensor) -> torch.Tensor:
    """Average the vectors as they are: long ones count more."""
    return vectors.mean(dim=0)


def cache_folder() -> Path:
    """Return where vectors are kept unless the user says otherwise: ``lvlm-ad/clip-text`` in the user's cache."""
    return user_cache() / "clip-text"


class Prototypes:
    """Unit vectors that stand for many prompts; each is computed once for all runs on this machine.

    A file's name is the hash of the weights, the prompts and how they become one, so that no other vector is ever read.

    Args:
        clip: encodes the prompts.
        folder: where the vectors are kept; it need not be writable.
    """

    def __init__(self, clip: Clip, folder: Path) -> None:
        self._clip = clip
        self._folder = folder
        self._known: dict[str, torch.Tensor] = {}

    def get(self, prompts: tuple[str, ...], choose: Choose, name: str) -> torch.Tensor:
        """Return the vector, float32 ``(D,)``, of length 1, on the model's device.

        Args:
            prompts: what it stands for.
            choose: makes one vector of many.
            name: of ``choose`` and its options; part of the key.
        """
        facts = [_VERSION, self._clip.weights_hash, name, prompts]
        key = hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()
        if key not in self._known:
            found = self._read(key)
            if found is None:
                found = torch.nn.functional.normalize(choose(self._clip.texts(prompts)), dim=-1)
                self._write(key, found)
            self._known[key] = found.to(self._clip.device)
        return self._known[key]

    def _read(self, key: str) -> torch.Tensor | None:
        """Return what is kept, None if there is nothing or something else."""
        try:
            values = np.load(self._folder / f"{key}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = values.dtype == np.float32 and values.ndim == 1 and abs(float(np.linalg.norm(values)) - 1) < 1e-3  # noqa: PLR2004
        return torch.from_numpy(values) if whole else None

    def _write(self, key: str, vector: torch.Tensor) -> None:
        """Keep a vector; where that cannot be, it is computed again next time."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                np.save(file, vector.cpu().numpy(), allow_pickle=False)
            Path(temporary).replace(self._folder / f"{key}.npy")
