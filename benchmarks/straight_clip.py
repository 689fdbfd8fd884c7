"""WinCLIP and CLIP-AD once more, step by step: slow, and without the package's code.

Written from the papers' formulas and, where a paper is silent, from released code, which the docstrings name. The
encoders of whole squares and of text are open_clip's.

``reproduce_clip.py`` compares the package with it, and ``tests/test_reproduce.py`` compares it with arrays of the
methods' public code. Arrays are float64 and pictures uint8 ``(H, W, 3)``; ``model`` is a model of open_clip in float32
on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse.csgraph import connected_components
from torch.nn.functional import interpolate, normalize

__all__ = [
    "clip_ad_image_scores",
    "clip_ad_map",
    "input_tensor",
    "largest_cluster",
    "mean_vector",
    "square_parts",
    "squares",
    "stitched",
    "surgery",
    "text_embeddings",
    "two_paths",
    "whole_vectors",
    "winclip_map",
    "winclip_score",
    "window_vectors",
]

Array = NDArray[np.float64]

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures (Radford et al., 2021)."""

SIDES = (2, 3)
"""Sides of WinCLIP's windows in patches."""


def square_parts(height: int, width: int, *, tiles: bool) -> list[tuple[int, int, int, int]]:
    """Return the parts of a picture that CLIP sees, (top, left, height, width).

    Without tiles that is the whole picture. With tiles they are squares along the longer side, a step of 0.8 sides
    apart, the last one at the end (the code of InCTRL's authors).
    """
    if not tiles or height == width:
        return [(0, 0, height, width)]
    side, length = min(height, width), max(height, width)
    starts, at = [], 0.0
    while round(at) + side < length:
        starts.append(round(at))
        at += 0.8 * side
    starts.append(length - side)
    return [(0, start, side, side) if width > height else (start, 0, side, side) for start in starts]


def squares(picture: NDArray[np.uint8], side: int, *, tiles: bool) -> NDArray[np.uint8]:
    """Return each part as a square, uint8 ``(T, side, side, 3)``: both sides resized bicubically by Pillow."""
    cut = []
    for top, left, height, width in square_parts(*picture.shape[:2], tiles=tiles):
        part = Image.fromarray(picture[top : top + height, left : left + width])
        cut.append(np.asarray(part.resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(cut)


def input_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Scale squares to [0, 1] and normalise them, float32 ``(T, 3, side, side)``."""
    values = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).astype(np.float32))


def text_embeddings(model: Any, tokenizer: Any, prompts: Sequence[str]) -> Array:
    """Encode prompts by open_clip's own method, ``(P, D)``; they are not normalised."""
    parts = [model.encode_text(tokenizer(list(prompts[at : at + 64]))) for at in range(0, len(prompts), 64)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def mean_vector(embeddings: Array, *, normalized: bool) -> Array:
    """Return the unit vector ``(D,)`` of the mean, of unit vectors or of the embeddings as they are."""
    return _unit((_unit(embeddings) if normalized else embeddings).mean(axis=0))


def largest_cluster(embeddings: Array, eps: float, min_samples: int) -> Array:
    """Return the unit vector ``(D,)`` of the mean of the largest cluster of DBSCAN (CLIP-AD, section 3.2).

    A vector with ``min_samples`` neighbours within ``eps``, itself included, is a core; cores that are neighbours form
    a cluster; another vector belongs to the first cluster of a core beside it. Without a cluster it is the mean of all.
    """
    unit = _unit(embeddings)
    near = np.linalg.norm(unit[:, None] - unit[None], axis=-1) <= eps
    cores = np.flatnonzero(near.sum(axis=1) >= min_samples)
    if not len(cores):
        return _unit(unit.mean(axis=0))
    count, of_cores = connected_components(near[np.ix_(cores, cores)], directed=False)
    clusters = np.full(len(unit), count)
    for core, cluster in zip(cores, of_cores, strict=True):
        neighbours = np.flatnonzero(near[core])
        others = neighbours[~np.isin(neighbours, cores)]
        clusters[others] = np.minimum(clusters[others], cluster)
    clusters[cores] = of_cores
    largest = np.bincount(clusters, minlength=count + 1)[:count].argmax()
    return _unit(unit[clusters == largest].mean(axis=0))


def _tokens(visual: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Return the class token and the patches with their positions, before the first norm."""
    patches = visual.conv1(pictures).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(pictures), 1, -1)
    tokens: torch.Tensor = torch.cat([first, patches], dim=1) + visual.positional_embedding
    return tokens


def whole_vectors(model: Any, pictures: torch.Tensor) -> Array:
    """Return the unit vectors of whole squares, ``(T, D)``, by open_clip's own method."""
    return as_float(normalize(model.encode_image(pictures), dim=-1))


def window_vectors(model: Any, picture: torch.Tensor, side: int) -> Array:
    """Return the unit vectors of all windows of one picture ``(1, 3, S, S)``, row by row, ``(W, D)``.

    A window is a sequence of its own: its patches and the class token, all other tokens dropped (Jeong et al., section
    3.3).
    """
    visual = model.visual
    grid = visual.grid_size[0]
    tokens = _tokens(visual, picture)
    vectors = []
    for row in range(grid - side + 1):
        kept = []
        for column in range(grid - side + 1):
            inside = [1 + (row + down) * grid + column + right for down in range(side) for right in range(side)]
            kept.append(tokens[:, [0, *inside]])
        out = visual.transformer(visual.ln_pre(torch.cat(kept)))
        vectors.append(normalize(visual.ln_post(out[:, 0]) @ visual.proj, dim=-1))
    return as_float(torch.cat(vectors))


def as_float(values: torch.Tensor) -> Array:
    """Return a tensor as a float64 array."""
    return np.asarray(values.numpy(), dtype=np.float64)


def winclip_score(vectors: Array, text: Array, temperature: float) -> Array:
    """Return the softmax of the cosines to (normal, anomalous) at a temperature, its anomalous part, ``(N,)``."""
    cosines = vectors @ text.T / temperature
    powers = np.exp(cosines - cosines.max(axis=-1, keepdims=True))
    return np.asarray(powers[:, 1] / powers.sum(axis=-1))


def winclip_map(windows: dict[int, Array], whole: float, grid: int) -> Array:
    """Return the map of patches ``(grid, grid)``: harmonic means over the windows of a side, then over the scales.

    Args:
        windows: side -> scores of its windows, row by row.
        whole: the score of the whole square, the third scale.
        grid: patches along a side.
    """
    scales = [np.full((grid, grid), whole)]
    for side, scores in windows.items():
        steps, scale = grid - side + 1, np.zeros((grid, grid))
        for row in range(grid):
            for column in range(grid):
                over = [
                    scores[top * steps + left]
                    for top in range(max(0, row - side + 1), min(row, steps - 1) + 1)
                    for left in range(max(0, column - side + 1), min(column, steps - 1) + 1)
                ]
                scale[row, column] = len(over) / sum(1 / one for one in over)
        scales.append(scale)
    return np.asarray(len(scales) / sum(1 / scale for scale in scales))


def stitched(
    maps: Sequence[Array], parts: Sequence[tuple[int, int, int, int]], picture: tuple[int, int], size: int
) -> Array:
    """Return the map of a picture, ``(size, size)``: bilinear within each part, the mean where parts overlap."""
    total, count = np.zeros((size, size)), np.zeros((size, size))
    rows = (np.arange(size) + 0.5) / size * picture[0]
    columns = (np.arange(size) + 0.5) / size * picture[1]
    for values, (top, left, height, width) in zip(maps, parts, strict=True):
        inside = np.outer((rows >= top) & (rows <= top + height), (columns >= left) & (columns <= left + width))
        at = np.meshgrid(
            (rows - top) / height * values.shape[0] - 0.5,
            (columns - left) / width * values.shape[1] - 0.5,
            indexing="ij",
        )
        total += inside * map_coordinates(values, at, order=1, mode="nearest")
        count += inside
    return total / count


def two_paths(model: Any, pictures: torch.Tensor, *, alias: bool) -> list[Array]:
    """Return the unit vectors of CLIP-AD's tokens at the end of each of four stages, each ``(T, 1 + P, D)``.

    The class token is that of CLIP. The patches are the sum, over the blocks of a stage, of the attention of values to
    values (Chen et al., section 3.3). With ``alias``, the class tokens of all stages but the last include the attention
    of the next block, as in the released code, which goes on adding to the same tensor.
    """
    visual = model.visual
    blocks = list(visual.transformer.resblocks)
    length = len(blocks) // 4
    plain, second = visual.ln_pre(_tokens(visual, pictures)), torch.zeros(0)
    stages = []
    for number, block in enumerate(blocks):
        attention, inputs = block.attn, block.ln_1(plain)
        heads = attention.num_heads
        weight, bias = attention.in_proj_weight.chunk(3)[2], attention.in_proj_bias.chunk(3)[2]
        values = (inputs @ weight.T + bias).unflatten(-1, (heads, -1)).transpose(1, 2)
        shares = (values @ values.transpose(-1, -2) / values.shape[-1] ** 0.5).softmax(dim=-1)
        attended = attention.out_proj((shares @ values).transpose(1, 2).flatten(2))
        second = attended if number % length == 0 else second + attended
        plain = block(plain)
        if number % length == length - 1:
            first = plain[:, :1]
            if alias and number + 1 < len(blocks):
                following = blocks[number + 1]
                normed = following.ln_1(plain)
                first = first + following.attn(normed, normed, normed, need_weights=False)[0][:, :1]
            tokens = visual.ln_post(torch.cat([first, second[:, 1:]], dim=1)) @ visual.proj
            stages.append(as_float(normalize(tokens, dim=-1)))
    return stages


def surgery(stages: Sequence[Array], text: Array) -> Array:
    """Return the scores of tokens, ``(T, 1 + P)``, as the released code of feature surgery writes it out.

    Features times texts, weighted by the class token's probabilities, less the mean over both states, summed up.
    """
    total = np.zeros(stages[0].shape[:2])
    for tokens in stages:
        cosines = tokens[:, 0] @ text.T
        weights = np.exp(cosines) / np.exp(cosines).sum(axis=-1, keepdims=True)
        weights = weights / weights.mean(axis=-1, keepdims=True)
        products = tokens[:, :, None] * text * weights[:, None, :, None]
        total += (products - products.mean(axis=2, keepdims=True)).sum(axis=-1)[..., 1]
    return total


def clip_ad_map(scores: Array, side: int, sigma: float) -> Array:
    """Return the smoothed maps of tokens' scores ``(T, 1 + P)``, ``(T, side, side)``."""
    grid = round((scores.shape[1] - 1) ** 0.5)
    small = torch.from_numpy(scores[:, 1:].reshape(-1, 1, grid, grid))
    large = interpolate(small, size=(side, side), mode="bilinear", align_corners=False)[:, 0].numpy()
    return np.stack([gaussian_filter(one, sigma=sigma) for one in large])


def clip_ad_image_scores(text: Sequence[float], tops: Sequence[float]) -> Array:
    """Return the image scores of a category: text and map, each stretched to 0..1 over its images, averaged."""
    stretched = []
    for values in (np.asarray(text), np.asarray(tops)):
        width = values.max() - values.min()
        stretched.append((values - values.min()) / width if width else np.zeros(len(values)))
    return np.asarray((stretched[0] + stretched[1]) / 2)
