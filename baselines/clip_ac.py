"""CLIP-AC (Jeong et al., CVPR 2023): plain CLIP, asked whether a picture is normal or anomalous; it locates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lvlm_ad.baseline import DenseScores

from .clip import ClipAcOptions, ClipBaseline, Squares, WholePictures

if TYPE_CHECKING:
    import torch

    from lvlm_ad.baseline import BaselineOptions, Row

    from .clip.model import Clip
    from .clip.prompts import Prototypes

__all__ = ["ClipAc", "ClipAcOptions"]


class ClipAc(ClipBaseline):
    """Scores a picture by text alone; its map is empty."""

    Options: ClassVar[type[BaselineOptions]] = ClipAcOptions
    rows: ClassVar[tuple[Row, ...]] = ("regions",)

    def __init__(self, options: ClipAcOptions) -> None:
        super().__init__(options)
        self._prompts = options.prompts
        self.notes = (*self.notes, "scores whole images and locates nothing")

    def make(self, clip: Clip, prototypes: Prototypes) -> TextOnly:
        """Build the method."""
        return TextOnly(clip, prototypes, self._prompts)


class TextOnly(WholePictures):
    """Compares a picture's embedding with two texts; ``prompts`` is the option of this name."""

    def __init__(self, clip: Clip, prototypes: Prototypes, prompts: str) -> None:
        super().__init__(clip, prototypes)
        self._prompts = prompts

    def score(self, prepared: Squares) -> list[DenseScores]:
        """Score a batch; maps are 0."""
        import torch  # noqa: PLC0415 - takes seconds

        clip, (views, pixels) = self._clip, prepared
        images = clip.classes(clip.tokens(clip.pictures(pixels)))
        text = torch.stack([self.text(view.category) for view in views])
        scores = (images[:, None] @ text.transpose(-1, -2) / clip.temperature).softmax(dim=-1)[:, 0, 1]
        # Rounding may exceed 1 by a last digit. min(NaN, 1) is NaN, in this order only, and must stay NaN.
        return [
            DenseScores(min(float(score), 1.0), np.zeros(view.size, np.float32))
            for view, score in zip(views, scores, strict=True)
        ]

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and anomalous, float32 ``(2, D)``."""
        import torch  # noqa: PLC0415 - as above

        from .clip.prompts import ANOMALOUS, NORMAL, TEMPLATES, ensemble, mean  # noqa: PLC0415 - imports torch

        normal, anomalous = {
            "plain": ((("normal {}",), ("a photo of a {}.",)), (("anomalous {}",), ("a photo of an {}.",))),
            "templates": ((("normal {}",), TEMPLATES), (("anomalous {}",), TEMPLATES)),
            "winclip": ((NORMAL, TEMPLATES), (ANOMALOUS, TEMPLATES)),
        }[self._prompts]
        name = category.replace("_", " ")
        prompts = [ensemble(states, name, templates) for states, templates in (normal, anomalous)]
        return torch.stack([self._prototypes.get(each, mean, mean.__name__) for each in prompts])
