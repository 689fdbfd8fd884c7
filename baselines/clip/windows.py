"""The method of WinCLIP: tiles, windows of patches, harmonic means of their scores, distances from references."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from lvlm_ad.baseline import DenseScores, View

from . import Method, whole_picture
from .prompts import ANOMALOUS, NORMAL, TEMPLATES, ensemble, mean, raw_mean
from .tiles import Tile, merged, squared, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model import Clip
    from .prompts import Prototypes

SCALES = (2, 3)
"""Sides of the windows, in patches; the whole picture is the third scale (Jeong et al., section 3.3)."""

_MIN_DISTANCE = 1e-9
"""Smaller distances are raised to this before their inverse is taken: equal windows have distance 0."""

_MAX_EXPONENT = 80.0
"""Larger exponents are cut: the score is 0 anyway, and exp(80) is still a float32."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """Unit vectors of tiles, float32.

    Attributes:
        image: ``(T, D)``, the whole tiles.
        windows: side -> ``(T, W, D)``; of references ``(R, D)``, the windows of all tiles.
        patches: ``(T, grid * grid, width)``, the last block's output before the final norm; of references
            ``(R, width)``; ``(T, 0, width)`` if not requested.
    """

    image: torch.Tensor
    windows: dict[int, torch.Tensor]
    patches: torch.Tensor

    @staticmethod
    def joined(parts: Sequence[Embedded]) -> Embedded:
        """Concatenate the vectors of all tiles."""
        windows = {side: torch.cat([part.windows[side] for part in parts]) for side in SCALES}
        return Embedded(torch.cat([part.image for part in parts]), windows, torch.cat([part.patches for part in parts]))

    def part(self, start: int, end: int) -> Embedded:
        """Return the vectors of some of the tiles."""
        windows = {side: vectors[start:end] for side, vectors in self.windows.items()}
        return Embedded(self.image[start:end], windows, self.patches[start:end])

    def as_references(self) -> Embedded:
        """Return all windows and patches in one row each."""
        windows = {side: vectors.flatten(0, 1) for side, vectors in self.windows.items()}
        return Embedded(self.image, windows, self.patches.flatten(0, 1))


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
    embedded: Embedded, text: torch.Tensor, temperature: float, grid: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score embeddings against the two states.

    A score is the softmax of the two cosines at ``temperature``. Its inverse is 1 + exp(-difference), and a harmonic
    mean is the inverse of the mean of inverses. So each aggregation is one product with a fixed matrix.

    Args:
        embedded: the vectors of tiles.
        text: float32 ``(2, D)``, unit vectors: normal, anomalous.
        temperature: above 0.
        grid: patches along a side.

    Returns:
        The whole tiles' scores, float32 ``(T,)``, and their maps, float32 ``(T, grid, grid)``: the harmonic mean over
        both sides of windows and the whole tile, where a patch has the harmonic mean of the windows over it.
    """
    direction = (text[1] - text[0]) / temperature

    def inverse(vectors: torch.Tensor) -> torch.Tensor:
        # Infinity times 0, the weight of a window that does not cover a patch, would be NaN.
        return 1 + torch.exp((-(vectors @ direction)).clamp(max=_MAX_EXPONENT))

    whole = inverse(embedded.image)
    scales = [inverse(vectors) @ _cover(grid, side, vectors.device) for side, vectors in embedded.windows.items()]
    mean = torch.stack([*scales, whole[:, None].expand(-1, grid * grid)]).mean(dim=0)
    return 1 / whole, (1 / mean).reshape(len(whole), grid, grid)


def distance(vectors: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return the distance (1 - cosine) / 2 of unit vectors ``(B, N, D)`` from the nearest of ``(R, D)``, ``(B, N)``.

    See Jeong et al., section 4. If rounding makes a cosine exceed 1, the distance is 0.
    """
    nearest = (vectors @ references.T).amax(dim=-1)
    return ((1 - nearest) / 2).clamp(0, 1)


def reference_map(embedded: Embedded, references: Embedded, grid: int) -> torch.Tensor:
    """Return the distances from reference pictures: the mean over windows of both sides and patches.

    Args:
        embedded: the vectors of tiles.
        references: those of the references, from ``as_references``.
        grid: patches along a side.

    Returns:
        float32 ``(T, grid, grid)`` in [0, 1].
    """
    maps = [distance(embedded.patches, references.patches)]
    for side, vectors in embedded.windows.items():
        inverse = 1 / distance(vectors, references.windows[side]).clamp(min=_MIN_DISTANCE)
        maps.append(1 / (inverse @ _cover(grid, side, inverse.device)))
    return torch.stack(maps).mean(dim=0).reshape(len(embedded.image), grid, grid)


_TWICE = "a jpeg corrupted photo of the {}."
_ZQHANG = tuple(
    _TWICE if template == "a jpeg corrupted photo of a {}." else template
    for template in TEMPLATES
    if template != "a cropped photo of a {}."
)
"""The 21 templates of the best known re-implementation (zqhang/Accurate-WinCLIP-pytorch): one is missing, one occurs
twice."""

_ZQHANG_TEMPERATURE = 0.07

_WINDOW_BYTES = 0.25e9
"""Memory for the tokens of all windows of a batch."""

_CACHED_CATEGORIES = 2
"""Categories whose references are cached: one ends while the next begins."""


Pictures: TypeAlias = "tuple[Sequence[tuple[View, list[Tile]]], NDArray[np.uint8]]"
"""A batch: each view with its tiles, and the pixels of all tiles, view by view, uint8 ``(T, side, side, 3)``."""


class Windows(Method):
    """Scores pictures with windows; ``variant`` and ``temperature`` are the options of these names."""

    def __init__(self, clip: Clip, prototypes: Prototypes, *, variant: str, temperature: float | None) -> None:
        self._clip, self._prototypes = clip, prototypes
        self._zqhang = variant == "zqhang"
        self._temperature = temperature or (_ZQHANG_TEMPERATURE if self._zqhang else clip.temperature)
        self._references: OrderedDict[str, list[Embedded]] = OrderedDict()

    def prepare(self, views: Sequence[View]) -> Pictures:
        """Cut pictures into tiles."""
        cut = [(view, self._tiles(whole_picture(view))) for view in views]
        squares = [squared(whole_picture(view), tile, self._clip.side) for view, parts in cut for tile in parts]
        return cut, np.stack(squares)

    def score(self, prepared: Pictures) -> list[DenseScores]:
        """Score a batch."""
        views, squares = prepared
        embedded = self.embedded(squares, with_patches=any(view.original_references for view, _ in views))
        scores, start = [], 0
        for view, parts in views:
            scores.append(self._score_view(view, parts, embedded.part(start, start + len(parts))))
            start += len(parts)
        return scores

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and anomalous, float32 ``(2, D)``."""
        choose = raw_mean if self._zqhang else mean
        return torch.stack([self._prototypes.get(each, choose, choose.__name__) for each in self.prompts(category)])

    def prompts(self, category: str) -> list[tuple[str, ...]]:
        """Return the prompts of normal and of anomalous."""
        name, templates = (category, _ZQHANG) if self._zqhang else (category.replace("_", " "), TEMPLATES)
        return [ensemble(states, name, templates) for states in (NORMAL, ANOMALOUS)]

    def embedded(self, squares: NDArray[np.uint8], *, with_patches: bool) -> Embedded:
        """Embed tiles ``(T, side, side, 3)`` with their windows, in portions that bound the memory."""
        clip, parts = self._clip, []
        # A window keeps its patches and the class token; other patches are dropped (Jeong et al., section 3.3).
        whole = torch.arange(1 + clip.grid**2, device=clip.device)[None]
        index = [window_index(clip.grid, side).to(clip.device) + 1 for side in SCALES]
        indices = [whole, *(torch.cat([torch.zeros_like(one[:, :1]), one], dim=1) for one in index)]
        # Each window copies its tokens.
        bytes_per_tile = sum(one.numel() for one in indices) * clip.width * clip.dtype.itemsize
        step = max(1, int(_WINDOW_BYTES / bytes_per_tile))
        for start in range(0, len(squares), step):
            tokens = clip.tokens(clip.pictures(squares[start : start + step]))
            image, *windows = clip.sequences(tokens, indices)
            patches = clip.all_tokens(tokens)[:, 1:] if with_patches else tokens[:, :0]
            unit = torch.nn.functional.normalize(patches.float(), dim=-1)
            parts.append(Embedded(image[:, 0], dict(zip(SCALES, windows, strict=True)), unit))
        return Embedded.joined(parts)

    def _tiles(self, image: NDArray[np.uint8]) -> list[Tile]:
        height, width = image.shape[:2]
        return [Tile(0, 0, height, width)] if self._zqhang else tiles(height, width)

    def _score_view(self, view: View, parts: list[Tile], embedded: Embedded) -> DenseScores:
        """Score one view from the vectors of its tiles."""
        grid = self._clip.grid
        scores, maps = window_scores(embedded, self.text(view.category), self._temperature, grid)
        if view.original_references:
            references = self._embedded_references(view)
            # A tile is compared with the same tile of the references, if these have as many tiles.
            if len(references) != len(parts):
                references = [Embedded.joined(references)] * len(parts)
            of_tiles = [
                reference_map(embedded.part(number, number + 1), of_tile, grid)
                for number, of_tile in enumerate(references)
            ]
            distances = torch.cat(of_tiles)
            # Means, to stay in [0, 1].
            scores, maps = (scores + distances.amax(dim=(1, 2))) / 2, (maps + distances) / 2
        height, width = whole_picture(view).shape[:2]
        pixels = merged(list(maps.cpu().numpy()), parts, (height, width), view.size)
        # Rounding may exceed 1 by a last digit. min(NaN, 1) is NaN, in this order only, and must stay NaN.
        return DenseScores(min(float(scores.mean()), 1.0), np.clip(pixels, 0.0, 1.0))

    def _embedded_references(self, view: View) -> list[Embedded]:
        """Return a category's references: for each tile its windows ``(R, D)`` and patches ``(R, width)``."""
        references = self._references.get(view.category)
        if references is None:
            by_tile: dict[int, list[NDArray[np.uint8]]] = {}
            for image in view.original_references:
                for number, tile in enumerate(self._tiles(image)):
                    by_tile.setdefault(number, []).append(squared(image, tile, self._clip.side))
            references = [
                self.embedded(np.stack(squares), with_patches=True).as_references() for squares in by_tile.values()
            ]
            self._references[view.category] = references
            if len(self._references) > _CACHED_CATEGORIES:
                self._references.popitem(last=False)
        return references
