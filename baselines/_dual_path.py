"""The mathematics of CLIP-AD: two paths through the image tower, and what the second says of each patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional

from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from ._clip import Clip

__all__ = ["STAGES", "DualPath", "dual_path", "largest_cluster", "surgery"]

STAGES = 4
"""Each a quarter of the blocks (Chen et al., section 3.3); the value-value path begins anew in each."""


@dataclass(frozen=True, eq=False)
class DualPath:
    """What comes out of both paths at the end of each stage.

    Attributes:
        features: per stage float32 ``(B, 1 + P, D)``, unit vectors: the class token of the plain path, the patches of
            the value-value path.
        patches: per stage ``(B, P, width)``, the patches of the plain path as the block leaves them; empty if they are
            not wanted.
    """

    features: list[torch.Tensor]
    patches: list[torch.Tensor]


def dual_path(clip: Clip, tokens: torch.Tensor, *, alias: bool, with_patches: bool) -> DualPath:
    """Run the image tower with a second path beside it (Chen et al., section 3.3).

    The plain path is CLIP's. In each block the second path adds the attention of values to values, taken from the plain
    path's input, without residual of its own at a stage's beginning, without norms and MLPs.

    Args:
        clip: the model.
        tokens: ``(B, 1 + P, width)``, what the transformer begins with.
        alias: keep, at the end of all stages but the last, the plain path with the next block's attention added: the
            released code keeps a reference to a tensor that is then updated in place.
        with_patches: whether the plain path's patches are wanted.

    Raises:
        ConfigError: the blocks cannot be parted into stages.
    """
    blocks = clip.blocks
    length, rest = divmod(len(blocks), STAGES)
    if rest or not length:
        raise ConfigError(f"CLIP-AD parts the blocks of the image tower into {STAGES}; this one has {len(blocks)}.")
    kept: list[torch.Tensor] = []
    seconds: list[torch.Tensor] = []
    second = torch.zeros_like(tokens)
    for number, block in enumerate(blocks):
        plain, values = _attention(block.attn, block.ln_1(tokens))
        begins, ends = number % length == 0, number % length == length - 1
        attended = tokens + block.ls_1(plain)
        if alias and begins and kept:
            kept[-1] = attended
        second = values if begins else second + values
        if number == len(blocks) - 1 and not with_patches:
            # Nobody reads the patches of the plain path behind its last block.
            attended = attended[:, :1]
        tokens = attended + block.ls_2(block.mlp(block.ln_2(attended)))
        if ends:
            kept.append(tokens)
            seconds.append(second)
    features = [
        clip.embedded(torch.cat([plain[:, :1], other[:, 1:]], dim=1))
        for plain, other in zip(kept, seconds, strict=True)
    ]
    return DualPath(features, [plain[:, 1:] for plain in kept] if with_patches else [])


def _attention(attention: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return plain attention and that of values to values, both ``(B, L, width)``, from one set of projections."""
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

    In each stage p_a c_a - p_n c_n, with the token's cosines c to the two states and the class token's probabilities p
    of them (softmax of its cosines). Multiplying features with texts element by element, taking off the mean over the
    states and adding up, as the released code does, gives the same.

    Args:
        features: per stage float32 ``(B, L, D)``, unit vectors, the class token first.
        text: float32 ``(B, 2, D)``, unit vectors: normal, anomalous; or ``(2, D)`` for all.

    Returns:
        float32 ``(B, L)``; higher is more anomalous; at most 1 a stage in size.
    """
    total = torch.zeros(features[0].shape[:2], device=features[0].device)
    for tokens in features:
        cosines = tokens @ text.transpose(-1, -2)
        weights = cosines[:, :1].softmax(dim=-1)
        weighted = weights * cosines
        total = total + weighted[..., 1] - weighted[..., 0]
    return total


def largest_cluster(vectors: torch.Tensor, eps: float, min_samples: int) -> torch.Tensor:
    """Average the unit vectors of the largest cluster that DBSCAN finds (Chen et al., section 3.2).

    Args:
        vectors: float32 ``(P, D)``, of any length.
        eps: how near two unit vectors are neighbours.
        min_samples: neighbours that make a core, itself counted.

    Returns:
        float32 ``(D,)``; of equally large clusters the first; where all is noise the mean of all, while the released
        code fails there.
    """
    unit = functional.normalize(vectors, dim=-1)
    labels = torch.from_numpy(DBSCAN(eps=eps, min_samples=min_samples).fit(unit.cpu().numpy()).labels_)
    found = labels[labels >= 0]
    if not len(found):
        return unit.mean(dim=0)
    return unit[(labels == found.bincount().argmax()).to(unit.device)].mean(dim=0)
