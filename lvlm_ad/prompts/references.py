"""Reference images: normal training images that a question shows for comparison."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.prompts.drawing import ImagePictures

__all__ = ["ReferencePool", "own_references", "reference_paths", "reference_sets"]


def reference_paths(dataset: Dataset, category: str, shots: int, seed: int, reference_set: int = 0) -> list[Path]:
    """Choose the reference images of a category; they depend on the seed only, and never come from the test split.

    Args:
        dataset: the data set.
        category: the category.
        shots: how many images.
        seed: chooses them.
        reference_set: which of the disjoint sets of ``shots`` images.

    Returns:
        Paths of ``shots`` normal training images.

    Raises:
        ConfigError: the category has fewer normal training images, or too few for this set.
    """
    paths = list(dataset.references.get(category, ()))
    if len(paths) < shots:
        wanted = f"{_counted(shots, 'reference image')} (shots={shots})"
        raise ConfigError(
            f"The protocol shows {wanted}, but {category} in {dataset.root} has only "
            f"{_counted(len(paths), 'normal training image')} for all its images. Set fewer shots; shots=0 "
            "needs none."
        )
    # The category's name is part of the seed, so that a run over one category shows the same images as one over all.
    order = range(len(paths))
    first = random.Random(f"{seed}/{category}").sample(order, shots)  # noqa: S311 - reproducible, not secret
    if not reference_set or not shots:
        return [paths[index] for index in first]
    if reference_set >= (sets := len(paths) // shots):
        raise ConfigError(
            f"reference_set={reference_set} does not exist: the {_counted(len(paths), 'normal training image')} of "
            f"{category} in {dataset.root} are enough for {_counted(sets, 'disjoint set')} of {shots} "
            f"(shots={shots}), numbered from 0. Set fewer shots, or a smaller reference_set."
        )
    others = [index for index in order if index not in set(first)]
    random.Random(f"{seed}/{category}/sets").shuffle(others)  # noqa: S311 - as above
    return [paths[index] for index in others[(reference_set - 1) * shots : reference_set * shots]]


def reference_sets(dataset: Dataset, shots: int) -> int:
    """Return how many disjoint sets of reference images every category has: the protocol's ``reference_set`` is less.

    Args:
        dataset: the data set.
        shots: images of a set, at least 1.

    Returns:
        The number; 1 if images have references of their own, because there are no others to choose.

    Raises:
        ValueError: ``shots`` is below 1.

    Example:
        >>> from pathlib import Path
        >>> from lvlm_ad.datasets import Dataset, Sample
        >>> bolt = Sample("bolt/0", "bolt", label=False, defect="good", image_path=Path("0.png"))
        >>> training = tuple(Path(f"{number}.png") for number in range(1, 10))
        >>> reference_sets(Dataset("bolts", Path(), (bolt,), {"bolt": training}), shots=4)
        2
    """
    if shots < 1:
        raise ValueError(f"shots must be at least 1, not {shots}")
    if any(sample.references for sample in dataset):
        return 1
    return min((len(dataset.references.get(category, ())) // shots for category in dataset.categories), default=0)


def own_references(sample: Sample, shots: int) -> tuple[Path, ...]:
    """Return the reference images that a data set chose for this image: the first ``shots`` of them; often none.

    Raises:
        ConfigError: it has some, but fewer.
    """
    if 0 < len(sample.references) < shots:
        raise ConfigError(
            f"The protocol shows {_counted(shots, 'reference image')} (shots={shots}), but {sample.id} has only "
            f"{_counted(len(sample.references), 'template')}. Set fewer shots; shots=0 needs none."
        )
    return sample.references[:shots]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


class ReferencePool(Sequence["NDArray[np.uint8]"]):
    """A category's normal training images, uint8 ``(S, S, 3)``; each is read when it is indexed.

    Args:
        paths: their files.
        pictures_of: returns the pictures of a file.
    """

    def __init__(self, paths: Iterable[Path], pictures_of: Callable[[Path], ImagePictures]) -> None:
        self.paths, self._pictures_of = tuple(paths), pictures_of

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        return self.pictures(index).image.image

    def pictures(self, index: int) -> ImagePictures:
        """Return the pictures of an image, which is read when one must be drawn."""
        return self._pictures_of(self.paths[index])
