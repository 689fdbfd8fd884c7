"""The mathematics of WinCLIP: windows of patches, harmonic means of their scores, differences from references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch

__all__ = ["SCALES", "WindowScores", "difference", "from_references", "window_index", "window_scores"]

SCALES = (2, 3)
"""Sides of the windows, in patches; the whole picture is the third scale (Jeong et al., section 3.3)."""

_LEAST = 1e-9
"""The least difference whose inverse is taken: a window that a reference holds too differs by 0."""

_STEEPEST = 80.0
"""Differences of cosines, in temperatures, beyond which a score is as good as 0; exp(80) is still a float32."""


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
def _cover(grid: int, side: int, device: torch.device) -> torch.Tensor:
    """Return float32 ``(W, grid * grid)``: in each column equal weights, sum 1, on the windows that cover a patch."""
    index = window_index(grid, side)
    cover = torch.zeros(len(index), grid * grid)
    cover[torch.arange(len(index))[:, None], index] = 1.0
    return (cover / cover.sum(dim=0)).to(device)


def window_scores(
    image: torch.Tensor, windows: Mapping[int, torch.Tensor], text: torch.Tensor, temperature: float, grid: int
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
        # Infinity times the 0 of a window that does not cover a patch would be no number.
        return 1 + torch.exp((-(vectors @ direction)).clamp(max=_STEEPEST))

    whole = inverse(image)
    of_windows = {side: inverse(vectors) for side, vectors in windows.items()}
    of_scales = {side: found @ _cover(grid, side, found.device) for side, found in of_windows.items()}
    mean = torch.stack([*of_scales.values(), whole[:, None].expand(-1, grid * grid)]).mean(dim=0)
    shape = (len(image), grid, grid)
    return WindowScores(
        image=1 / whole,
        windows={side: 1 / found for side, found in of_windows.items()},
        scales={side: (1 / found).reshape(shape) for side, found in of_scales.items()},
        map=(1 / mean).reshape(shape),
    )


def difference(vectors: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return how far each vector is from the nearest reference, (1 - cosine) / 2 (Jeong et al., section 4).

    Args:
        vectors: float32 ``(B, N, D)``, unit vectors.
        references: float32 ``(R, D)``, unit vectors.

    Returns:
        float32 ``(B, N)`` in [0, 1]. Rounding can make a cosine exceed 1; the difference is then 0.
    """
    nearest = (vectors @ references.T).amax(dim=-1)
    return ((1 - nearest) / 2).clamp(0, 1)


def from_references(
    windows: Mapping[int, torch.Tensor],
    patches: torch.Tensor,
    kept: Mapping[int, torch.Tensor],
    kept_patches: torch.Tensor,
    grid: int,
) -> torch.Tensor:
    """Return the map of differences from reference pictures: the mean over windows of both sides and patches.

    Args:
        windows: side -> float32 ``(B, W, D)``, unit vectors.
        patches: float32 ``(B, grid * grid, width)``, unit vectors.
        kept: side -> float32 ``(R, D)``, the references' windows.
        kept_patches: float32 ``(R, width)``, the references' patches.
        grid: patches along a side.

    Returns:
        float32 ``(B, grid, grid)`` in [0, 1].
    """
    maps = [difference(patches, kept_patches)]
    for side, vectors in windows.items():
        inverse = 1 / difference(vectors, kept[side]).clamp(min=_LEAST)
        maps.append(1 / (inverse @ _cover(grid, side, inverse.device)))
    return torch.stack(maps).mean(dim=0).reshape(len(patches), grid, grid)
