"""Contract of every baseline: one method that scores a sample.

A baseline is a method that is not a chat model. It returns a map of its own. The framework also averages this map over
the regions, writes the averages in the answer format and reads them with Text2Segmentation, as for a chat model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lvlm_ad.backend import BackendOptions
from lvlm_ad.backend.contract import OldName, adopt_old_names
from lvlm_ad.deferred import deferrable, is_deferred
from lvlm_ad.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Baseline", "BaselineOptions", "DenseScores", "Row", "Truth", "View", "flaw_of"]

Row = Literal["regions", "dense"]
"""``regions``: scored through the division and Text2Segmentation. ``dense``: a baseline's own map, pixel by pixel."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth, for baselines that declare ``sees_truth`` only.

    Attributes:
        label: True if anomalous.
        mask: bool ``(S, S)``; None if the data set has none.
    """

    label: bool
    mask: NDArray[np.bool_] | None


@deferrable("image", "truth", "original")
@dataclass(frozen=True)
class View:
    """What a baseline may see of a sample.

    In a bench, image, truth and original are read from their files when they are first used.

    Attributes:
        image: uint8 ``(S, S, 3)``, RGB, stretched to the protocol's size.
        category: the kind of object.
        seed: text that identifies the sample and the run's seed; random methods seed their generator with it.
        references: uint8 ``(N, S, S, 3)`` normal training images; N is the protocol's ``shots``.
        truth: the ground truth, if the baseline declares ``sees_truth``.
        original: uint8 ``(H, W, 3)``, the image as it is in its file, not stretched; None: use ``image``.
        original_references: uint8 ``(H, W, 3)`` each, the references as they are in their files.
        side: S, where it is known before the image is read.

    Example:
        >>> import numpy as np
        >>> View(np.zeros((8, 8, 3), np.uint8), "bolt", seed="0/bolt/1").references
        ()
    """

    image: NDArray[np.uint8]
    category: str
    seed: str
    references: Sequence[NDArray[np.uint8]] = ()
    truth: Truth | None = None
    original: NDArray[np.uint8] | None = None
    original_references: Sequence[NDArray[np.uint8]] = ()
    side: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of ``image``, which need not be read to know them."""
        if self.side is not None and is_deferred(self, "image"):
            return self.side, self.side
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class DenseScores:
    """Scores of one sample.

    Attributes:
        image: image anomaly score in [0, 1]; higher is more anomalous.
        map: float32 or float64 ``(S, S)`` in [0, 1]; higher is more anomalous.
        parts: what ``Baseline.finalize_category`` needs of this sample; empty if the image score is final.

    Example:
        >>> import numpy as np
        >>> DenseScores(image=0.9, map=np.full((8, 8), 0.2)).map.shape
        (8, 8)
    """

    image: float
    map: NDArray[np.floating[Any]]
    parts: tuple[float, ...] = ()


def flaw_of(scores: Any, shape: tuple[int, ...]) -> str:
    """Describe what is wrong with the result of ``Baseline.score``; empty if nothing is.

    Args:
        scores: the result.
        shape: the image's height and width.

    Example:
        >>> flaw_of(0.5, (8, 8))
        'returned 0.5; it must return DenseScores'
    """
    import numpy as np  # noqa: PLC0415 - the contract itself needs none

    if not isinstance(scores, DenseScores):
        return f"returned {scores!r:.60}; it must return DenseScores"
    numbers = (int, float, np.integer, np.floating)
    # A dataclass takes any value.
    image: Any = scores.image
    pixels: Any = scores.map
    parts: Any = scores.parts
    flaw = ""
    if not isinstance(image, numbers) or isinstance(image, bool):
        flaw = f"gave {image!r:.40} as image score; it must be a float"
    elif not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fiub":
        kind = getattr(pixels, "dtype", type(pixels).__name__)
        flaw = f"gave a map of {kind}; it must be an array of floats"
    elif not isinstance(parts, tuple | list) or not all(isinstance(part, numbers) for part in parts):
        flaw = f"gave {parts!r:.40} as parts; they must be a tuple of floats"
    elif pixels.shape != shape:
        flaw = f"gave a map of shape {pixels.shape}; it must be the image's {shape}"
    elif not (np.isfinite(image) and np.isfinite(pixels).all()):
        flaw = "gave scores that are no numbers, but NaN or infinite"
    elif not (0 <= image <= 1 and pixels.min() >= 0 and pixels.max() <= 1):
        flaw = "gave scores outside [0, 1]"
    return flaw


class BaselineOptions(BackendOptions):
    """Base of every baseline's options; an unknown option is an error.

    Example:
        >>> class Options(BaselineOptions):
        ...     sigma: float = 2.0
        >>> Options(sigma=4).sigma
        4.0
    """


class Baseline:
    """A method that is not a chat model. Subclasses define ``score``.

    Attributes:
        Options: the class of its options.
        rows: how it is measured: through the regions, by its own map, or both.
        reference_row: True for a row to compare models with, which is not ranked itself (chance, contrast, oracle).
        sees_truth: True if it needs the ground truth.
        through_method: True if, with another ``--method`` than regions, it gives the best finding of that method.
        seeded: True if it draws random numbers from ``View.seed``.
        distributable: True if ``--engine ray`` may build a copy on each machine of the cluster: it holds a model.
        concurrency: how many samples it wants at the same time; None: one per processor.
        label: text behind its name in every table, such as "random weights".
        notes: remarks for readers of a table.
        source: see ``Backend.source``.
        frame: old name of ``reference_row``, until version 0.3.
        spreads: old name of ``distributable``, until version 0.3.
        over_category: old name of ``finalize_category``, until version 0.3.

    Example:
        >>> import numpy as np
        >>> class Bright(Baseline):
        ...     def score(self, view):
        ...         pixels = view.image.mean(axis=2) / 255
        ...         return DenseScores(image=float(pixels.max()), map=pixels)
        >>> Bright().score(View(np.full((8, 8, 3), 255, np.uint8), "bolt", seed="0/bolt/1")).image
        1.0
    """

    Options: ClassVar[type[BaselineOptions]] = BaselineOptions
    rows: ClassVar[tuple[Row, ...]] = ("regions", "dense")
    reference_row: ClassVar[bool] = False
    sees_truth: ClassVar[bool] = False
    through_method: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    distributable: ClassVar[bool] = False
    source: ClassVar[str] = ""
    concurrency: int | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    frame: ClassVar[Any] = OldName("reference_row")
    spreads: ClassVar[Any] = OldName("distributable")
    over_category: ClassVar[Any] = OldName("finalize_category")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        adopt_old_names(cls)

    def __init__(self, options: BaselineOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @property
    def implementation(self) -> type:
        """The class that messages and the identity name; a wrapper returns the class that it wraps."""
        return type(self)

    def identity(self) -> dict[str, Any]:
        """Return what decides the scores besides the view: JSON values, the same on every machine."""
        named = {"baseline": f"{self.implementation.__module__}:{self.implementation.__qualname__}"}
        return {**named, **({"source": self.source} if self.source else {}), **self.options.identity()}

    def score(self, view: View) -> DenseScores:
        """Score one sample. Several threads call it at the same time."""
        raise NotImplementedError

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:  # noqa: ARG002
        """Compute the final image scores of a category, if they depend on all its test images.

        Called once per category if the scores of its samples have ``parts``.

        Args:
            parts: ``DenseScores.parts`` of each sample.

        Returns:
            One image score in [0, 1] per sample, in the same order.
        """
        raise PluginError(
            f"The baseline {self.implementation.__name__} gave parts but has no finalize_category() to make image "
            "scores of them."
        )

    def environment(self) -> dict[str, str]:
        """Return where it runs, such as the device, for the run's manifest; not part of the identity."""
        return {}

    def make_detector(self, session: Any, model: Any) -> Any:
        """Make what a bench runs: a baseline is measured through the regions, by its own map, or both."""
        return session.baseline_detector(self, model)

    def close(self) -> None:
        """Release all resources; called once, after the last sample."""
