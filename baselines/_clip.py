"""A CLIP model of open_clip: its weights, the way in for pictures, and the towers cut where the methods need them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import open_clip
import torch
from torch.nn import functional

from lvlm_ad.errors import ConfigError

from ._clip_loading import loaded, tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Clip", "shared_clip"]

_TEXTS = 64
"""Prompts in one batch."""

_ROWS = {"cpu": 384, "cuda": 65536}
"""Tokens that pass through a block at once: enough to keep the device busy, few enough to stay small."""

_SHARED: WeakValueDictionary[tuple[str, ...], Clip] = WeakValueDictionary()
"""Models that somebody holds: WinCLIP and CLIP-AD in one bench share 800 MB of weights."""
_SHARING = threading.Lock()


def shared_clip(model: str, pretrained: str, device: str, dtype: str) -> Clip:
    """Return a model, the same one for as long as anybody holds it. Takes and raises as ``Clip`` does."""
    key = (model, pretrained, device, dtype)
    with _SHARING:
        clip = _SHARED.get(key)
        if clip is None:
            clip = _SHARED[key] = Clip(*key)
        return clip


class Clip:
    """A CLIP model whose image tower is a plain vision transformer.

    Its text tower computes in float32 everywhere: it runs once a category.

    Args:
        model: the architecture's name in open_clip.
        pretrained: a tag of open_clip, a file, or "random".
        device: where it runs, as torch names it.
        dtype: what the image tower computes in: "float32", "bfloat16" or "float16".

    Attributes:
        side: the picture's side in pixels.
        grid: patches along a side.
        temperature: of the softmax over cosines; the inverse of the learned scale.
        weights_hash: SHA-256 (hex) of the weights and of what else decides on vectors: activations, heads, the way in.

    Raises:
        ConfigError: there is no such model, the weights cannot be had, or the image tower is of another kind.
    """

    def __init__(self, model: str, pretrained: str, device: str, dtype: str) -> None:
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self._name = model
        self._model = loaded(model, pretrained).eval().requires_grad_(requires_grad=False)
        looks = open_clip.get_model_preprocess_cfg(self._model)
        self.weights_hash = _hash(self._model, looks)
        _check_tower(self._model.visual, model)
        self._model.to(self.device)
        self.tower = self._model.visual.to(self.dtype)
        self.side = int(self.tower.image_size[0])
        self.grid = int(self.tower.grid_size[0])
        self.width = int(self.tower.conv1.out_channels)
        self._rows = _ROWS.get(self.device.type, 4096)
        self.temperature = float(1 / self._model.logit_scale.exp())
        mean, std = (torch.tensor(looks[name], device=self.device) for name in ("mean", "std"))
        self._scale = mean, std

    @cached_property
    def _tokenizer(self) -> Any:
        """Raises ConfigError if it cannot be had: those of some models come from the hub."""
        return tokenizer(self._name)

    def pictures(self, squares: NDArray[np.uint8]) -> torch.Tensor:
        """Turn pictures into the tower's input.

        Args:
            squares: uint8 ``(B, side, side, 3)``, RGB.

        Returns:
            ``(B, 3, side, side)`` on the device.
        """
        values = torch.from_numpy(squares).to(self.device).float() / 255
        mean, std = self._scale
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

    @property
    def blocks(self) -> Sequence[Any]:
        """The blocks of the image tower, in order."""
        return list(self.tower.transformer.resblocks)

    def classes(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the transformer for the class token alone.

        Args:
            tokens: ``(B, L, width)``, what the transformer begins with.

        Returns:
            float32 ``(B, D)``, unit vectors in the joint space.
        """
        whole = torch.arange(tokens.shape[1], device=tokens.device)
        return self.sequences(tokens, [whole[None]])[0][:, 0]

    def sequences(self, tokens: torch.Tensor, indices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Embed many sequences that are cut from the same tokens; all others are dropped, not masked.

        In the first block each token is projected once for all sequences. Of the last block only the class token is
        wanted: it asks, all others answer. Sequences pass through a block in portions, which bounds the memory.

        Args:
            tokens: ``(B, L, width)``, what the transformer begins with.
            indices: for each kind of sequence int64 ``(W, l)``, its tokens, the class token first.

        Returns:
            For each kind float32 ``(B, W, D)``, unit vectors in the joint space.
        """
        first, *between, last = self.blocks
        projected = functional.linear(first.ln_1(tokens), first.attn.in_proj_weight, first.attn.in_proj_bias)
        found = []
        for index in indices:
            cut = tokens[:, index].flatten(0, 1)
            portion = max(1, self._rows // index.shape[1])
            for start in range(0, len(cut), portion):
                # Which picture and which window a sequence is of.
                number = torch.arange(start, min(start + portion, len(cut)), device=cut.device)
                states = projected[(number // len(index))[:, None], index[number % len(index)]]
                _pass(first, cut[start : start + portion], states)
            for block in between:
                for part in cut.split(portion):
                    _pass(block, part, _states(block, part))
            vectors = torch.cat([self.embedded(_class_alone(last, part)) for part in cut.split(portion)])
            found.append(vectors.unflatten(0, (len(tokens), len(index))))
        return found

    def all_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the whole transformer; return ``(N, L, width)`` as the last block leaves it."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the last block, ``(..., width)``, as unit vectors of the joint space, float32."""
        features = self.tower.ln_post(tokens) @ self.tower.proj
        return functional.normalize(features.float(), dim=-1)

    @torch.inference_mode()
    def texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return the prompts' embeddings as the text tower gives them, float32 ``(P, D)``, on the device."""
        unique = list(dict.fromkeys(prompts))
        tokens = self._tokenizer(unique).to(self.device)
        vectors = torch.cat([self._encoded(part) for part in tokens.split(_TEXTS)])
        place = {prompt: at for at, prompt in enumerate(unique)}
        return vectors[[place[prompt] for prompt in prompts]]

    def _encoded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encode texts, cut where the longest ends if no place of a text sees those behind it."""
        model = self._model
        causal = getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", "") == "argmax"
        if not causal:
            vectors: torch.Tensor = model.encode_text(tokens)
            return vectors.float()
        # The end of a text is its token of the highest number.
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        projection = model.text_projection
        found = x[torch.arange(len(tokens), device=x.device), ends]
        vectors = projection(found) if isinstance(projection, torch.nn.Module) else found @ projection
        return vectors.float()


def _states(block: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return queries, keys and values of tokens ``(N, L, width)``, one after another: ``(N, L, 3 * width)``."""
    return functional.linear(block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _pass(block: Any, tokens: torch.Tensor, states: torch.Tensor) -> None:
    """Let sequences ``(N, L, width)`` pass through a block, in place; their queries, keys and values are given."""
    heads = [one.unflatten(2, (block.attn.num_heads, -1)).transpose(1, 2) for one in states.chunk(3, dim=2)]
    attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    tokens += block.ls_1(block.attn.out_proj(attended))
    tokens += block.ls_2(block.mlp(block.ln_2(tokens)))


def _class_alone(block: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return what a block makes of each sequence's first token, ``(N, width)``; the others are asked, no more."""
    normed = block.ln_1(tokens)
    attended = block.attn(normed[:, :1], normed, normed, need_weights=False)[0][:, 0]
    cls = tokens[:, 0] + block.ls_1(attended)
    out: torch.Tensor = cls + block.ls_2(block.mlp(block.ln_2(cls)))
    return out


def _hash(model: Any, looks: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) over the weights, names and values, and over what shapes of arrays do not tell.

    OpenAI's weights load into a model with another activation without a word, and see other things there.
    """
    modules = list(model.modules())
    bare = {type(one).__name__ for one in modules if not list(one.children()) and not list(one.parameters())}
    heads = [one.num_heads for one in modules if isinstance(one, torch.nn.MultiheadAttention)]
    facts = [sorted(bare), heads, *(list(looks[name]) for name in ("mean", "std"))]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_tower(tower: Any, name: str) -> None:
    """Refuse a tower that the methods cannot take apart.

    Raises:
        ConfigError: it is no plain vision transformer with a class token, or open_clip is too old.
    """
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", [])
    plain = (
        bool(blocks)
        and all(isinstance(getattr(block, "attn", None), torch.nn.MultiheadAttention) for block in blocks)
        and getattr(tower, "pool_type", "") == "tok"
        and getattr(tower, "attn_pool", 0) is None
        and not tower.final_ln_after_pool
        and tower.proj is not None
        and tower.grid_size[0] == tower.grid_size[1]
    )
    if not plain:
        raise ConfigError(
            f"The image tower of {name} is no plain vision transformer with a class token; choose one such as "
            "ViT-B-16-plus-240, ViT-B-16 or ViT-L-14."
        )
    if not blocks[0].attn.batch_first:
        # There, attention would run across the windows of a picture instead of within each, without any error.
        raise ConfigError(f"open_clip {open_clip.__version__} is too old; pip install -U 'open_clip_torch>=3'.")
