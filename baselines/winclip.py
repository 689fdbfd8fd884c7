"""WinCLIP (Jeong et al., CVPR 2023, arXiv 2303.14814): CLIP on windows of a picture, compared with words for states."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from lvlm_ad.baseline import Baseline, BaselineOptions, DenseScores, View

from ._clip import TEMPLATES, Clip, ClipOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WinClip", "WinClipOptions", "WindowScores", "window_scores"]

_NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
_ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")

_ZQHANG = tuple(
    "a jpeg corrupted photo of the {}." if frame == "a jpeg corrupted photo of a {}." else frame
    for frame in TEMPLATES
    if frame != "a cropped photo of a {}."
)
"""The 21 frames of the best known re-implementation (zqhang/Accurate-WinCLIP-pytorch): one lacks, one stands twice."""

_SCALES = (2, 3)
"""Sides of the windows, in patches."""

_LEAST = 1e-9
"""The least difference whose inverse is taken."""

_STEP = 0.8
"""A picture that is not square is looked at in square tiles, each so far from the last, in sides."""


class WinClipOptions(ClipOptions):
    """Options of WinCLIP."""

    variant: Literal["paper", "zqhang"] = "paper"
    """paper: what reproduces the published image scores best. zqhang: prompts and temperature of that re-implementation,
    whose tables others cite."""
    temperature: float | None = None
    """Of the softmax over cosines; None: the model's own, or 0.07 for zqhang."""


@dataclass(frozen=True, eq=False)
class WindowScores:
    """What a batch of pictures scores.

    Attributes:
        image: float32 ``(B,)``, the whole picture's score.
        windows: side -> float32 ``(B, W)``, each window's score, windows row by row.
        scales: side -> float32 ``(B, grid, grid)``, the harmonic mean over the windows that cover a patch.
        map: float32 ``(B, grid, grid)``, the harmonic mean over the scales and the whole picture.
    """

    image: torch.Tensor
    windows: dict[int, torch.Tensor]
    scales: dict[int, torch.Tensor]
    map: torch.Tensor


@lru_cache(maxsize=8)
def window_index(grid: int, side: int) -> torch.Tensor:
    """Return the patches of each window, int64 ``(W, side * side)``, counted from 0; windows row by row, step 1."""
    corners = torch.arange(grid - side + 1)
    offsets = torch.arange(side)
    rows = corners[:, None, None, None] + offsets[None, None, :, None]
    columns = corners[None, :, None, None] + offsets[None, None, None, :]
    return (rows * grid + columns).reshape(len(corners) ** 2, side * side)


@lru_cache(maxsize=8)
def window_cover(grid: int, side: int) -> torch.Tensor:
    """Return float32 ``(grid * grid, W)``: for each patch equal weights, sum 1, on the windows that cover it."""
    index = window_index(grid, side)
    cover = torch.zeros(grid * grid, len(index))
    cover[index, torch.arange(len(index))[:, None]] = 1.0
    return cover / cover.sum(dim=1, keepdim=True)


def window_scores(
    image: torch.Tensor, windows: dict[int, torch.Tensor], text: torch.Tensor, temperature: float, grid: int
) -> WindowScores:
    """Score embeddings against the two states.

    A score is the softmax of the cosines at ``temperature``. A harmonic mean of scores is the inverse of the mean of
    their inverses, and the inverse of a softmax of two is 1 + exp(-difference): a sum, which cannot divide by zero. So
    each aggregation is one product with a fixed matrix.

    Args:
        image: float32 ``(B, D)``, unit vectors.
        windows: side -> float32 ``(B, W, D)``, unit vectors.
        text: float32 ``(2, D)``, unit vectors: normal, anomalous.
        temperature: above 0.
        grid: patches along a side.
    """
    direction = (text[1] - text[0]) / temperature

    def inverse(vectors: torch.Tensor) -> torch.Tensor:
        return 1 + torch.exp(-(vectors @ direction))

    whole = inverse(image)
    of_windows = {side: inverse(vectors) for side, vectors in windows.items()}
    of_scales = {side: found @ window_cover(grid, side).to(found).T for side, found in of_windows.items()}
    mean = (sum(of_scales.values()) + whole[:, None]) / (len(of_scales) + 1)
    shape = (len(image), grid, grid)
    return WindowScores(
        image=1 / whole,
        windows={side: 1 / found for side, found in of_windows.items()},
        scales={side: (1 / found).reshape(shape) for side, found in of_scales.items()},
        map=(1 / mean).reshape(shape),
    )


@dataclass(frozen=True, eq=False)
class Memory:
    """What the reference images look like.

    Attributes:
        windows: side -> float32 ``(R, D)``, unit vectors of all their windows.
        patches: float32 ``(R, width)``, unit vectors of all their patches.
    """

    windows: dict[int, torch.Tensor]
    patches: torch.Tensor


def difference(vectors: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return how far each vector is from the nearest reference, (1 - cosine) / 2.

    Args:
        vectors: float32 ``(B, N, D)``, unit vectors.
        references: float32 ``(R, D)``, unit vectors.

    Returns:
        float32 ``(B, N)`` in [0, 1]. Rounding can make a cosine exceed 1; the difference is then 0.
    """
    nearest = (vectors @ references.T).amax(dim=-1)
    return ((1 - nearest) / 2).clamp(0, 1)


class WinClip(Baseline):
    """Scores a picture by CLIP's words for its states, its map by overlapping windows.

    With reference images (``shots``) it is WinCLIP+: windows and patches are also compared with those of the references.
    """

    Options: ClassVar[type[BaselineOptions]] = WinClipOptions

    def __init__(self, options: WinClipOptions) -> None:
        super().__init__(options)
        self._options = options
        self._clip = Clip(options)
        self._temperature = options.temperature or (0.07 if options.variant == "zqhang" else self._clip.temperature)
        self._lock = threading.Lock()
        self._memories: dict[str, Memory] = {}

    def identity(self) -> dict[str, Any]:
        """Name the weights by their content, and the type in which they compute."""
        dtype = str(self._clip.dtype).removeprefix("torch.")
        return {**super().identity(), "weights": self._clip.weights_hash, "dtype": dtype}

    def score(self, view: View) -> DenseScores:
        """Score one sample."""
        height, width = view.image.shape[:2]
        with torch.inference_mode(), self._lock:
            tokens = self._clip.tokens(self._clip.pictures([view.image]))
            windows = {side: self._windows(tokens, side) for side in _SCALES}
            image = self._clip.classes(tokens)
            found = window_scores(image, windows, self.text(view.category), self._temperature, self._clip.grid)
            score, small = found.image[0], found.map
            if view.references:
                compared = self._compared(tokens, windows, self._memory(view))
                # Both parts lie in [0, 1]; halved, their sums do.
                score, small = (score + compared.max()) / 2, (small + compared) / 2
            grown = torch.nn.functional.interpolate(
                small[:, None], size=(height, width), mode="bilinear", align_corners=False
            )
        return DenseScores(float(score), grown[0, 0].clamp(0, 1).cpu().numpy())

    def _memory(self, view: View) -> Memory:
        """Return what the references of a category look like; they are the same for all its images."""
        if view.category not in self._memories:
            tokens = self._clip.tokens(self._clip.pictures(view.references))
            windows = {side: self._windows(tokens, side).flatten(0, 1) for side in _SCALES}
            self._memories = {view.category: Memory(windows, self._patches(tokens).flatten(0, 1))}
        return self._memories[view.category]

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and anomalous, float32 ``(2, D)``."""
        zqhang = self._options.variant == "zqhang"
        name, frames = (category, _ZQHANG) if zqhang else (category.replace("_", " "), TEMPLATES)
        groups = [[frame.format(state.format(name)) for state in states for frame in frames] for states in (_NORMAL, _ANOMALOUS)]
        return torch.stack([self._clip.ensemble(prompts) for prompts in groups])

    def _compared(self, tokens: torch.Tensor, windows: dict[int, torch.Tensor], memory: Memory) -> torch.Tensor:
        """Return the map of differences from the references, ``(B, grid, grid)`` in [0, 1]."""
        grid = self._clip.grid
        maps = [difference(self._patches(tokens), memory.patches)]
        for side, vectors in windows.items():
            # Where a window is a reference's own, its difference is 0 and its inverse must stay finite.
            inverse = 1 / difference(vectors, memory.windows[side]).clamp(min=_LEAST)
            maps.append(1 / (inverse @ window_cover(grid, side).to(inverse).T))
        return (sum(maps) / len(maps)).reshape(len(tokens), grid, grid)

    def _patches(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the patches as the last block leaves them, unit vectors ``(B, grid * grid, width)``, float32."""
        for block in self._clip.tower.transformer.resblocks:
            tokens = block(tokens)
        return torch.nn.functional.normalize(tokens[:, 1:].float(), dim=-1)

    def _windows(self, tokens: torch.Tensor, side: int) -> torch.Tensor:
        """Embed every window: the class token and the window's patches, all others dropped; ``(B, W, D)``."""
        index = window_index(self._clip.grid, side).to(tokens.device) + 1
        with_class = torch.cat([torch.zeros(len(index), 1, dtype=index.dtype, device=index.device), index], dim=1)
        count = max(1, self._chunk(tokens, with_class.shape[1]))
        parts = [
            self._clip.classes(tokens[:, part].flatten(0, 1)).unflatten(0, (len(tokens), len(part)))
            for part in with_class.split(count)
        ]
        return torch.cat(parts, dim=1)

    def _chunk(self, tokens: torch.Tensor, length: int) -> int:
        """Return how many windows may go at once: a token takes about 16 times its width on its way."""
        each = len(tokens) * length * tokens.shape[-1] * 16 * tokens.element_size()
        return int(self._options.memory * 1e9 / each)
