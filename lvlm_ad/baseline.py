"""The contract of every baseline: one method from what it may see of a sample to its scores.

A baseline is a method that is not a chat model. It makes a dense map; the framework also averages the map over the same
regions, writes it in the same answer format and reads it with the same Text2Segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from lvlm_ad.backend import BackendOptions
from lvlm_ad.backend.contract import Detector_co, Model_contra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Baseline", "BaselineOptions", "DenseScores", "References", "Row", "Truth", "View", "flaw_of"]

Row = Literal["regions", "dense"]
"""``regions``: scored through the division and Text2Segmentation. ``dense``: a baseline's own map, pixel by pixel."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth, shown only to a baseline that declares ``sees_truth``.

    Attributes:
        label: True if anomalous.
        mask: bool ``(S, S)``; None where the data set has none.
    """

    label: bool
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class View:
    """What a baseline may see of a sample.

    Attributes:
        image: uint8 ``(S, S, 3)``, RGB, stretched to the protocol's size.
        category: the kind of object.
        seed: a text that is the same for this sample in every run with the run's seed; random methods draw from it.
        references: uint8 ``(N, S, S, 3)`` normal training images; N is the protocol's ``shots``.
        truth: the ground truth, for a baseline that declares ``sees_truth``; None otherwise.
        original: uint8 ``(H, W, 3)``, the image as it is in its file, not stretched; None: there is only ``image``.
        original_references: uint8 ``(H, W, 3)`` each, the references as they are in their files.
    """

    image: NDArray[np.uint8]
    category: str
    seed: str
    references: Sequence[NDArray[np.uint8]] = ()
    truth: Truth | None = None
    original: NDArray[np.uint8] | None = None
    original_references: Sequence[NDArray[np.uint8]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """The normal training images that a baseline is shown of a category.

    Attributes:
        images: uint8 ``(S, S, 3)`` each, stretched to the protocol's size.
        originals: uint8 ``(H, W, 3)`` each, as they are in their files.
    """

    images: Sequence[NDArray[np.uint8]] = ()
    originals: Sequence[NDArray[np.uint8]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DenseScores:
    """What a baseline gives for one sample.

    Attributes:
        image: image anomaly score in [0, 1], higher is more anomalous.
        map: float32 or float64 ``(S, S)`` in [0, 1], higher is more anomalous.
        parts: what ``Baseline.over_category`` needs of this sample; empty where the image score is final.
    """

    image: float
    map: NDArray[np.floating[Any]]
    parts: tuple[float, ...] = ()


def flaw_of(dense: Any, shape: tuple[int, ...]) -> str:
    """Say what is wrong with what ``score`` returned; empty if nothing is.

    Args:
        dense: what it returned.
        shape: the image's height and width.
    """
    if not isinstance(dense, DenseScores):
        return f"returned {dense!r:.60}; it must return DenseScores"
    return _flaw_of_types(dense) or _flaw_of_values(dense, shape)


def _flaw_of_types(dense: Any) -> str:
    import numpy as np  # noqa: PLC0415 - the contract itself needs none

    numbers = (int, float, np.integer, np.floating)
    if not isinstance(dense.image, numbers) or isinstance(dense.image, bool):
        return f"gave {dense.image!r:.40} as image score; it must be a float"
    if not isinstance(dense.map, np.ndarray):
        return f"gave a map that is {type(dense.map).__name__}; it must be an array of floats"
    if dense.map.dtype.kind not in "fiub":
        return f"gave a map of {dense.map.dtype}; it must hold floats"
    if not isinstance(dense.parts, tuple | list) or not all(isinstance(one, numbers) for one in dense.parts):
        return f"gave {dense.parts!r:.40} as parts; they must be a tuple of floats"
    return ""


def _flaw_of_values(dense: DenseScores, shape: tuple[int, ...]) -> str:
    import numpy as np  # noqa: PLC0415 - as above

    if dense.map.shape != shape:
        return f"gave a map of shape {dense.map.shape}; it must be the image's {shape}"
    if not (np.isfinite(dense.image) and np.isfinite(dense.map).all()):
        return "gave scores that are no numbers, but NaN or infinite"
    if not (0 <= dense.image <= 1 and float(dense.map.min()) >= 0 and float(dense.map.max()) <= 1):
        return "gave scores outside [0, 1]"
    return ""


class BaselineOptions(BackendOptions):
    """Base of every baseline's options; an unknown option is an error."""


class BaselineSession(Protocol[Model_contra, Detector_co]):
    """What a baseline needs of a bench to make its own detector."""

    def baseline_detector(self, baseline: Baseline, model: Model_contra) -> Detector_co:
        """Make the detector of a baseline."""


class Baseline:
    """A method that is not a chat model. Subclasses write ``score``.

    Attributes:
        Options: the options it takes.
        rows: how it is measured: through the regions, by its own map, or both.
        frame: True for a row that frames a table and is not ranked (chance, contrast, oracle).
        sees_truth: True if it is given the ground truth.
        seeded: True if it draws from ``View.seed``.
        spreads: True if ``--engine ray`` is to build it anew on the machines of a cluster: it holds a model.
        concurrency: how many samples it wants at once; None: one a processor.
        label: stands behind its name in every table, such as "random weights".
        notes: what readers of a table must know of it.
        source: see ``Backend.source``.
    """

    Options: ClassVar[type[BaselineOptions]] = BaselineOptions
    rows: ClassVar[tuple[Row, ...]] = ("regions", "dense")
    frame: ClassVar[bool] = False
    sees_truth: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    spreads: ClassVar[bool] = False
    source: ClassVar[str] = ""
    concurrency: int | None = None
    label: str = ""
    notes: tuple[str, ...] = ()

    def __init__(self, options: BaselineOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def identity(self) -> dict[str, Any]:
        """Return what decides the scores besides the view: JSON values, the same on every machine."""
        named = {"baseline": f"{type(self).__module__}:{type(self).__qualname__}"}
        return {**named, **({"source": self.source} if self.source else {}), **self.options.identity()}

    def score(self, view: View) -> DenseScores:
        """Score one sample. Called from several threads at a time."""
        raise NotImplementedError

    def over_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Return the final image scores of a category, for a method that takes them from all its test images.

        Called once for each category if the scores of its samples hold ``parts``.

        Args:
            parts: ``DenseScores.parts`` of each sample.

        Returns:
            As many image scores in [0, 1], in the same order.
        """
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what a manifest records of where it runs, such as a device; it is no part of the identity."""
        return {}

    def make_detector(self, session: BaselineSession[Model_contra, Detector_co], model: Model_contra) -> Detector_co:
        """Make what a bench runs: a baseline is measured through the regions, by its own map, or both."""
        return session.baseline_detector(self, model)

    def close(self) -> None:
        """Release what the baseline holds; called once, after the last sample."""
