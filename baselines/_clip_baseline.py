"""What the CLIP baselines share: their options, the model that they hold, and pictures taken in batches."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field

from lvlm_ad.backend import Transport
from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, TooLargeError
from lvlm_ad.baseline import Baseline, BaselineOptions, DenseScores, View
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.weights import chosen_device, device_name

from ._tiles import Tile, squared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._clip import Clip
    from ._prompts import Prototypes

__all__ = ["ClipBaseline", "ClipOptions", "Method", "Squares", "WholePictures", "whole_picture"]

_ON_GPU = 32
"""Pictures in one batch on a GPU. A CPU has nothing to gain from more than one."""

P = TypeVar("P")


class ClipOptions(BaselineOptions):
    """Options of every CLIP baseline."""

    model: Annotated[str, Field(min_length=1)] = "ViT-B-16-plus-240"
    """The architecture's name in open_clip; a plain vision transformer."""
    pretrained: Annotated[str, Field(min_length=1)] = "laion400m_e31"
    """Weights: a tag of open_clip, a file, or "random" (to try things out; the scores mean nothing)."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (a CUDA GPU, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the image tower computes in; auto: bfloat16 on a CUDA GPU, else float32."""
    batch_size: Annotated[int | None, Field(ge=1), Transport] = None
    """Pictures at once; None: 32 on a GPU, 1 on a CPU."""
    text_cache: Annotated[Path | None, Transport] = None
    """Folder for the vectors of prompts; None: lvlm-ad/clip-text in the user's cache."""


class Method(Generic[P]):
    """How a baseline scores, once its model is loaded."""

    def prepared(self, views: Sequence[View]) -> P:
        """Turn views into what ``scored`` takes; runs on the CPU while the batch before it is scored."""
        raise NotImplementedError

    def scored(self, prepared: P) -> Sequence[DenseScores]:
        """Score a batch. Called by one thread, without gradients."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Squares:
    """A batch of whole pictures on its way to the model.

    Attributes:
        views: the views.
        pixels: uint8 ``(B, side, side, 3)``, each picture squeezed into a square, whatever its shape.
    """

    views: Sequence[View]
    pixels: NDArray[np.uint8]


class WholePictures(Method[Squares]):
    """A method that looks at each picture once, as a whole.

    Args:
        clip: the model.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def prepared(self, views: Sequence[View]) -> Squares:
        """Squeeze pictures into squares."""
        pictures = [whole_picture(view) for view in views]
        tiles = [Tile(0, 0, picture.shape[0], picture.shape[1]) for picture in pictures]
        pixels = [squared(picture, tile, self._clip.side) for picture, tile in zip(pictures, tiles, strict=True)]
        return Squares(views, np.stack(pixels))


class ClipBaseline(Baseline):
    """A method on top of CLIP. Subclasses write ``make``.

    Building it is cheap; the weights are loaded when its identity is asked for, or with the first picture.

    Raises:
        ConfigError: the extra "clip" is not installed, or there is no such device.
    """

    Options: ClassVar[type[BaselineOptions]] = ClipOptions
    distributable: ClassVar[bool] = True

    def __init__(self, options: ClipOptions) -> None:
        super().__init__(options)
        absent = [name for name in ("torch", "open_clip") if importlib.util.find_spec(name) is None]
        if absent:
            raise ConfigError(f"It needs {' and '.join(absent)}; pip install 'lvlm-ad[clip]'.")
        self._options = options
        self._device = chosen_device(options.device)
        on_gpu = self._device.startswith("cuda")
        self._dtype = options.dtype if options.dtype != "auto" else ("bfloat16" if on_gpu else "float32")
        size = options.batch_size or (_ON_GPU if on_gpu else 1)
        self.batch_size = size
        # One batch under way and one in preparation.
        self.concurrency = 2 * size
        self.notes: tuple[str, ...] = ()
        if options.pretrained == "random":
            self.label = "random weights"
        else:
            self.notes = (f"weights {Path(options.pretrained).name}",)
        self._batches: Batches[View, Any, DenseScores] = Batches(
            self._prepared, self._run, length=lambda _: 0.0, size=BatchSize(size, size)
        )
        self._loading = threading.RLock()
        self._clip: Clip | None = None
        self._prototypes: Prototypes | None = None
        self._method: Method[Any] | None = None

    @property
    def clip(self) -> Clip:
        """The model, loaded when first asked for."""
        with self._loading:
            if self._clip is None:
                from ._clip import shared_clip  # noqa: PLC0415 - seconds, paid by its users

                options = self._options
                self._clip = shared_clip(options.model, options.pretrained, self._device, self._dtype)
            return self._clip

    @property
    def prototypes(self) -> Prototypes:
        """The vectors of prompts."""
        with self._loading:
            if self._prototypes is None:
                from ._prompts import Prototypes, cache_folder  # noqa: PLC0415 - likewise

                self._prototypes = Prototypes(self.clip, self._options.text_cache or cache_folder())
            return self._prototypes

    @property
    def method(self) -> Method[Any]:
        """What scores."""
        with self._loading:
            if self._method is None:
                self._method = self.make()
            return self._method

    def make(self) -> Method[Any]:
        """Build what scores from ``clip`` and ``prototypes``."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Name the weights by their content, and the type in which the image tower computes.

        Raises:
            ConfigError: the weights cannot be had.
        """
        named = {name: value for name, value in super().identity().items() if name != "pretrained"}
        return {**named, "weights": self.clip.weights_hash, "dtype": self._dtype}

    def environment(self) -> dict[str, str]:
        """Name the device."""
        return {"device": device_name(self._device)}

    def score(self, view: View) -> DenseScores:
        """Score one sample, together with others that are asked for at the same time.

        Raises:
            FatalError: not even one fits into the device's memory.
        """
        try:
            return self._batches.ask(view)
        except TooLargeError as error:
            raise FatalError(
                f"{type(self).__name__}: one picture does not fit into the memory of {self._device}; set device=cpu."
            ) from error
        except ClosedError as error:
            raise FatalError(f"{type(self).__name__} was closed.") from error

    def close(self) -> None:
        """Let the model go."""
        self._batches.close()
        self._clip = self._prototypes = self._method = None

    def _prepared(self, views: Sequence[View]) -> Any:
        return self.method.prepared(views)

    def _run(self, prepared: Any) -> tuple[Sequence[DenseScores], None]:
        import torch  # noqa: PLC0415 - it is there, since the model is

        try:
            with torch.inference_mode():
                return self.method.scored(prepared), None
        except torch.cuda.OutOfMemoryError as error:
            raise TooLargeError from error


def whole_picture(view: View) -> NDArray[np.uint8]:
    """Return the picture as it is in its file, uint8 ``(H, W, 3)``."""
    return view.image if view.original is None else view.original
