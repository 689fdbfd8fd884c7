"""CLIP-AD at work: from pictures to both image scores and the smoothed map."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from lvlm_ad.baseline import DenseScores
from lvlm_ad.errors import ConfigError

from ._clip_baseline import Squares, WholePictures
from ._clip_loading import told
from ._dual_path import STAGES, dual_path, largest_cluster, surgery
from ._prompts import ensemble, mean
from ._tiles import grown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._clip import Clip
    from ._prompts import Prototypes
    from .clip_ad import ClipAdOptions

__all__ = ["ABNORMAL", "NORMAL", "DualPathMethod", "Found", "read_heads"]

_FLAWS = ("flaw", "defect", "damage", "scratch", "crack", "contamination")
NORMAL = ("flawless {}", "perfect {}", "unblemished {}", *(f"{{}} without {flaw}" for flaw in _FLAWS))
ABNORMAL = ("damaged {}", "imperfect {}", "blemished {}", "broken {}", *(f"{{}} with {flaw}" for flaw in _FLAWS))
"""Words for states, ``{}`` being the class, as the authors released them."""

_SCALE = 100.0
"""Of cosines in the image score and in the heads' maps; the published code does not take it from the model."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a batch of pictures scores.

    Attributes:
        text: float32 ``(B,)`` in [0, 1], the picture's probability of the anomalous words.
        tokens: float32 ``(B, 1 + P)``, the surgery's scores, of any sign; the class token first.
        map: float32 ``(B, side, side)``, before smoothing; with heads their probabilities are added.
        smoothed: the same after smoothing; its maximum is the map's image score.
    """

    text: torch.Tensor
    tokens: torch.Tensor
    map: NDArray[np.float32]
    smoothed: NDArray[np.float32]


class DualPathMethod(WholePictures):
    """Scores pictures with the staged dual path.

    Args:
        clip: the model.
        prototypes: the vectors of prompts.
        options: of the method.

    Attributes:
        heads_hash: SHA-256 (hex) over the heads' values, whatever file holds them.

    Raises:
        ConfigError: the heads do not fit the model.
    """

    def __init__(self, clip: Clip, prototypes: Prototypes, options: ClipAdOptions) -> None:
        super().__init__(clip)
        self._prototypes, self._options = prototypes, options
        self._heads: list[tuple[torch.Tensor, torch.Tensor]] = []
        if options.heads is not None:
            self._heads = read_heads(options.heads.expanduser(), clip)
        digest = hashlib.sha256()
        for tensor in (tensor for pair in self._heads for tensor in pair):
            digest.update(tensor.cpu().numpy().tobytes())
        self.heads_hash = digest.hexdigest()
        self._alias = options.alias if options.alias is not None else bool(self._heads)

    def scored(self, prepared: Squares) -> list[DenseScores]:
        """Score a batch."""
        text = torch.stack([self.text(view.category) for view in prepared.views])
        found = self.found(prepared.pixels, text)
        return [
            self._dense(float(score), pixels, (view.image.shape[0], view.image.shape[1]))
            for view, score, pixels in zip(prepared.views, found.text, found.smoothed, strict=True)
        ]

    def text(self, category: str) -> torch.Tensor:
        """Return the unit vectors of normal and abnormal, float32 ``(2, D)``; the name is the data set's own."""
        options = self._options
        name, choose = "mean", mean
        if options.representative == "dbscan":
            name = f"dbscan {options.eps} {options.min_samples}"
            choose = partial(largest_cluster, eps=options.eps, min_samples=options.min_samples)
        prompts = [ensemble(states, category) for states in (NORMAL, ABNORMAL)]
        return torch.stack([self._prototypes.get(each, choose, name) for each in prompts])

    def found(self, squares: NDArray[np.uint8], text: torch.Tensor) -> Found:
        """Score pictures.

        Args:
            squares: uint8 ``(B, side, side, 3)``.
            text: float32 ``(B, 2, D)``, unit vectors, or ``(2, D)`` for all.
        """
        clip = self._clip
        tokens = clip.tokens(clip.pictures(squares))
        paths = dual_path(clip, tokens, alias=self._alias, with_patches=bool(self._heads))
        last = paths.features[-1][:, :1]
        probability = (_SCALE * last @ text.transpose(-1, -2)).softmax(dim=-1)[:, 0, 1]
        scores = surgery(paths.features, text)
        small = scores[:, 1:].reshape(-1, clip.grid, clip.grid).cpu().numpy()
        maps = np.stack([grown(each, (clip.side, clip.side)) for each in small])
        for (weight, bias), patches in zip(self._heads, paths.patches, strict=bool(self._heads)):
            maps += self._of_head(weight, bias, patches, text)
        sigma = self._options.sigma
        smoothed = np.stack([gaussian_filter(each, sigma=sigma) for each in maps])
        return Found(probability, scores, maps, smoothed)

    def _of_head(
        self, weight: torch.Tensor, bias: torch.Tensor, patches: torch.Tensor, text: torch.Tensor
    ) -> NDArray[np.float32]:
        """Return what a trained head says, float32 ``(B, side, side)`` in [0, 1]."""
        clip = self._clip
        mapped = functional.normalize(functional.linear(patches.float(), weight, bias), dim=-1)
        scores = (_SCALE * mapped @ text.transpose(-1, -2)).transpose(1, 2).unflatten(2, (clip.grid, clip.grid))
        large = functional.interpolate(scores, size=(clip.side, clip.side), mode="bilinear", align_corners=True)
        return np.asarray(large.softmax(dim=1)[:, 1].cpu().numpy())

    def _dense(self, text: float, pixels: NDArray[np.float32], size: tuple[int, int]) -> DenseScores:
        """Bring scores to [0, 1]: a fixed straight line, so that images stay comparable and ranks stay."""
        # Surgery's scores are within +-1 for any CLIP (sums of differences of cosines); a head adds up to 1.
        heads = len(self._heads)
        unit = np.clip((1 + pixels) / (2 + heads), 0, 1)
        top = float(pixels.max())
        of_map = float(unit.max())
        kind = self._options.image_score
        image = {"text": text, "map": of_map}.get(kind, (text + of_map) / 2)
        dense = np.clip(grown(unit, size), 0, 1)
        return DenseScores(min(image, 1.0), dense, parts=(text, top) if kind == "category" else ())


def read_heads(path: Path, clip: Clip) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Read the heads of SDP+: a linear map from patches to the joint space for each stage.

    Args:
        path: a file as the authors release it (``linear_layers`` with ``fc.0.weight``, ``fc.0.bias``, ...) or the same
            as safetensors. A pickled file is read for its tensors alone.
        clip: the model that they belong to.

    Returns:
        Weight ``(D, width)`` and bias ``(D,)`` of each stage, float32, on the model's device.

    Raises:
        ConfigError: the file is something else, or of another model.
    """
    with told(f"The heads {path} cannot be read"):
        safe = path.suffix == ".safetensors"
        held = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(held, dict) and isinstance(held.get("linear_layers"), dict):
        held = held["linear_layers"]
    tensors = (
        {key: value for key, value in held.items() if isinstance(value, torch.Tensor)} if isinstance(held, dict) else {}
    )
    named = {
        match[1]: value
        for key, value in tensors.items()
        if (match := re.search(r"(?:^|\.)(fc\.\d+\.(?:weight|bias))$", key))
    }
    width, joint = clip.tower.proj.shape
    heads = []
    for stage in range(STAGES):
        weight, bias = (named.get(f"fc.{stage}.{part}") for part in ("weight", "bias"))
        fits = weight is not None and bias is not None and weight.shape == (joint, width) and bias.shape == (joint,)
        if weight is None or bias is None or not fits or not (weight.is_floating_point() and bias.is_floating_point()):
            raise ConfigError(
                f"{path} holds no heads for this model: fc.{stage}.weight of {joint} x {width} and its bias are wanted."
            )
        heads.append((weight.float().to(clip.device), bias.float().to(clip.device)))
    return heads
