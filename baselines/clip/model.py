"""A CLIP model of open_clip: its weights, and embeddings of texts, pictures, and parts of pictures."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch.nn import functional

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.weights import check_weights, from_hub

from .layouts import FILES, open_layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names in open_clip's repositories at the hub, in order of preference."""

_TEXT_BATCH = 64
"""Prompts in one batch."""

_TOKENS_AT_ONCE = {"cpu": 384, "cuda": 65536}
"""Tokens in one call of a block: enough to keep the device busy, few enough for its memory."""

_SHARED: WeakValueDictionary[tuple[str, ...], Clip] = WeakValueDictionary()
"""Models in use: WinCLIP and CLIP-AD in one bench share 800 MB of weights."""
_LOCK = threading.Lock()


def shared_clip(model: str, pretrained: str, device: str, dtype: str) -> Clip:
    """Return the model with these arguments of ``Clip``; load it only if it is not in use already."""
    key = (model, pretrained, device, dtype)
    with _LOCK:
        clip = _SHARED.get(key)
        if clip is None:
            clip = _SHARED[key] = Clip(*key)
        return clip


class Clip:
    """A CLIP model whose image tower is a plain vision transformer.

    The text tower always computes in float32: it runs only once per category.

    Args:
        model: the architecture's name in open_clip.
        pretrained: a tag of open_clip, a file, or "random".
        device: torch's name of the device.
        dtype: data type of the image tower: "float32", "bfloat16" or "float16".

    Attributes:
        side: side of a picture in pixels.
        grid: patches along a side.
        temperature: temperature of the softmax over cosines, the inverse of the learned scale.
        weights_hash: SHA-256 (hex) of the weights and of all else that decides the vectors: activations, heads,
            normalisation of pictures.

    Raises:
        ConfigError: there is no such model, the weights are not available, or the image tower is of another kind.
    """

    def __init__(self, model: str, pretrained: str, device: str, dtype: str) -> None:
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self._name = model
        self._model = load_clip(model, pretrained).eval().requires_grad_(requires_grad=False)
        preprocessing = open_clip.get_model_preprocess_cfg(self._model)
        self.weights_hash = _hash(self._model, preprocessing)
        _check_tower(self._model.visual, model)
        self._model.to(self.device)
        self.tower = self._model.visual.to(self.dtype)
        self.side = int(self.tower.image_size[0])
        self.grid = int(self.tower.grid_size[0])
        self.width = int(self.tower.conv1.out_channels)
        self._tokens_at_once = _TOKENS_AT_ONCE.get(self.device.type, 4096)
        self.temperature = float(1 / self._model.logit_scale.exp())
        mean, std = (torch.tensor(preprocessing[name], device=self.device) for name in ("mean", "std"))
        self._normalisation = mean, std

    @cached_property
    def _tokenizer(self) -> Any:
        """Loaded with the first prompt; it may need the hub."""
        return load_tokenizer(self._name)

    def pictures(self, squares: NDArray[np.uint8]) -> torch.Tensor:
        """Convert pictures, uint8 ``(B, side, side, 3)``, to the tower's input ``(B, 3, side, side)`` on the device."""
        values = torch.from_numpy(squares).to(self.device).float() / 255
        mean, std = self._normalisation
        return ((values - mean) / std).permute(0, 3, 1, 2).to(self.dtype).contiguous()

    def tokens(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the transformer's input, ``(B, 1 + grid * grid, width)``: the class token, then the patches.

        Includes the positional embedding and the norm before the first block.
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
        """Run the transformer for the class token only; return unit vectors of the joint space, float32 ``(B, D)``."""
        whole = torch.arange(tokens.shape[1], device=tokens.device)
        return self.sequences(tokens, [whole[None]])[0][:, 0]

    def sequences(self, tokens: torch.Tensor, indices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Embed many subsequences of the same tokens; other tokens are dropped, not masked.

        The first block projects each token once for all sequences. The last block computes the class token only.
        Sequences pass through a block in portions, to bound the memory.

        Args:
            tokens: ``(B, L, width)``, the transformer's input.
            indices: for each kind of sequence int64 ``(W, l)``, the indices of its tokens, the class token first.

        Returns:
            For each kind float32 ``(B, W, D)``, unit vectors in the joint space.
        """
        first, *between, last = self.blocks
        projected = _states(first, tokens)
        vectors = []
        for index in indices:
            cut = tokens[:, index].flatten(0, 1)
            portion = max(1, self._tokens_at_once // index.shape[1])
            for start in range(0, len(cut), portion):
                # Sequence number -> picture and window.
                number = torch.arange(start, min(start + portion, len(cut)), device=cut.device)
                states = projected[(number // len(index))[:, None], index[number % len(index)]]
                _pass(first, cut[start : start + portion], states)
            for block in between:
                for part in cut.split(portion):
                    _pass(block, part, _states(block, part))
            classes = torch.cat([self.embedded(_class_only(last, part)) for part in cut.split(portion)])
            vectors.append(classes.unflatten(0, (len(tokens), len(index))))
        return vectors

    def all_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the whole transformer; return the last block's output ``(N, L, width)``."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Project tokens of the last block, ``(..., width)``, to unit vectors of the joint space, float32."""
        features = self.tower.ln_post(tokens) @ self.tower.proj
        return functional.normalize(features.float(), dim=-1)

    @torch.inference_mode()
    def texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return the prompts' embeddings, not normalised, float32 ``(P, D)``, on the device."""
        unique = list(dict.fromkeys(prompts))
        tokens = self._tokenizer(unique).to(self.device)
        vectors = torch.cat([self._encoded(part) for part in tokens.split(_TEXT_BATCH)])
        position = {prompt: index for index, prompt in enumerate(unique)}
        return vectors[[position[prompt] for prompt in prompts]]

    def _encoded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encode texts. With causal attention, padding behind the longest text is cut off, which changes nothing."""
        model = self._model
        causal = getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", "") == "argmax"
        if not causal:
            vectors: torch.Tensor = model.encode_text(tokens)
            return vectors.float()
        # The end token has the highest number.
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        projection = model.text_projection
        last = x[torch.arange(len(tokens), device=x.device), ends]
        vectors = projection(last) if isinstance(projection, torch.nn.Module) else last @ projection
        return vectors.float()


def _states(block: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the queries, keys and values of tokens ``(N, L, width)``, concatenated: ``(N, L, 3 * width)``."""
    return functional.linear(block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _pass(block: Any, tokens: torch.Tensor, states: torch.Tensor) -> None:
    """Run a block on sequences ``(N, L, width)``, in place, with the given queries, keys and values."""
    heads = [one.unflatten(2, (block.attn.num_heads, -1)).transpose(1, 2) for one in states.chunk(3, dim=2)]
    attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    tokens += block.ls_1(block.attn.out_proj(attended))
    tokens += block.ls_2(block.mlp(block.ln_2(tokens)))


def _class_only(block: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Run a block for each sequence's first token only; return ``(N, width)``."""
    normed = block.ln_1(tokens)
    attended = block.attn(normed[:, :1], normed, normed, need_weights=False)[0][:, 0]
    cls = tokens[:, 0] + block.ls_1(attended)
    out: torch.Tensor = cls + block.ls_2(block.mlp(block.ln_2(cls)))
    return out


def _hash(model: Any, preprocessing: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) over names and values of the weights, activations, heads, and normalisation.

    OpenAI's weights also load into a model with another activation, and give other vectors there.
    """
    modules = list(model.modules())
    bare = {type(one).__name__ for one in modules if not list(one.children()) and not list(one.parameters())}
    heads = [one.num_heads for one in modules if isinstance(one, torch.nn.MultiheadAttention)]
    facts = [sorted(bare), heads, *(list(preprocessing[name]) for name in ("mean", "std"))]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_tower(tower: Any, name: str) -> None:
    """Raise ConfigError unless a tower is a plain vision transformer with a class token, which splits into blocks."""
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
            f"The image tower of {name} is not a plain vision transformer with a class token; choose one such as "
            "ViT-B-16-plus-240, ViT-B-16 or ViT-L-14."
        )


def load_clip(model: str, pretrained: str) -> Any:
    """Load a model of open_clip with its weights, on the CPU.

    Args:
        model: the architecture's name in open_clip.
        pretrained: a tag of open_clip, whose file is downloaded once; a file, of which only the tensors are read; or
            "random": random values, always the same.
    """
    names = open_clip.list_models()
    if model not in names:
        raise ConfigError(f"open_clip {open_clip.__version__} has no model {model!r}.{nearest(model, names)}")
    if pretrained == "random":
        with torch.random.fork_rng(devices=[]), loading(f"{model} cannot be built"):
            torch.manual_seed(0)
            return open_clip.create_model(model, pretrained=None)
    tags = open_clip.list_pretrained_tags_by_model(model)
    file, config = Path(pretrained).expanduser(), {}
    if pretrained in tags:
        config = open_clip.get_pretrained_cfg(model, pretrained)
        file = _download(model, pretrained, config)
    elif file.is_dir():
        file = _file_in(file)
    elif not file.is_file():
        raise ConfigError(
            f"There are no weights {pretrained!r} for {model}: no such file, and open_clip has "
            f"{', '.join(tags) or 'none'}."
        )
    check_weights(file)
    other = open_layout(file)
    if other is not None:
        config = other[1]
    what = f"{file} holds no weights of {model} that can be loaded"
    with loading(what):
        built = open_clip.create_model(
            model,
            pretrained=str(file) if other is None else None,
            force_preprocess_cfg={name: config[name] for name in ("mean", "std") if name in config},
            force_quick_gelu=bool(config.get("quick_gelu", False)),
        )
        if other is not None:
            _fill(built, *other)
    return built


def _file_in(folder: Path) -> Path:
    """Return the file with the weights in a model's folder."""
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{folder} holds none of {', '.join(FILES)}; give the file of the weights with pretrained=FILE.")


def _fill(model: Any, state: dict[str, Any], facts: dict[str, Any]) -> None:
    """Load weights with open_clip's names into a model; all must fit."""
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    if "logit_scale" in state:
        state = {**state, "logit_scale": state["logit_scale"].reshape(model.logit_scale.shape)}
    model.load_state_dict(state, strict=True)
    text = getattr(model, "text", model).transformer
    heads = tuple(tower.resblocks[0].attn.num_heads for tower in (model.visual.transformer, text))
    if heads != facts.get("heads", heads):
        raise ConfigError(f"its towers have {facts['heads']} attention heads, but the model's have {heads}")


def load_tokenizer(model: str) -> Any:
    """Load the model's tokenizer; some must be downloaded from the hub."""
    with loading(f"The tokenizer of {model} cannot be loaded"):
        return open_clip.get_tokenizer(model)


def _download(model: str, tag: str, config: dict[str, Any]) -> Path:
    """Return the file of a tag, downloaded from the hub once; an error names the file and how to give it."""
    repository = str(config.get("hf_hub", "")).rstrip("/")
    if not repository:
        raise ConfigError(
            f"The weights {tag} of {model} are not at the hub; give their file with --set pretrained=FILE."
        )
    otherwise = f"give the file of {tag} with --set pretrained=FILE"
    if config.get("quick_gelu") and f"{model}-quickgelu" in open_clip.list_models():
        # The file does not tell the activation.
        otherwise += f" --set model={model}-quickgelu"
    if config.get("url"):
        otherwise += f"; it is also at {config['url']}"
    others = [other for other in open_clip.list_pretrained_tags_by_model(model) if other != tag]
    if any(repository.endswith(f".{other}") for other in others):
        # open_clip 3.3.0 silently loads epoch 31 of ViT-B-16-plus-240 instead of epoch 32.
        raise ConfigError(f"open_clip {open_clip.__version__} would load {repository} for {tag}; {otherwise}.")
    for name in _FILES:
        file = from_hub(repository, [name], otherwise=otherwise) / name
        if file.is_file():
            return file
    raise ConfigError(f"{repository} holds neither {' nor '.join(_FILES)}; {otherwise}.")


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Silence open_clip and its dependencies, and turn any exception of theirs into one line that begins with what."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, (pickle.UnpicklingError, KeyError, EOFError, StopIteration)) or not reason:
            # Their own messages explain nothing.
            reason = "it is damaged, or holds other things than tensors"
        raise ConfigError(f"{what} ({reason}).") from error
    finally:
        logger.setLevel(level)
