"""Divide an image by the masks of Segment Anything: its automatic mask generator, in transformers.

Published: SAM ViT-H (Kirillov et al., arXiv 2304.02643) with its generator's defaults. SAM 2 and the other models that
transformers lists for "mask-generation" load by name or folder too. Masks may overlap and leave gaps.
"""

from __future__ import annotations

import importlib.util
import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import ConfigError
from lvlm_ad.regions.regions import DivisionOptions, Regions
from lvlm_ad.weights import chosen_device, find_weights, weights_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_NEEDED = ("torch", "torchvision", "transformers")
_SMALLEST_SIDE = 16
"""The image processor may take a side of 1, 3 or 4 pixels for the colour channels."""
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""Parts of torch's messages; it has no common exception for CUDA, Apple's GPUs, the CPU, cuBLAS and cuDNN."""


class SamOptions(DivisionOptions):
    """Options of the masks of Segment Anything."""

    in_one_process: ClassVar[bool] = True

    sam_model: Annotated[str, Field(min_length=1)] = "facebook/sam-vit-huge"
    """The model's name at the Hugging Face hub, or its folder."""
    sam_points_per_side: Annotated[int, Field(ge=1, le=128)] = 32
    """The model gets a grid of this many points along each side."""
    pred_iou_thresh: Annotated[float, Field(ge=0, le=1)] = 0.88
    """A mask is kept if the model predicts an IoU above this; 0 keeps all."""
    stability_score_thresh: Annotated[float, Field(ge=0, le=1)] = 0.95
    """A mask is kept if its versions at a threshold one higher and one lower have an IoU above this; 0 keeps all."""
    crops_nms_thresh: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Of two masks whose boxes have an IoU above this, the one with the lower predicted IoU is dropped."""
    sam_points_per_batch: Annotated[int, Field(ge=1)] = 64
    """Points in one batch; halved automatically when memory runs out."""
    sam_device: str = "auto"
    """Where the model runs: auto (a CUDA GPU, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""

    def identity(self) -> dict[str, Any]:
        """Return what the masks depend on: the weights' content, and the settings that are not about speed.

        Device and batch are left out although they round a mask's logits, and so may move single pixels of its edge.
        """
        settings = self.model_dump(mode="json", exclude={"sam_model", "sam_points_per_batch", "sam_device"})
        return {"sam_weights": weights_hash(_folder(self.sam_model)), **settings}

    def record(self) -> dict[str, Any]:
        """Return the identity, and the model's name or folder as the user gave it."""
        return {"sam_model": self.sam_model, **self.identity()}

    def release(self) -> None:
        """Unload the model: the next model may need the memory."""
        with _LOADING:
            for generator in _LOADED.values():
                generator.release()
            _LOADED.clear()


def divide_by_sam(image: NDArray[np.uint8], options: SamOptions) -> Regions:
    """Divide an image by masks that may overlap.

    Regions are numbered by area, the largest first; of equal areas, the one that begins first in reading order. The
    generator's own order is by predicted IoU, whose rounding depends on device and batch.

    Args:
        image: uint8 ``(H, W, 3)``. An oblong image is stretched to a square, as the protocol does with every image:
            SAM 2 stretches anyway, and transformers would then place the points in a part of the image only.
        options: the settings.

    Raises:
        ConfigError: the extra "local" is not installed, there is no such device, the model cannot be found or loaded,
            is of another kind, or memory does not suffice for one point.
    """
    height, width = image.shape[:2]
    side = max(height, width, _SMALLEST_SIDE)
    generated = _generator(options).masks(resize_image(image, (side, side)), options)
    # Identical masks are one region.
    masks = {np.packbits(mask).tobytes(): mask for mask in (resize_mask(one, (height, width)) for one in generated)}
    order = sorted(((int(mask.sum()), bits) for bits, mask in masks.items()), reverse=True)
    fits = options.fits(np.array([area for area, _ in order], dtype=np.int64), height * width)
    kept = [masks[bits] for (_, bits), fit in zip(order, fits, strict=True) if fit]
    return Regions.from_masks(np.array(kept, dtype=np.bool_).reshape(-1, height, width))


class _Generator:
    """A loaded model as transformers' mask generation; it divides one image at a time."""

    def __init__(self, pipeline: Any, name: str) -> None:
        self._pipeline = pipeline
        self._name = name
        self._lock = threading.Lock()
        self._most_points: int | None = None  # that fit into memory in one batch; None: memory has not run out yet

    def masks(self, square: NDArray[np.uint8], options: SamOptions) -> Sequence[NDArray[np.bool_]]:
        """Return the masks of an image, bool ``(S, S)`` each."""
        picture = Image.fromarray(square)
        with self._lock:
            points = min(self._most_points or options.sam_points_per_batch, options.sam_points_per_batch)
            while True:
                try:
                    return self._generate(picture, options, points)
                except Exception as error:
                    # The model's own code runs here, so any exception may come.
                    problem = _first_line(error)
                    if not isinstance(error, MemoryError) and not any(text in str(error) for text in _OUT_OF_MEMORY):
                        raise ConfigError(f"{self._name} cannot divide an image: {problem}") from error
                # Here the exception no longer exists, nor the frames that referred to the batch.
                self._free()
                if points == 1:
                    raise ConfigError(
                        f"{self._name} runs out of memory on {self._pipeline.device} even with one point at a time "
                        f"({problem}) Free memory there, set sam_device=cpu, or use a smaller model, such as "
                        "sam_model=facebook/sam-vit-base."
                    )
                self._most_points = points = points // 2

    def _generate(self, picture: Image.Image, options: SamOptions, points: int) -> Sequence[NDArray[np.bool_]]:
        # Calling the pipeline itself would use a DataLoader, which changes the process's environment.
        output = self._pipeline.run_single(
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
        return [mask.numpy() for mask in output["masks"]]

    def release(self) -> None:
        """Free the memory; the model cannot be used any more."""
        with self._lock:
            self._pipeline.model = None
            self._free()

    def _free(self) -> None:
        import torch  # noqa: PLC0415 - comes with the extra "local"

        if self._pipeline.device.type == "cuda":
            torch.cuda.empty_cache()


_LOADED: dict[tuple[str, str], _Generator] = {}
"""(model, device) -> the model that was used last."""
_LOADING = threading.Lock()


def _generator(options: SamOptions) -> _Generator:
    """Return the model, loaded once in a process."""
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"The sam division needs {' and '.join(absent)}: pip install 'lvlm-ad[local]'.")
    name, device = options.sam_model, chosen_device(options.sam_device, setting="sam_device")
    with _LOADING:
        if (name, device) not in _LOADED:
            _LOADED.clear()
            _LOADED[name, device] = _Generator(_load(_folder(name), name, device), name)
        return _LOADED[name, device]


@lru_cache(maxsize=8)
def _folder(name: str) -> Path:
    """Return a model's folder; the hub is asked once in a process, so that one division uses one model."""
    return find_weights(name)


def _load(folder: Path, name: str, device: str) -> Any:
    """Load a model as transformers' mask generation, with 32-bit weights on every device, as published."""
    import torch  # noqa: PLC0415 - comes with the extra "local"
    import transformers  # noqa: PLC0415 - likewise
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING_NAMES  # noqa: PLC0415

    # Its progress bars would mix with ours.
    transformers.utils.logging.disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    with _loading(name, device):
        kind = transformers.AutoConfig.from_pretrained(folder, **here).model_type
    if kind not in MODEL_FOR_MASK_GENERATION_MAPPING_NAMES:
        raise ConfigError(
            f"{name} is a {kind}, not a Segment Anything model; transformers {transformers.__version__} generates "
            f"masks with {', '.join(MODEL_FOR_MASK_GENERATION_MAPPING_NAMES)}."
        )
    with _loading(name, device):
        model, report = transformers.AutoModelForMaskGeneration.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **here
        )
        # The same image processor everywhere: the other one rounds a resized picture differently.
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="torchvision", **here)
        pipeline = transformers.pipeline(
            "mask-generation", model=model.eval(), image_processor=processor, device=device
        )
    if report["missing_keys"]:
        raise ConfigError(
            f"{name} lacks {len(report['missing_keys'])} of the model's weights, such as "
            f"{min(report['missing_keys'])}; they would be random."
        )
    return pipeline


@contextmanager
def _loading(name: str, device: str) -> Iterator[None]:
    """Translate errors: damaged files, missing packages, custom code or too little memory each raise another one."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"{name} cannot be loaded on {device}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{(lines[0] if lines else type(error).__name__)[:300].rstrip('.')}."
