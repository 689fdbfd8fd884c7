"""CLIP-AC at work: one embedding a picture, compared with two texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from lvlm_ad.baseline import DenseScores

from . import _winclip
from ._clip_baseline import Squares, WholePictures
from ._prompts import TEMPLATES, ensemble, mean

if TYPE_CHECKING:
    from ._clip import Clip
    from ._prompts import Prototypes

__all__ = ["TextOnly"]

_PROMPTS: dict[str, list[tuple[Sequence[str], Sequence[str]]]] = {
    "plain": [(("normal {}",), ("a photo of a {}.",)), (("anomalous {}",), ("a photo of an {}.",))],
    "templates": [(("normal {}",), TEMPLATES), (("anomalous {}",), TEMPLATES)],
    "winclip": [(_winclip.NORMAL, TEMPLATES), (_winclip.ANOMALOUS, TEMPLATES)],
}
"""States and templates of normal and anomalous."""


class TextOnly(WholePictures):
    """Scores pictures by text alone.

    Args:
        clip: the model.
        prototypes: the vectors of prompts.
        prompts: "plain", "templates" or "winclip".
    """

    def __init__(self, clip: Clip, prototypes: Prototypes, prompts: str) -> None:
        super().__init__(clip)
        self._prototypes, self._prompts = prototypes, _PROMPTS[prompts]

    def scored(self, prepared: Squares) -> list[DenseScores]:
        """Score a batch; maps are 0."""
        clip = self._clip
        images = clip.classes(clip.tokens(clip.pictures(prepared.pixels)))
        text = torch.stack([self.text(view.category) for view in prepared.views])
        scores = (images[:, None] @ text.transpose(-1, -2) / clip.temperature).softmax(dim=-1)[:, 0, 1]
        # Rounding may go beyond 1 by a last digit. The order matters: a score that is no number must stay so.
        return [
            DenseScores(min(float(score), 1.0), np.zeros(view.image.shape[:2], np.float32))
            for view, score in zip(prepared.views, scores, strict=True)
        ]

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and anomalous, float32 ``(2, D)``."""
        name = category.replace("_", " ")
        groups = [ensemble(states, name, templates) for states, templates in self._prompts]
        return torch.stack([self._prototypes.get(prompts, mean, mean.__name__) for prompts in groups])
