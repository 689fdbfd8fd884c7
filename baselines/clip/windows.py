"""The mathematics of WinCLIP: windows of patches, harmonic means of their scores, distances from references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch

__all__ = ["SCALES", "WindowScores", "distance", "reference_map", "window_index", "window_scores"]

SCALES = (2, 3)
"""Sides of the windows, in patches; the whole picture is the third scale (Jeong et al., section 3.3)."""

_MIN_DISTANCE = 1e-9
"""Smaller distances are raised to this before their inverse is taken: equal windows have distance 0."""

_MAX_EXPONENT = 80.0
"""Larger exponents are cut: the score is 0 anyway, and exp(80) is still a float32."""


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Scores of a batch of pictures.

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
    """Return the patches of each window, int64 ``(W, side * side)``, from 0; windows row by row with step 1."""
    corners = torch.arange(grid - side + 1)
    offsets = torch.arange(side)
    rows = corners[:, None, None, None] + offsets[None, None, :, None]
    columns = corners[None, :, None, None] + offsets[None, None, None, :]
    return (rows * grid + columns).reshape(len(corners) ** 2, side * side)


@lru_cache(maxsize=8)
def _cover(grid: int, side: int, device: torch.device) -> torch.Tensor:
    """Return float32 ``(W, grid * grid)``: each column has equal weights, sum 1, on the windows over the patch."""
    index = window_index(grid, side)
    cover = torch.zeros(len(index), grid * grid)
    cover[torch.arange(len(index))[:, None], index] = 1.0
    return (cover / cover.sum(dim=0)).to(device)


def window_scores(
    image: torch.Tensor, windows: Mapping[int, torch.Tensor], text: torch.Tensor, temperature: float, grid: int
) -> WindowScores:
    """Score embeddings against the two states.

    A score is the softmax of the two cosines at ``temperature``. Its inverse is 1 + exp(-difference), and a harmonic
    mean is the inverse of the mean of inverses. So each aggregation is one product with a fixed matrix.

    Args:
        image: float32 ``(B, D)``, unit vectors.
        windows: side -> float32 ``(B, W, D)``, unit vectors.
        text: float32 ``(2, D)``, unit vectors: normal, anomalous.
        temperature: above 0.
        grid: patches along a side.
    """
    direction = (text[1] - text[0]) / temperature

    def inverse(vectors: torch.Tensor) -> torch.Tensor:
        # Infinity times 0, the weight of a window that does not cover a patch, would be NaN.
        return 1 + torch.exp((-(vectors @ direction)).clamp(max=_MAX_EXPONENT))

    whole = inverse(image)
    window_inverses = {side: inverse(vectors) for side, vectors in windows.items()}
    scale_inverses = {
        side: inverses @ _cover(grid, side, inverses.device) for side, inverses in window_inverses.items()
    }
    mean = torch.stack([*scale_inverses.values(), whole[:, None].expand(-1, grid * grid)]).mean(dim=0)
    shape = (len(image), grid, grid)
    return WindowScores(
        image=1 / whole,
        windows={side: 1 / inverses for side, inverses in window_inverses.items()},
        scales={side: (1 / inverses).reshape(shape) for side, inverses in scale_inverses.items()},
        map=(1 / mean).reshape(shape),
    )


def distance(vectors: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return each vector's distance from the nearest reference, (1 - cosine) / 2 (Jeong et al., section 4).

    Args:
        vectors: float32 ``(B, N, D)``, unit vectors.
        references: float32 ``(R, D)``, unit vectors.

    Returns:
        float32 ``(B, N)`` in [0, 1]. If rounding makes a cosine exceed 1, the distance is 0.
    """
    nearest = (vectors @ references.T).amax(dim=-1)
    return ((1 - nearest) / 2).clamp(0, 1)


def reference_map(
    windows: Mapping[int, torch.Tensor],
    patches: torch.Tensor,
    reference_windows: Mapping[int, torch.Tensor],
    reference_patches: torch.Tensor,
    grid: int,
) -> torch.Tensor:
    """Return the map of distances from reference pictures: the mean over windows of both sides and patches.

    Args:
        windows: side -> float32 ``(B, W, D)``, unit vectors.
        patches: float32 ``(B, grid * grid, width)``, unit vectors.
        reference_windows: side -> float32 ``(R, D)``, the references' windows.
        reference_patches: float32 ``(R, width)``, the references' patches.
        grid: patches along a side.

    Returns:
        float32 ``(B, grid, grid)`` in [0, 1].
    """
    maps = [distance(patches, reference_patches)]
    for side, vectors in windows.items():
        inverse = 1 / distance(vectors, reference_windows[side]).clamp(min=_MIN_DISTANCE)
        maps.append(1 / (inverse @ _cover(grid, side, inverse.device)))
    return torch.stack(maps).mean(dim=0).reshape(len(patches), grid, grid)
