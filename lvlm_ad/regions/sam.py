"""Regions as Segment Anything finds them: its automatic mask generator, through transformers.

Published: SAM ViT-H (Kirillov et al., arXiv 2304.02643) with its generator's defaults. SAM 2 and others that
transformers lists for "mask-generation" load by name or folder too. Masks may overlap and leave gaps.
"""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import ConfigError
from lvlm_ad.regions.options import DivisionOptions
from lvlm_ad.regions.regions import Regions
from lvlm_ad.weights import chosen_device, find_weights, weights_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SamOptions", "divide_by_sam"]

_NEEDED = ("torch", "torchvision", "transformers")
_SMALLEST_SIDE = 16
"""A picture of 1, 3 or 4 pixels a side could be mistaken for one with its channels last."""
_SHORT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""How torch says so: of CUDA and Apple's GPUs, of the CPU, and of cuBLAS and cuDNN. It has no one type for it."""


class SamOptions(DivisionOptions):
    """Options of the masks of Segment Anything."""

    in_one_process: ClassVar[bool] = True

    sam_model: Annotated[str, Field(min_length=1)] = "facebook/sam-vit-huge"
    """The model's name at the Hugging Face hub, or its folder."""
    sam_points_per_side: Annotated[int, Field(ge=1, le=128)] = 32
    """The model is asked about a grid of this many points a side."""
    pred_iou_thresh: Annotated[float, Field(ge=0, le=1)] = 0.88
    """A mask is kept if the model thinks its IoU is above this; 0 keeps all."""
    stability_score_thresh: Annotated[float, Field(ge=0, le=1)] = 0.95
    """A mask is kept if its IoU between a cut-off one higher and one lower is above this; 0 keeps all."""
    crops_nms_thresh: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Of two masks whose boxes have an IoU above this, the one with the lower predicted IoU goes."""
    sam_points_per_batch: Annotated[int, Field(ge=1)] = 64
    """Points asked about together, for speed; halved by itself where memory runs out."""
    sam_device: str = "auto"
    """Where the model runs: auto (a CUDA GPU, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the masks: the weights by their content, and the settings that are not about speed.

        Device and batch decide how a mask's logits are rounded, and so perhaps single pixels of its edge.
        """
        settings = self.model_dump(mode="json", exclude={"sam_model", "sam_points_per_batch", "sam_device"})
        return {"sam_weights": _found(self.sam_model)[1], **settings}

    def release(self) -> None:
        """Unload the model: whoever answers next may need the memory."""
        with _LOADING:
            generators = list(_LOADED.values())
            _LOADED.clear()
        for generator in generators:
            generator.release()

    def record(self) -> dict[str, Any]:
        """Return the identity, and the model's name or folder as it was given."""
        return {"sam_model": self.sam_model, **self.identity()}


def divide_by_sam(image: NDArray[np.uint8], options: SamOptions) -> Regions:
    """Find masks that may overlap.

    Regions are numbered by area, the largest first; of equal ones, the one that begins first in reading order. So the
    numbers follow from the masks alone. The generator's own order is that of predicted IoU, whose rounding depends on
    the device and on how many points are asked about together.

    Args:
        image: uint8 ``(H, W, 3)``. One that is no square is stretched to one, as the protocol does with every image:
            SAM 2 stretches anyway, and transformers would then put the points in a part of the picture only.
        options: the settings.

    Raises:
        ConfigError: the extra "local" is not installed, there is no such device, the model cannot be found or loaded,
            is none of this kind, or memory does not suffice for one point.
    """
    height, width = image.shape[:2]
    side = max(height, width, _SMALLEST_SIDE)
    found = _generator(options).masks(resize_image(image, (side, side)), options)
    # Identical masks are one region.
    masks = {np.packbits(mask).tobytes(): mask for mask in (resize_mask(one, (height, width)) for one in found)}
    order = sorted(((int(mask.sum()), bits) for bits, mask in masks.items()), reverse=True)
    fits = options.fits(np.array([area for area, _ in order], dtype=np.int64), height * width)
    kept = [masks[bits] for (_, bits), fit in zip(order, fits, strict=True) if fit]
    return Regions.from_masks(np.array(kept, dtype=np.bool_).reshape(-1, height, width))


class _Generator:
    """A model on its device; it is asked about one image at a time.

    Args:
        pipeline: transformers' mask generation.
        name: the model, as messages call it.
    """

    def __init__(self, pipeline: Any, name: str) -> None:
        self._pipeline = pipeline
        self._name = name
        self._lock = threading.Lock()
        self._most: int | None = None
        """Points that were found to fit into the memory together; None: nothing was found too many."""

    def masks(self, square: NDArray[np.uint8], options: SamOptions) -> Sequence[NDArray[np.bool_]]:
        """Return the masks of an image, bool ``(S, S)`` each.

        Raises:
            ConfigError: the model fails, or memory does not suffice for one point.
        """
        picture = Image.fromarray(square)
        with self._lock:
            points = options.sam_points_per_batch if self._most is None else self._most
            points = min(points, options.sam_points_per_batch)
            while True:
                try:
                    return self._generated(picture, options, points)
                except Exception as error:
                    # What a model raises that its files do not suit is up to its code.
                    problem = _first_line(error)
                    if not isinstance(error, MemoryError) and not any(text in str(error) for text in _SHORT_OF_MEMORY):
                        raise ConfigError(f"{self._name} cannot divide an image: {problem}") from error
                # Out here the exception is gone, and with it the frames that held the batch.
                self._free()
                if points == 1:
                    raise ConfigError(
                        f"{self._name} runs out of memory on {self._pipeline.device} even with one point at a time "
                        f"({problem}) Free memory there, set sam_device=cpu, or take a smaller model, such as "
                        "sam_model=facebook/sam-vit-base."
                    )
                self._most = points = points // 2

    def _generated(self, picture: Image.Image, options: SamOptions, points: int) -> Sequence[NDArray[np.bool_]]:
        # Not by a call of the pipeline: that goes through a DataLoader, which changes the process's environment.
        found = self._pipeline.run_single(
            picture,
            {"points_per_batch": points, "points_per_crop": options.sam_points_per_side, "crops_n_layers": 0},
            {
                "pred_iou_thresh": options.pred_iou_thresh,
                "stability_score_thresh": options.stability_score_thresh,
                "stability_score_offset": 1,
                "mask_threshold": 0,
            },
            {"crops_nms_thresh": options.crops_nms_thresh},
        )
        return [mask.numpy() for mask in found["masks"]]

    def release(self) -> None:
        """Give the memory back; nothing can be asked any more."""
        with self._lock:
            device = self._pipeline.device
            self._pipeline = None
        _free(device)

    def _free(self) -> None:
        _free(self._pipeline.device)


def _free(device: Any) -> None:
    import torch  # noqa: PLC0415 - comes with the extra "local"

    if device.type == "cuda":
        torch.cuda.empty_cache()


_LOADED: dict[tuple[str, str], _Generator] = {}
"""(hash of the weights, device) -> the model that was used last: it stays, since images come one by one."""
_LOADING = threading.Lock()


def _generator(options: SamOptions) -> _Generator:
    """Return the model, loaded once a process."""
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"The sam division needs {' and '.join(absent)}; pip install 'lvlm-ad[local]'.")
    folder, weights = _found(options.sam_model)
    device = chosen_device(options.sam_device, setting="sam_device")
    with _LOADING:
        if (weights, device) not in _LOADED:
            _LOADED.clear()
            _LOADED[weights, device] = _Generator(_load(folder, options.sam_model, device), options.sam_model)
        return _LOADED[weights, device]


def _load(folder: Path, name: str, device: str) -> Any:
    """Load a model as transformers' mask generation, with 32-bit weights on every device, as published.

    Raises:
        ConfigError: it is no model of this kind, or cannot be loaded.
    """
    import torch  # noqa: PLC0415 - comes with the extra "local"
    import transformers  # noqa: PLC0415 - likewise
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING_NAMES  # noqa: PLC0415

    # Its bars would stand among our own lines.
    transformers.utils.logging.disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        kind = transformers.AutoConfig.from_pretrained(folder, **here).model_type
    except Exception as error:
        raise _unloadable(name, device, error) from error
    if kind not in MODEL_FOR_MASK_GENERATION_MAPPING_NAMES:
        raise ConfigError(
            f"{name} is a {kind}, not a Segment Anything model; transformers {transformers.__version__} generates "
            f"masks with {', '.join(MODEL_FOR_MASK_GENERATION_MAPPING_NAMES)}."
        )
    try:
        model, report = transformers.AutoModelForMaskGeneration.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **here
        )
        # One backend everywhere: the other rounds a resized picture otherwise.
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="torchvision", **here)
        pipeline = transformers.pipeline(
            "mask-generation", model=model.eval(), image_processor=processor, device=device
        )
    except Exception as error:
        raise _unloadable(name, device, error) from error
    if report["missing_keys"]:
        raise ConfigError(
            f"{name} lacks {len(report['missing_keys'])} of the model's weights, such as "
            f"{min(report['missing_keys'])}; they would be random."
        )
    return pipeline


def _unloadable(name: str, device: str, error: Exception) -> ConfigError:
    # Damaged files, code of its own, a package that is missing, too little memory: each raises something else.
    return ConfigError(f"{name} cannot be loaded on {device}: {_first_line(error)}")


def _found(name: str) -> tuple[Path, str]:
    """Return the folder of a model and the hash of what is in it."""
    folder = find_weights(name) if Path(name).expanduser().is_dir() else _fetched(name)
    stamps = [(path, path.stat()) for path in sorted(folder.resolve().iterdir()) if path.is_file()]
    return folder, _hashed(
        folder.resolve(), tuple((path.name, stat.st_size, stat.st_mtime_ns) for path, stat in stamps)
    )


@lru_cache(maxsize=8)
def _fetched(name: str) -> Path:
    """Ask the hub once a process: it is asked for the newest files each time, and a division takes one model."""
    return find_weights(name)


@lru_cache(maxsize=8)
def _hashed(folder: Path, _stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Hash gigabytes once a process, and again only if a file's size or time has changed."""
    return weights_hash(folder)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{(lines[0] if lines else type(error).__name__)[:300].rstrip('.')}."
