"""CLIP-AD (Chen et al., arXiv 2311.00453): a staged dual path through CLIP; untrained (SDP) or with heads (SDP+)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ._clip_baseline import ClipBaseline, ClipOptions

if TYPE_CHECKING:
    from lvlm_ad.baseline import BaselineOptions

    from ._clip_ad import DualPathMethod

__all__ = ["ClipAd", "ClipAdOptions"]


class ClipAdOptions(ClipOptions):
    """Options of CLIP-AD."""

    representative: Literal["dbscan", "mean"] = "dbscan"
    """Which vector stands for the prompts of a state: the mean of their largest cluster, or of all."""
    eps: Annotated[float, Field(gt=0, le=2)] = 0.5
    """dbscan: how near two unit vectors are neighbours. Published: 0.5, for VisA 1.5."""
    min_samples: Annotated[int, Field(ge=1)] = 15
    """dbscan: neighbours of a core, itself counted. Published: 15, for VisA 25."""
    sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 8.0
    """Of the Gaussian over the map, in pixels of the model's picture. Published: 8, for SDP+ on VisA 2."""
    image_score: Literal["category", "sum", "text", "map"] = "category"
    """category: text's and map's scores, each stretched to 0..1 over the test images of the category, then added, as
    published. sum: both on a fixed scale. text, map: one of them."""
    heads: Path | None = None
    """SDP+: the file of trained heads."""
    alias: bool | None = None
    """Whether the kept class tokens hold the attention of the block behind them, as in the released code; None: with
    heads only, which were trained so."""


class ClipAd(ClipBaseline):
    """Scores patches by how their value-value attention agrees with words for states."""

    Options: ClassVar[type[BaselineOptions]] = ClipAdOptions

    def __init__(self, options: ClipAdOptions) -> None:
        super().__init__(options)
        self._kind = options.image_score
        if self._kind == "category":
            self.notes = (*self.notes, "an image's score depends on the other test images of its category")
        if options.heads is not None:
            self.notes = (*self.notes, f"SDP+ with the heads {options.heads.name}")

    def identity(self) -> dict[str, Any]:
        """Name the heads by their content.

        Raises:
            ConfigError: weights or heads cannot be had.
        """
        options = self._clip_ad
        named = {name: value for name, value in super().identity().items() if name != "heads"}
        heads = {"heads": self._dual_path.heads_hash} if options.heads is not None else {}
        return {**named, **heads, "alias": options.alias if options.alias is not None else bool(heads)}

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> list[float]:
        """Stretch both scores to 0..1 over the images and add them; halved, so that the sum is in 0..1 too.

        Where all images have the same score it is 0 for all: upstream divides by zero there.
        """
        stretched = []
        for values in np.asarray(parts, dtype=np.float64).T:
            low, high = values.min(), values.max()
            stretched.append((values - low) / (high - low) if high > low else np.zeros_like(values))
        return [float(score) for score in np.mean(stretched, axis=0)]

    def make(self) -> DualPathMethod:
        """Build what scores."""
        from ._clip_ad import DualPathMethod  # noqa: PLC0415 - it imports torch

        return DualPathMethod(self.clip, self.prototypes, self._clip_ad)

    @property
    def _dual_path(self) -> DualPathMethod:
        from ._clip_ad import DualPathMethod  # noqa: PLC0415 - it imports torch

        method = self.method
        assert isinstance(method, DualPathMethod)  # noqa: S101 - narrows the type; make() fixes it
        return method

    @property
    def _clip_ad(self) -> ClipAdOptions:
        assert isinstance(self.options, ClipAdOptions)  # noqa: S101 - narrows the type; Options fixes it
        return self.options
