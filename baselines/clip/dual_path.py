"""The mathematics of CLIP-AD: two paths through the image tower, and scores of patches from the second path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional

from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from .model import Clip

__all__ = ["STAGES", "DualPath", "dual_path", "largest_cluster", "surgery"]

STAGES = 4
"""Each stage is a quarter of the blocks (Chen et al., section 3.3); the value-value path restarts in each."""


@dataclass(frozen=True, eq=False)
class DualPath:
    """Output of both paths at the end of each stage.

    Attributes:
        features: per stage float32 ``(B, 1 + P, D)``, unit vectors: the class token of the plain path, the patches of
            the value-value path.
        patches: per stage ``(B, P, width)``, the block's output for the patches of the plain path; empty if not
            requested.
    """

    features: list[torch.Tensor]
    patches: list[torch.Tensor]


def dual_path(clip: Clip, tokens: torch.Tensor, *, alias: bool, with_patches: bool) -> DualPath:
    """Run the image tower with a second path (Chen et al., section 3.3).

    The plain path is CLIP's. The second path sums, over the blocks of a stage, the attention of values to values,
    computed from the plain path's input, without norms and MLPs.

    Args:
        clip: the model.
        tokens: ``(B, 1 + P, width)``, the transformer's input.
        alias: at the end of all stages but the last, return the plain path with the next block's attention added, as
            the released code does: it keeps a reference to a tensor that is then updated in place.
        with_patches: whether to return the plain path's patches.

    Raises:
        ConfigError: the blocks cannot be divided into stages.
    """
    blocks = clip.blocks
    length, rest = divmod(len(blocks), STAGES)
    if rest or not length:
        raise ConfigError(
            f"CLIP-AD needs an image tower with a multiple of {STAGES} blocks; this one has {len(blocks)}."
        )
    plains: list[torch.Tensor] = []
    seconds: list[torch.Tensor] = []
    second = torch.zeros_like(tokens)
    for number, block in enumerate(blocks):
        plain, values = _attention(block.attn, block.ln_1(tokens))
        begins, ends = number % length == 0, number % length == length - 1
        attended = tokens + block.ls_1(plain)
        if alias and begins and plains:
            plains[-1] = attended
        second = values if begins else second + values
        if number == len(blocks) - 1 and not with_patches:
            # The patches of the plain path are not used after the last block.
            attended = attended[:, :1]
        tokens = attended + block.ls_2(block.mlp(block.ln_2(attended)))
        if ends:
            plains.append(tokens)
            seconds.append(second)
    features = [
        clip.embedded(torch.cat([plain[:, :1], other[:, 1:]], dim=1))
        for plain, other in zip(plains, seconds, strict=True)
    ]
    return DualPath(features, [plain[:, 1:] for plain in plains] if with_patches else [])


def _attention(attention: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return plain attention and attention of values to values, both ``(B, L, width)``."""
    batch, length, width = inputs.shape
    projected = functional.linear(inputs, attention.in_proj_weight, attention.in_proj_bias)
    heads = projected.reshape(batch, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = heads
    both = torch.stack(
        [
            functional.scaled_dot_product_attention(queries, keys, values),
            functional.scaled_dot_product_attention(values, values, values),
        ]
    )
    plain, second = attention.out_proj(both.transpose(2, 3).reshape(2, batch, length, width))
    return plain, second


def surgery(features: Sequence[torch.Tensor], text: torch.Tensor) -> torch.Tensor:
    """Score tokens by feature surgery, summed over the stages.

    Per stage: p_a c_a - p_n c_n, where c are the token's cosines to the two states and p the class token's
    probabilities of them (softmax of its cosines). The released code multiplies features with texts element by element,
    subtracts the mean over the states and sums; the result is the same.

    Args:
        features: per stage float32 ``(B, L, D)``, unit vectors, the class token first.
        text: float32 ``(B, 2, D)``, unit vectors: normal, anomalous; or ``(2, D)`` for all.

    Returns:
        float32 ``(B, L)``, per stage in [-1, 1]; higher is more anomalous.
    """
    total = torch.zeros(features[0].shape[:2], device=features[0].device)
    for tokens in features:
        cosines = tokens @ text.transpose(-1, -2)
        weights = cosines[:, :1].softmax(dim=-1)
        weighted = weights * cosines
        total = total + weighted[..., 1] - weighted[..., 0]
    return total


def largest_cluster(vectors: torch.Tensor, eps: float, min_samples: int) -> torch.Tensor:
    """Average the unit vectors of the largest cluster of DBSCAN (Chen et al., section 3.2).

    Args:
        vectors: float32 ``(P, D)``, of any length.
        eps: distance up to which two unit vectors are neighbours.
        min_samples: neighbours of a core point, including itself.

    Returns:
        float32 ``(D,)``; the first of equally large clusters; the mean of all vectors if there is no cluster, where
        the released code fails.
    """
    unit = functional.normalize(vectors, dim=-1)
    labels = torch.from_numpy(DBSCAN(eps=eps, min_samples=min_samples).fit(unit.cpu().numpy()).labels_)
    clustered = labels[labels >= 0]
    if not len(clustered):
        return unit.mean(dim=0)
    return unit[(labels == clustered.bincount().argmax()).to(unit.device)].mean(dim=0)
