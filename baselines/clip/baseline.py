"""Base of the CLIP baselines: the loaded model, and pictures scored in batches."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, TooLargeError
from lvlm_ad.baseline import Baseline, BaselineOptions, DenseScores, View
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.weights import chosen_device, device_name

from .options import ClipOptions
from .tiles import Tile, squared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model import Clip
    from .prompts import Prototypes

__all__ = ["ClipBaseline", "Method", "Squares", "WholePictures", "whole_picture"]

_BATCH_ON_GPU = 32
"""Pictures in one batch. A CPU gains nothing from more than one."""

P = TypeVar("P")


class Method(Generic[P]):
    """How a baseline scores with its loaded model."""

    def prepare(self, views: Sequence[View]) -> P:
        """Convert views to the input of ``score``; runs on the CPU while the batch before is scored."""
        raise NotImplementedError

    def score(self, prepared: P) -> Sequence[DenseScores]:
        """Score a batch. One thread calls it, without gradients."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Squares:
    """A batch of whole pictures.

    Attributes:
        views: the views.
        pixels: uint8 ``(B, side, side, 3)``, each picture resized to a square, whatever its shape.
    """

    views: Sequence[View]
    pixels: NDArray[np.uint8]


class WholePictures(Method[Squares]):
    """A method that sees each picture once, as a whole.

    Args:
        clip: the model.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def prepare(self, views: Sequence[View]) -> Squares:
        """Resize pictures to squares."""
        pictures = [whole_picture(view) for view in views]
        tiles = [Tile(0, 0, *picture.shape[:2]) for picture in pictures]
        pixels = [squared(picture, tile, self._clip.side) for picture, tile in zip(pictures, tiles, strict=True)]
        return Squares(views, np.stack(pixels))


class ClipBaseline(Baseline):
    """A method on top of CLIP. Subclasses write ``make``.

    Building it is cheap: ``identity`` or the first picture loads the weights.

    Raises:
        ConfigError: the extra "clip" is not installed, or there is no such device.
    """

    Options: ClassVar[type[BaselineOptions]] = ClipOptions
    distributable: ClassVar[bool] = True
    needed: ClassVar[tuple[str, ...]] = ("torch", "open_clip")

    def __init__(self, options: ClipOptions) -> None:
        super().__init__(options)
        missing = [name for name in self.needed if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"It needs {' and '.join(missing)}; pip install 'lvlm-ad[clip]'.")
        self._options = options
        self._device = chosen_device(options.device)
        on_gpu = self._device.startswith("cuda")
        self._dtype = options.dtype if options.dtype != "auto" else ("bfloat16" if on_gpu else "float32")
        size = options.batch_size or (_BATCH_ON_GPU if on_gpu else 1)
        self.batch_size = size
        # One batch in the model and one in preparation.
        self.concurrency = 2 * size
        self.notes: tuple[str, ...] = ()
        if options.pretrained == "random":
            self.label = "random weights"
        else:
            self.notes = (f"weights {Path(options.pretrained).name}",)
        self._batches: Batches[View, Any, DenseScores] = Batches(
            self._prepare, self._run, length=lambda _: 0.0, size=BatchSize(size, size)
        )
        self._loading = threading.RLock()
        self._clip: Clip | None = None
        self._method: Method[Any] | None = None

    @property
    def clip(self) -> Clip:
        """The model; the first use loads it."""
        with self._loading:
            if self._clip is None:
                from .model import shared_clip  # noqa: PLC0415 - torch takes seconds

                options = self._options
                self._clip = shared_clip(options.model, options.pretrained, self._device, self._dtype)
            return self._clip

    @property
    def method(self) -> Method[Any]:
        """The method; the first use builds it."""
        with self._loading:
            if self._method is None:
                from .prompts import Prototypes, cache_folder  # noqa: PLC0415 - as above

                prototypes = Prototypes(self.clip, self._options.text_cache or cache_folder())
                self._method = self.make(self.clip, prototypes)
            return self._method

    def make(self, clip: Clip, prototypes: Prototypes) -> Method[Any]:
        """Build the method.

        Args:
            clip: the model.
            prototypes: the vectors of prompts.
        """
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Identify the weights by their content, and add the data type of the image tower.

        Raises:
            ConfigError: the weights are not available.
        """
        named = {name: value for name, value in super().identity().items() if name != "pretrained"}
        return {**named, "weights": self.clip.weights_hash, "dtype": self._dtype}

    def environment(self) -> dict[str, str]:
        """Return the device."""
        return {"device": device_name(self._device)}

    def score(self, view: View) -> DenseScores:
        """Score one sample, together with other concurrent samples.

        Raises:
            FatalError: not even one picture fits into the device's memory.
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
        """Release the model."""
        self._batches.close()
        self._clip = self._method = None

    def _prepare(self, views: Sequence[View]) -> Any:
        return self.method.prepare(views)

    def _run(self, prepared: Any) -> tuple[Sequence[DenseScores], None]:
        import torch  # noqa: PLC0415 - as above

        try:
            with torch.inference_mode():
                return self.method.score(prepared), None
        except torch.cuda.OutOfMemoryError as error:
            raise TooLargeError from error


def whole_picture(view: View) -> NDArray[np.uint8]:
    """Return the picture as it is in its file, uint8 ``(H, W, 3)``."""
    return view.image if view.original is None else view.original
