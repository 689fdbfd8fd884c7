"""What the CLIP baselines share: the model and its weights, the picture's way in, and the ensemble of prompts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import open_clip
import torch
from PIL import Image
from pydantic import Field

from lvlm_ad.backend import Transport
from lvlm_ad.baseline import BaselineOptions
from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TEMPLATES", "Clip", "ClipOptions"]

TEMPLATES = (
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of the {}.",
    "a dark photo of a {}.",
    "a jpeg corrupted photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "a photo of a {} for anomaly detection.",
)
"""The 22 frames of the compositional prompt ensemble, as published with CLIP-AD and WinCLIP."""

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures on which OpenAI's CLIP was trained; LAION's models keep them."""

_TEXTS = 64
"""Prompts in one batch."""


class ClipOptions(BaselineOptions):
    """Options of every CLIP baseline."""

    model: str = "ViT-B-16-plus-240"
    """The architecture's name in open_clip."""
    pretrained: str = "laion400m_e31"
    """Weights: a tag of open_clip, a file, or "random" (for trying out; the scores then mean nothing)."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (a CUDA GPU, else the CPU), cuda, cuda:1 or cpu."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    memory: Annotated[float, Field(gt=0), Transport] = 1.0
    """About how many GB the windows of a picture may take at once."""


class Clip:
    """A CLIP model whose image tower is a plain vision transformer.

    Args:
        options: which model, which weights, where.

    Attributes:
        side: the picture's side in pixels.
        grid: patches along a side.
        temperature: of the softmax over cosines; the inverse of the learned scale.

    Raises:
        ConfigError: there is no such model or device, the weights cannot be had, or the image tower is of another kind.
    """

    def __init__(self, options: ClipOptions) -> None:
        self._options = options
        kind = options.device
        if kind == "auto":
            kind = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.device = torch.device(kind)
        except RuntimeError as error:
            raise ConfigError(f"There is no device {kind!r}; set device=cuda, cuda:1 or cpu.") from error
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError("This machine has no CUDA GPU; set device=cpu, or auto.")
        fast = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = getattr(torch, fast if options.dtype == "auto" else options.dtype)
        self._model = _loaded(options).eval().requires_grad_(requires_grad=False).to(self.device)
        tower = self._model.visual
        if not hasattr(tower, "conv1") or not hasattr(tower, "class_embedding"):
            raise ConfigError(f"The image tower of {options.model} is no plain vision transformer; choose a ViT.")
        tower.to(self.dtype)
        self.tower = tower
        self.side = int(tower.image_size[0] if isinstance(tower.image_size, tuple | list) else tower.image_size)
        self.grid = int(tower.grid_size[0])
        self.temperature = float(1 / self._model.logit_scale.exp())
        self._tokenizer = open_clip.get_tokenizer(options.model)
        self._lock = threading.Lock()
        self._texts: dict[tuple[str, ...], torch.Tensor] = {}

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 (hex) over the weights as they were loaded, names and values."""
        digest = hashlib.sha256()
        for name, value in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()

    def pictures(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Turn images into the tower's input, squashed to its square.

        Args:
            images: uint8 ``(H, W, 3)``, RGB, of any sizes.

        Returns:
            ``(B, 3, side, side)`` on the device.
        """
        size = (self.side, self.side)
        squares = [
            image if image.shape[:2] == size else np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
            for image in images
        ]
        values = torch.from_numpy(np.stack(squares)).to(self.device).float() / 255
        mean, std = (torch.tensor(each, device=self.device) for each in (_MEAN, _STD))
        return ((values - mean) / std).permute(0, 3, 1, 2).to(self.dtype).contiguous()

    def tokens(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return what the transformer begins with, ``(B, 1 + grid * grid, width)``: the class token, then the patches.

        The positional embedding is in it, and the norm before the first block, which sees each token by itself.
        """
        tower = self.tower
        patches = tower.conv1(pictures).flatten(2).transpose(1, 2)
        cls = tower.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens: torch.Tensor = tower.ln_pre(torch.cat([cls, patches], dim=1) + tower.positional_embedding)
        return tokens

    def classes(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the transformer for the class token alone.

        Args:
            tokens: ``(N, L, width)``, the class token first; batch first, or attention would run across the batch.

        Returns:
            float32 ``(N, D)``, unit vectors in the joint space.
        """
        *blocks, last = self.tower.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        # Of the last block only the class token is wanted: it asks, all others answer.
        normed = last.ln_1(tokens)
        cls = normed[:, :1]
        attended = last.attn(cls, normed, normed, need_weights=False)[0]
        out = tokens[:, :1] + last.ls_1(attended)
        out = out + last.ls_2(last.mlp(last.ln_2(out)))
        return self.embedded(out[:, 0])

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the last block, ``(..., width)``, as unit vectors of the joint space, float32."""
        features = self.tower.ln_post(tokens) @ self.tower.proj
        return torch.nn.functional.normalize(features.float(), dim=-1)

    def ensemble(self, prompts: Sequence[str], choose: Callable[[torch.Tensor], torch.Tensor] | None = None) -> torch.Tensor:
        """Return the unit vector that stands for many prompts, float32 ``(D,)``.

        Args:
            prompts: what is averaged.
            choose: from their unit vectors ``(P, D)`` to the vector that stands for them; None: the mean.
        """
        vectors = self.texts(tuple(prompts))
        chosen = vectors.mean(dim=0) if choose is None else choose(vectors)
        return torch.nn.functional.normalize(chosen, dim=-1)

    def texts(self, prompts: tuple[str, ...]) -> torch.Tensor:
        """Return the prompts' unit vectors, float32 ``(P, D)``; each prompt is encoded once."""
        with self._lock:
            if prompts not in self._texts:
                self._texts[prompts] = self._encoded(prompts)
            return self._texts[prompts]

    @torch.inference_mode()
    def _encoded(self, prompts: tuple[str, ...]) -> torch.Tensor:
        tokens = self._tokenizer(list(dict.fromkeys(prompts))).to(self.device)
        # What follows the end of a text cannot change it, since each place sees only those before it.
        longest = int(tokens.argmax(dim=-1).max()) + 1
        vectors = torch.cat([self._text_vectors(part, longest) for part in tokens.split(_TEXTS)])
        found = dict(zip(dict.fromkeys(prompts), torch.nn.functional.normalize(vectors, dim=-1), strict=True))
        return torch.stack([found[prompt] for prompt in prompts])

    def _text_vectors(self, tokens: torch.Tensor, length: int) -> torch.Tensor:
        """Encode texts cut to ``length`` places; the end of a text is its token of the highest number."""
        model = self._model
        x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        x = model.ln_final(x)
        ends = x[torch.arange(len(tokens), device=x.device), tokens.argmax(dim=-1)]
        vectors: torch.Tensor = (ends @ model.text_projection).float()
        return vectors


def _loaded(options: ClipOptions) -> Any:
    """Build the model with its weights."""
    if options.model not in open_clip.list_models():
        raise ConfigError(f"open_clip {open_clip.__version__} has no model {options.model!r}; see open_clip.list_models().")
    if options.pretrained == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return open_clip.create_model(options.model, pretrained=None)
    tags = open_clip.list_pretrained_tags_by_model(options.model)
    if options.pretrained not in tags and not Path(options.pretrained).expanduser().is_file():
        raise ConfigError(
            f"There are no weights {options.pretrained!r}: no file, and for {options.model} open_clip knows "
            f"{', '.join(tags) or 'none'}."
        )
    named = options.pretrained if options.pretrained in tags else str(Path(options.pretrained).expanduser())
    try:
        return open_clip.create_model(options.model, pretrained=named, weights_only=True)
    except Exception as error:
        raise ConfigError(
            f"The weights {options.pretrained} of {options.model} cannot be had: {str(error).splitlines()[0][:200]}. Where "
            f"there is no network, fetch them elsewhere and give the file with --set pretrained=FILE."
        ) from error
