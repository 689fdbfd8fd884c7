"""CLIP-AD (Chen et al., arXiv 2311.00453): a staged dual path through CLIP; untrained (SDP) or with heads (SDP+)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .clip import ClipAdOptions, ClipBaseline

if TYPE_CHECKING:
    from lvlm_ad.baseline import BaselineOptions

    from .clip.dual_path import DualPathMethod
    from .clip.model import Clip
    from .clip.prompts import Prototypes

__all__ = ["ClipAd", "ClipAdOptions"]


class ClipAd(ClipBaseline):
    """Scores patches by comparing their value-value attention with words for states."""

    Options: ClassVar[type[BaselineOptions]] = ClipAdOptions
    needed: ClassVar[tuple[str, ...]] = ("torch", "open_clip", "sklearn")

    def __init__(self, options: ClipAdOptions) -> None:
        super().__init__(options)
        self._own_options = options
        if options.image_score == "category":
            self.notes = (*self.notes, "an image's score depends on the other test images of its category")
        if options.heads is not None:
            self.notes = (*self.notes, f"SDP+ with the heads {options.heads.name}")

    def identity(self) -> dict[str, Any]:
        """Identify the heads by their content.

        Raises:
            ConfigError: weights or heads are not available.
        """
        options = self._own_options
        named = {name: value for name, value in super().identity().items() if name != "heads"}
        method: Any = self.method
        heads = {"heads": method.heads_hash} if options.heads is not None else {}
        return {**named, **heads, "alias": options.alias if options.alias is not None else bool(heads)}

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> list[float]:
        """Stretch the text's and the map's scores to 0..1 over the images, and average them.

        If all images have the same score, the stretched score is 0 for all; upstream divides by zero there.
        """
        stretched = []
        for values in np.asarray(parts, dtype=np.float64).T:
            low, high = values.min(), values.max()
            stretched.append((values - low) / (high - low) if high > low else np.zeros_like(values))
        return [float(score) for score in np.mean(stretched, axis=0)]

    def make(self, clip: Clip, prototypes: Prototypes) -> DualPathMethod:
        """Build the method."""
        from .clip.dual_path import DualPathMethod  # noqa: PLC0415 - imports torch

        return DualPathMethod(clip, prototypes, self._own_options)
