"""Prompts for the states of an object, and one vector for all prompts of a state; vectors are cached on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lvlm_ad.files import write_file

if TYPE_CHECKING:
    from .model import Clip

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
"""The 22 templates of the compositional prompt ensemble (Jeong et al., CVPR 2023), as the authors of CLIP-AD and InCTRL
released them."""

NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
"""WinCLIP's words for states; ``{}`` is the class (Jeong et al., section 3.2)."""

_VERSION = 1
"""To be raised when the same prompts give other vectors."""

Choose = Callable[[torch.Tensor], torch.Tensor]
"""From the embeddings of many prompts, float32 ``(P, D)``, to one vector ``(D,)``; neither needs length 1."""


def ensemble(states: Sequence[str], name: str, templates: Sequence[str] = TEMPLATES) -> tuple[str, ...]:
    """Return every state in every template, state by state."""
    return tuple(template.format(state.format(name)) for state in states for template in templates)


def mean(vectors: torch.Tensor) -> torch.Tensor:
    """Average the unit vectors."""
    return torch.nn.functional.normalize(vectors, dim=-1).mean(dim=0)


def raw_mean(vectors: torch.Tensor) -> torch.Tensor:
    """Average the vectors without normalising them: long ones count more."""
    return vectors.mean(dim=0)


class Prototypes:
    """Unit vectors that represent many prompts, computed once for all runs on this machine.

    A cache file's name is the hash of the weights, the prompts and the way they are combined.

    Args:
        clip: encodes the prompts.
        folder: the cache; it may be read-only.
    """

    def __init__(self, clip: Clip, folder: Path) -> None:
        self._clip = clip
        self._folder = folder
        self._known: dict[str, torch.Tensor] = {}

    def get(self, prompts: tuple[str, ...], choose: Choose, name: str) -> torch.Tensor:
        """Return the vector, float32 ``(D,)``, of length 1, on the model's device.

        Args:
            prompts: the texts.
            choose: combines their embeddings.
            name: name of ``choose`` and its options; part of the file's name.
        """
        facts = [_VERSION, self._clip.weights_hash, name, prompts]
        key = hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()
        if key not in self._known:
            vector = self._read(key)
            if vector is None:
                vector = torch.nn.functional.normalize(choose(self._clip.texts(prompts)), dim=-1)
                self._write(key, vector)
            self._known[key] = vector.to(self._clip.device)
        return self._known[key]

    def _read(self, key: str) -> torch.Tensor | None:
        """Return the cached vector; None if there is none, or the file is damaged."""
        try:
            return torch.from_numpy(np.load(self._folder / f"{key}.npy", allow_pickle=False))
        except (OSError, ValueError, EOFError):
            return None

    def _write(self, key: str, vector: torch.Tensor) -> None:
        """Cache a vector; if that fails, the next run computes it again."""
        buffer = BytesIO()
        np.save(buffer, vector.cpu().numpy(), allow_pickle=False)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(self._folder / f"{key}.npy", buffer.getvalue())
