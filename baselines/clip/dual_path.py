"""The method of CLIP-AD: two paths through the image tower, scores of patches, image scores and the smoothed map."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from sklearn.cluster import DBSCAN
from torch.nn import functional

from lvlm_ad.baseline import DenseScores
from lvlm_ad.errors import ConfigError
from lvlm_ad.weights import check_weights

from . import Squares, WholePictures
from .model import loading
from .prompts import ensemble, mean
from .tiles import enlarged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from . import ClipAdOptions
    from .model import Clip
    from .prompts import Prototypes

STAGES = 4
"""Each stage is a quarter of the blocks (Chen et al., section 3.3); the value-value path restarts in each."""


def dual_path(
    clip: Clip, tokens: torch.Tensor, *, alias: bool, with_patches: bool
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Run the image tower with a second path (Chen et al., section 3.3).

    The plain path is CLIP's. The second path sums, over the blocks of a stage, the attention of values to values,
    computed from the plain path's input, without norms and MLPs.

    Args:
        clip: the model.
        tokens: ``(B, 1 + P, width)``, the transformer's input.
        alias: at the end of all stages but the last, return the plain path with the next block's attention added, as
            the released code does: it keeps a reference to a tensor that is then updated in place.
        with_patches: whether to return the plain path's patches.

    Returns:
        Both paths at the end of each stage. Features: float32 ``(B, 1 + P, D)``, unit vectors, the class token of the
        plain path and the patches of the second path. Patches: ``(B, P, width)``, the block's output for the patches
        of the plain path; an empty list if not requested.

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
    return features, [plain[:, 1:] for plain in plains] if with_patches else []


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
        float32 ``(D,)``: the first of equally large clusters; without any cluster, where the released code fails, the
        mean of all vectors.
    """
    unit = functional.normalize(vectors, dim=-1)
    labels = torch.from_numpy(DBSCAN(eps=eps, min_samples=min_samples).fit(unit.cpu().numpy()).labels_)
    clustered = labels[labels >= 0]
    if not len(clustered):
        return unit.mean(dim=0)
    return unit[(labels == clustered.bincount().argmax()).to(unit.device)].mean(dim=0)


_FLAWS = ("flaw", "defect", "damage", "scratch", "crack", "contamination")
NORMAL = ("flawless {}", "perfect {}", "unblemished {}", *(f"{{}} without {flaw}" for flaw in _FLAWS))
ABNORMAL = ("damaged {}", "imperfect {}", "blemished {}", "broken {}", *(f"{{}} with {flaw}" for flaw in _FLAWS))
"""Words for states, as the authors released them; ``{}`` is the class."""

_SCALE = 100.0
"""Factor of cosines in the image score and in the heads' maps; the published code does not read it from the model."""


@dataclass(frozen=True, eq=False)
class DualPathScores:
    """Scores of a batch of pictures.

    Attributes:
        text: float32 ``(B,)`` in [0, 1], the picture's probability of the anomalous words.
        tokens: float32 ``(B, 1 + P)``, the scores of feature surgery, of any sign; the class token first.
        map: float32 ``(B, side, side)``, before smoothing; includes the heads' probabilities.
        smoothed: the map after smoothing; its maximum is the map's image score.
    """

    text: torch.Tensor
    tokens: torch.Tensor
    map: NDArray[np.float32]
    smoothed: NDArray[np.float32]


class DualPathMethod(WholePictures):
    """Scores pictures with the staged dual path.

    Attributes:
        heads_hash: SHA-256 (hex) over the heads' values.
    """

    def __init__(self, clip: Clip, prototypes: Prototypes, options: ClipAdOptions) -> None:
        super().__init__(clip, prototypes)
        self._options = options
        self._heads: list[tuple[torch.Tensor, torch.Tensor]] = []
        if options.heads is not None:
            self._heads = read_heads(options.heads.expanduser(), clip)
        digest = hashlib.sha256()
        for tensor in (tensor for pair in self._heads for tensor in pair):
            digest.update(tensor.cpu().numpy().tobytes())
        self.heads_hash = digest.hexdigest()
        self._alias = options.alias if options.alias is not None else bool(self._heads)

    def score(self, prepared: Squares) -> list[DenseScores]:
        """Score a batch."""
        views, pixels = prepared
        scores = self.score_squares(pixels, torch.stack([self.text(view.category) for view in views]))
        return [
            self._dense(float(score), smoothed, view.size)
            for view, score, smoothed in zip(views, scores.text, scores.smoothed, strict=True)
        ]

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and abnormal, float32 ``(2, D)``."""
        options = self._options
        name, choose = "mean", mean
        if options.representative == "dbscan":
            name = f"dbscan {options.eps} {options.min_samples}"
            choose = partial(largest_cluster, eps=options.eps, min_samples=options.min_samples)
        return torch.stack([self._prototypes.get(each, choose, name) for each in self.prompts(category)])

    def prompts(self, category: str) -> list[tuple[str, ...]]:
        """Return the prompts of normal and of abnormal; the category keeps its data set name."""
        return [ensemble(states, category) for states in (NORMAL, ABNORMAL)]

    def score_squares(self, squares: NDArray[np.uint8], text: torch.Tensor) -> DualPathScores:
        """Score pictures ``(B, side, side, 3)`` by the unit vectors of text, ``(B, 2, D)``, or ``(2, D)`` for all."""
        clip = self._clip
        tokens = clip.tokens(clip.pictures(squares))
        features, patches = dual_path(clip, tokens, alias=self._alias, with_patches=bool(self._heads))
        last = features[-1][:, :1]
        probability = (_SCALE * last @ text.transpose(-1, -2)).softmax(dim=-1)[:, 0, 1]
        scores = surgery(features, text)
        small = scores[:, 1:].reshape(-1, clip.grid, clip.grid).cpu().numpy()
        maps = np.stack([enlarged(each, (clip.side, clip.side)) for each in small])
        for (weight, bias), of_stage in zip(self._heads, patches, strict=True):
            maps += self._head_map(weight, bias, of_stage, text)
        sigma = self._options.sigma
        smoothed = np.stack([gaussian_filter(each, sigma=sigma) for each in maps])
        return DualPathScores(probability, scores, maps, smoothed)

    def _head_map(
        self, weight: torch.Tensor, bias: torch.Tensor, patches: torch.Tensor, text: torch.Tensor
    ) -> NDArray[np.float32]:
        """Return the map of a trained head, float32 ``(B, side, side)`` in [0, 1]."""
        clip = self._clip
        mapped = functional.normalize(functional.linear(patches.float(), weight, bias), dim=-1)
        scores = (_SCALE * mapped @ text.transpose(-1, -2)).transpose(1, 2).unflatten(2, (clip.grid, clip.grid))
        large = functional.interpolate(scores, size=(clip.side, clip.side), mode="bilinear", align_corners=True)
        return np.asarray(large.softmax(dim=1)[:, 1].cpu().numpy())

    def _dense(self, text: float, pixels: NDArray[np.float32], size: tuple[int, int]) -> DenseScores:
        """Map scores to [0, 1] by a fixed linear function, so that images stay comparable."""
        # Feature surgery gives scores within [-1, 1] for any CLIP; each head adds up to 1.
        heads = len(self._heads)
        unit = np.clip((1 + pixels) / (2 + heads), 0, 1)
        top = float(pixels.max())
        map_score = float(unit.max())
        kind = self._options.image_score
        image = {"text": text, "map": map_score}.get(kind, (text + map_score) / 2)
        dense = np.clip(enlarged(unit, size), 0, 1)
        return DenseScores(min(image, 1.0), dense, parts=(text, top) if kind == "category" else ())


def read_heads(path: Path, clip: Clip) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Read the heads of SDP+, a linear map from patches to the joint space for each stage.

    Args:
        path: a file in the authors' format (``linear_layers`` with ``fc.0.weight``, ``fc.0.bias``, ...), or the same as
            safetensors. Of a pickled file only the tensors are read.
        clip: the model to which they belong.

    Returns:
        Weight ``(D, width)`` and bias ``(D,)`` of each stage, float32, on the model's device.
    """
    if path.is_file():
        check_weights(path)
    with loading(f"The heads {path} cannot be read"):
        is_safe = path.suffix == ".safetensors"
        content = load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    layers = content.get("linear_layers", content) if isinstance(content, dict) else {}
    # "linear_layers.fc.0.weight" and "fc.0.weight" are the same.
    named = {".".join(str(key).split(".")[-3:]): value for key, value in layers.items()}
    width, joint = clip.tower.proj.shape
    heads = []
    for stage in range(STAGES):
        pair = [named.get(f"fc.{stage}.{part}") for part in ("weight", "bias")]
        tensors = [one for one in pair if isinstance(one, torch.Tensor) and one.is_floating_point()]
        if [tuple(one.shape) for one in tensors] != [(joint, width), (joint,)]:
            raise ConfigError(
                f"{path} holds no heads for this model: it lacks fc.{stage}.weight of {joint} x {width}, or its bias."
            )
        weight, bias = (one.float().to(clip.device) for one in tensors)
        heads.append((weight, bias))
    return heads
