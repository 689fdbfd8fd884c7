"""WinCLIP at work: from pictures to tiles, windows, scores and maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lvlm_ad.baseline import DenseScores, View

from ._clip_baseline import Method, whole_picture
from ._prompts import TEMPLATES, ensemble, mean, raw_mean
from ._tiles import Tile, squared, stitched, tiles
from ._windows import SCALES, from_references, window_index, window_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._clip import Clip
    from ._prompts import Prototypes
    from .winclip import WinClipOptions

__all__ = ["ANOMALOUS", "NORMAL", "Windows"]

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
"""Words for states, ``{}`` being the class (Jeong et al., section 3.2)."""

_TWICE = "a jpeg corrupted photo of the {}."
_ZQHANG = tuple(
    _TWICE if template == "a jpeg corrupted photo of a {}." else template
    for template in TEMPLATES
    if template != "a cropped photo of a {}."
)
"""The 21 frames of the best known re-implementation (zqhang/Accurate-WinCLIP-pytorch): one lacks, one stands twice."""

_ZQHANG_TEMPERATURE = 0.07

_AT_ONCE = 0.25e9
"""Bytes that the tokens of all windows may take at once."""

_MEMORIES = 2
"""Categories whose references are kept: one ends while the next begins."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """A batch on its way to the model.

    Attributes:
        views: each view, and where its tiles lie in it.
        squares: uint8 ``(T, side, side, 3)``, the pixels of all tiles, view by view.
    """

    views: Sequence[tuple[View, list[Tile]]]
    squares: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Unit vectors, float32.

    Attributes:
        image: ``(T, D)``, the whole tiles.
        windows: side -> ``(T, W, D)``.
        patches: ``(T, grid * grid, width)`` as the last block leaves them, before the norm behind it; ``(T, 0, width)``
            if they are not wanted.
    """

    image: torch.Tensor
    windows: dict[int, torch.Tensor]
    patches: torch.Tensor

    def part(self, start: int, end: int) -> Embedded:
        """Return the vectors of some of the tiles."""
        windows = {side: vectors[start:end] for side, vectors in self.windows.items()}
        return Embedded(self.image[start:end], windows, self.patches[start:end])


class Windows(Method[Pictures]):
    """Scores pictures with windows.

    Args:
        clip: the model.
        prototypes: the vectors of prompts.
        options: variant and temperature.
    """

    def __init__(self, clip: Clip, prototypes: Prototypes, options: WinClipOptions) -> None:
        self._clip, self._prototypes = clip, prototypes
        self._zqhang = options.variant == "zqhang"
        self._temperature = options.temperature or (_ZQHANG_TEMPERATURE if self._zqhang else clip.temperature)
        self._memories: OrderedDict[str, list[Embedded]] = OrderedDict()

    def prepared(self, views: Sequence[View]) -> Pictures:
        """Cut pictures into tiles."""
        cut = [(view, self._tiles(whole_picture(view))) for view in views]
        squares = [squared(whole_picture(view), tile, self._clip.side) for view, parts in cut for tile in parts]
        return Pictures(cut, np.stack(squares))

    def scored(self, prepared: Pictures) -> list[DenseScores]:
        """Score a batch."""
        with_patches = any(view.original_references for view, _ in prepared.views)
        embedded = self.embedded(prepared.squares, with_patches=with_patches)
        found, start = [], 0
        for view, parts in prepared.views:
            found.append(self._one(view, parts, embedded.part(start, start + len(parts))))
            start += len(parts)
        return found

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and anomalous, float32 ``(2, D)``."""
        name, choose = (category, raw_mean) if self._zqhang else (category.replace("_", " "), mean)
        templates = _ZQHANG if self._zqhang else TEMPLATES
        prompts = [ensemble(states, name, templates) for states in (NORMAL, ANOMALOUS)]
        return torch.stack([self._prototypes.get(each, choose, choose.__name__) for each in prompts])

    def embedded(self, squares: NDArray[np.uint8], *, with_patches: bool) -> Embedded:
        """Embed tiles with their windows, a bounded number at once.

        Args:
            squares: uint8 ``(T, side, side, 3)``.
            with_patches: whether the patches are wanted too.
        """
        clip, parts = self._clip, []
        # Around each window's patches all others are dropped, the class token is kept (Jeong et al., section 3.3).
        whole = torch.arange(1 + clip.grid**2, device=clip.device)[None]
        index = [window_index(clip.grid, side).to(clip.device) + 1 for side in SCALES]
        indices = [whole, *(torch.cat([torch.zeros_like(one[:, :1]), one], dim=1) for one in index)]
        # Each window has a copy of its tokens.
        each = sum(one.numel() for one in indices) * clip.width * clip.dtype.itemsize
        step = max(1, int(_AT_ONCE / each))
        for start in range(0, len(squares), step):
            tokens = clip.tokens(clip.pictures(squares[start : start + step]))
            image, *windows = clip.sequences(tokens, indices)
            patches = clip.all_tokens(tokens)[:, 1:] if with_patches else tokens[:, :0]
            unit = torch.nn.functional.normalize(patches.float(), dim=-1)
            parts.append(Embedded(image[:, 0], dict(zip(SCALES, windows, strict=True)), unit))
        return Embedded(
            torch.cat([part.image for part in parts]),
            {side: torch.cat([part.windows[side] for part in parts]) for side in SCALES},
            torch.cat([part.patches for part in parts]),
        )

    def _tiles(self, image: NDArray[np.uint8]) -> list[Tile]:
        height, width = image.shape[:2]
        return [Tile(0, 0, height, width)] if self._zqhang else tiles(height, width)

    def _one(self, view: View, parts: list[Tile], embedded: Embedded) -> DenseScores:
        """Score one view from the vectors of its tiles."""
        grid = self._clip.grid
        found = window_scores(embedded.image, embedded.windows, self.text(view.category), self._temperature, grid)
        scores, maps = found.image, found.map
        if view.original_references:
            memory = self._memory(view)
            # A tile is compared with the same tile of the references, if they are cut into as many.
            kept = memory if len(memory) == len(parts) else [_joined(memory)] * len(parts)
            apart = [embedded.part(at, at + 1) for at in range(len(parts))]
            differences = torch.cat(
                [
                    from_references(one.windows, one.patches, of.windows, of.patches, grid)
                    for one, of in zip(apart, kept, strict=True)
                ]
            )
            # Both parts lie in [0, 1]; halved, their sums do.
            scores, maps = (scores + differences.amax(dim=(1, 2))) / 2, (maps + differences) / 2
        height, width = whole_picture(view).shape[:2]
        pixels = stitched(list(maps.cpu().numpy()), parts, (height, width), (view.image.shape[0], view.image.shape[1]))
        # Rounding may go beyond 1 by a last digit. The order matters: a score that is no number must stay so.
        return DenseScores(min(float(scores.mean()), 1.0), np.clip(pixels, 0.0, 1.0))

    def _memory(self, view: View) -> list[Embedded]:
        """Return what a category's references look like: each tile's windows ``(R, D)`` and patches ``(R, width)``."""
        known = self._memories.get(view.category)
        if known is None:
            by_tile: dict[int, list[NDArray[np.uint8]]] = {}
            for image in view.original_references:
                for at, tile in enumerate(self._tiles(image)):
                    by_tile.setdefault(at, []).append(squared(image, tile, self._clip.side))
            known = [_joined([self.embedded(np.stack(squares), with_patches=True)]) for squares in by_tile.values()]
            self._memories[view.category] = known
            if len(self._memories) > _MEMORIES:
                self._memories.popitem(last=False)
        return known


def _joined(parts: Sequence[Embedded]) -> Embedded:
    """Put the windows and patches of all tiles into one list each, ``(R, D)`` and ``(R, width)``."""
    return Embedded(
        torch.cat([part.image for part in parts]),
        {side: torch.cat([_rows(part.windows[side]) for part in parts]) for side in SCALES},
        torch.cat([_rows(part.patches) for part in parts]),
    )


def _rows(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.reshape(-1, vectors.shape[-1])
