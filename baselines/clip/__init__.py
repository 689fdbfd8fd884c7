"""Base of the CLIP baselines: their options, the loaded model, and pictures scored in batches."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from lvlm_ad.backend import Transport
from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, TooLargeError, preparing_threads
from lvlm_ad.baseline import Baseline, BaselineOptions, DenseScores, View
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.weights import chosen_device, device_name, user_cache

from .tiles import Tile, squared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model import Clip
    from .prompts import Prototypes

_BATCH_ON_GPU = 32
"""Pictures in one batch. A CPU gains nothing from more than one."""


class ClipOptions(BaselineOptions):
    """Options of every CLIP baseline."""

    model: Annotated[str, Field(min_length=1)] = "ViT-B-16-plus-240"
    """Name of the architecture in open_clip; a plain vision transformer."""
    pretrained: Annotated[str, Field(min_length=1)] = "laion400m_e31"
    """Weights: a tag of open_clip, a file, a folder, or "random" (to try things out; the scores mean nothing)."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (a CUDA GPU, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Data type of the image tower; auto: bfloat16 on a CUDA GPU, else float32."""
    batch_size: Annotated[int | None, Field(ge=1), Transport] = None
    """Pictures in one batch; None: 32 on a GPU, 1 on a CPU."""
    text_cache: Annotated[Path | None, Transport] = None
    """Folder for the embeddings of prompts; None: lvlm-ad/clip-text in the user's cache."""


class ClipAcOptions(ClipOptions):
    """Options of CLIP-AC."""

    prompts: Literal["plain", "templates", "winclip"] = "plain"
    """plain: "a photo of a normal {}." against "anomalous"; templates: the same two words in the 22 templates; winclip:
    WinCLIP's ensemble, which gives WinCLIP's image score."""


class WinClipOptions(ClipOptions):
    """Options of WinCLIP."""

    variant: Literal["paper", "zqhang"] = "paper"
    """paper: closest to the published scores. zqhang: prompts, names, temperature and resized pictures of that
    re-implementation, whose tables others cite."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Temperature of the softmax over cosines; None: the model's own, or 0.07 for zqhang."""


class ClipAdOptions(ClipOptions):
    """Options of CLIP-AD."""

    representative: Literal["dbscan", "mean"] = "dbscan"
    """Vector that represents the prompts of a state: the mean of their largest cluster, or of all."""
    eps: Annotated[float, Field(gt=0, le=2)] = 0.5
    """dbscan: distance up to which two unit vectors are neighbours. Published: 0.5, for VisA 1.5."""
    min_samples: Annotated[int, Field(ge=1)] = 15
    """dbscan: neighbours of a core point, including itself. Published: 15, for VisA 25."""
    sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 8.0
    """Sigma of the Gaussian filter on the map, in pixels of the model's picture. Published: 8, for SDP+ on VisA 2."""
    image_score: Literal["category", "sum", "text", "map"] = "category"
    """category: the text's and the map's scores, each stretched to 0..1 over the test images of the category, then
    added, as published. sum: both on a fixed scale. text, map: one of them."""
    heads: Path | None = None
    """SDP+: the file of trained heads."""
    alias: bool | None = None
    """Whether the class tokens include the attention of the next block, as in the released code; None: with heads only,
    which were trained so."""


class Method:
    """How a baseline scores with its loaded model."""

    def prepare(self, views: Sequence[View]) -> Any:
        """Convert views to the input of ``score``; several threads call it while the batch before is scored."""
        raise NotImplementedError

    def score(self, prepared: Any) -> Sequence[DenseScores]:
        """Score a batch. One thread calls it, without gradients."""
        raise NotImplementedError


Squares: TypeAlias = "tuple[Sequence[View], NDArray[np.uint8]]"
"""A batch: its views, and their whole pictures resized to squares, uint8 ``(B, side, side, 3)``."""


class WholePictures(Method):
    """A method that sees each picture once, as a whole."""

    def __init__(self, clip: Clip, prototypes: Prototypes) -> None:
        self._clip, self._prototypes = clip, prototypes

    def prepare(self, views: Sequence[View]) -> Squares:
        """Resize pictures to squares, whatever their shape."""
        pictures = [whole_picture(view) for view in views]
        squares = [squared(picture, Tile(0, 0, *picture.shape[:2]), self._clip.side) for picture in pictures]
        return views, np.stack(squares)


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
            raise ConfigError(f"CLIP models need {' and '.join(missing)}: pip install 'lvlm-ad[clip]'.")
        self._options = options
        self._device = chosen_device(options.device)
        on_gpu = self._device.startswith("cuda")
        self._dtype = options.dtype if options.dtype != "auto" else ("bfloat16" if on_gpu else "float32")
        size = options.batch_size or (_BATCH_ON_GPU if on_gpu else 1)
        preparers = preparing_threads(self._device)
        # One batch in the model and the others in preparation.
        self.concurrency = (1 + preparers) * size
        if options.pretrained == "random":
            self.label = "random weights"
        else:
            self.notes = (f"weights {Path(options.pretrained).name}",)
        self._batches: Batches[View, Any, DenseScores] = Batches(
            self._prepare, self._run, length=lambda _: 0.0, size=BatchSize(size, size), preparers=preparers
        )
        self._loading = threading.RLock()
        self._clip: Clip | None = None
        self._method: Method | None = None

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
    def method(self) -> Method:
        """The method; the first use builds it."""
        with self._loading:
            if self._method is None:
                from .prompts import Prototypes  # noqa: PLC0415 - as above

                folder = self._options.text_cache or user_cache() / "clip-text"
                self._method = self.make(self.clip, Prototypes(self.clip, folder))
            return self._method

    def make(self, clip: Clip, prototypes: Prototypes) -> Method:
        """Build the method."""
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
