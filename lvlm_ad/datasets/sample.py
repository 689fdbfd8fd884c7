"""What every data set gives: an ordered, immutable sequence of samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from lvlm_ad.datasets.hashing import FileHashes, hash_files, hash_rows
from lvlm_ad.datasets.images import image_size, read_image, read_mask, shown
from lvlm_ad.errors import DataError, ImageError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PUBLISHED_IMAGES", "Dataset", "File", "Sample"]


PUBLISHED_IMAGES = {"mvtec": 1725, "visa": 2162}
"""Test images of the published data sets."""


class File(NamedTuple):
    """Where a file is: a path in a third of a ``Path``'s memory and a tenth of its time, since files share folders."""

    folder: str
    name: str

    @classmethod
    def of(cls, path: Path | File) -> File:
        """Return where a path leads."""
        return path if isinstance(path, File) else cls(*os.path.split(path))

    @property
    def stem(self) -> str:
        """The name without its ending."""
        end = self.name.rfind(".")
        return self.name[:end] if 0 < end < len(self.name) - 1 else self.name

    def __fspath__(self) -> str:
        return os.path.join(self.folder, self.name)  # noqa: PTH118 - a Path takes ten times as long

    def __str__(self) -> str:
        return self.__fspath__()


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Sample:
    """One test image. Image and mask are read from disk at each access, never kept.

    A data set may have a million: a path is held as its name and a folder that samples share, a third of a ``Path``.

    Args:
        id: ``category/defect/stem``, unique in its data set and the same on every machine.
        category: the kind of object or texture.
        label: True if anomalous, by the data set's own listing (never by the mask).
        defect: the kind of defect, "good" if normal.
        image_path: where the image is.
        mask_path: where the ground-truth mask is; None for a normal image and where the data set has none.
        threshold: a mask's pixel is defective above this value; None: see ``read_mask``.
    """

    id: str
    category: str
    label: bool
    defect: str
    threshold: int | None
    _image: str = field(init=False)
    _image_folder: str = field(init=False)
    _mask: str | None = field(init=False)
    _mask_folder: str | None = field(init=False)

    def __init__(
        self,
        id: str,  # noqa: A002 - its name in every file
        category: str,
        label: bool,  # noqa: FBT001 - as a field
        defect: str,
        image_path: Path | File,
        mask_path: Path | File | None = None,
        threshold: int | None = None,
    ) -> None:
        image_folder, image = File.of(image_path)
        mask_folder, mask = (None, None) if mask_path is None else File.of(mask_path)
        put = object.__setattr__
        put(self, "id", id)
        put(self, "category", category)
        put(self, "label", label)
        put(self, "defect", defect)
        put(self, "threshold", threshold)
        put(self, "_image", image)
        put(self, "_image_folder", sys.intern(image_folder))
        put(self, "_mask", mask)
        put(self, "_mask_folder", mask_folder and sys.intern(mask_folder))

    def __repr__(self) -> str:
        return f"Sample({self.id!r}, {str(self.image_path)!r})"

    def at(self, image_path: Path, mask_path: Path | None) -> Sample:
        """Return the same sample with its files elsewhere."""
        return Sample(self.id, self.category, self.label, self.defect, image_path, mask_path, self.threshold)

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask file."""
        return self._mask is not None

    @property
    def image_name(self) -> str:
        """The image file's name."""
        return self._image

    @property
    def files(self) -> list[File]:
        """The image file and, where there is one, the mask file."""
        image = File(self._image_folder, self._image)
        return [image] if self._mask is None else [image, File(self._mask_folder or "", self._mask)]

    @property
    def image_path(self) -> Path:
        """Where the image is."""
        return Path(self._image_folder, self._image)

    @property
    def mask_path(self) -> Path | None:
        """Where the ground-truth mask is; None for a normal image and where the data set has none."""
        return None if self._mask is None else Path(self._mask_folder or "", self._mask)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The image, uint8 ``(H, W, 3)``, RGB.

        Raises:
            ImageError: the file cannot be used.
        """
        return read_image(self.image_path)

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The ground truth, bool ``(H, W)`` of the image's size, all False if normal; None where there is none.

        Raises:
            ImageError: the file cannot be used or has another size than the image.
        """
        if not self.label:
            return np.zeros(image_size(self.image_path), dtype=np.bool_)
        if self.mask_path is None:
            return None
        mask = read_mask(self.mask_path, self.threshold)
        size = image_size(self.image_path)
        if mask.shape != size:
            raise ImageError(
                f"The mask {shown(self.mask_path)} has {mask.shape[0]} x {mask.shape[1]} pixels, "
                f"its image {size[0]} x {size[1]}; they must agree."
            )
        return mask


@dataclass(frozen=True)
class Dataset(Sequence[Sample]):
    """A test split in a fixed order, with the normal training images that may serve as references.

    Attributes:
        name: "mvtec", "visa", "folder" or "demo".
        root: the folder it was read from.
        samples: the test images, by category, then good before defects, then by name.
        references: category -> normal training images in order; empty where there are none.
        notes: choices made while reading that the user should see.
        kinds: category -> kinds of defect of the whole test split, where this is a part of it; None: this is the whole.
        hashed: where hashes of files are kept; None: nowhere, every file is read.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    references: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[str, ...]] | None = field(default=None, compare=False, repr=False)
    hashed: FileHashes | None = field(default=None, compare=False, repr=False)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return self.samples[index]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories in order."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    @cached_property
    def defects(self) -> dict[str, tuple[str, ...]]:
        """Category -> the kinds of defect in its whole test split, "good" left out."""
        if self.kinds is not None:
            return {category: self.kinds[category] for category in self.categories}
        kinds: dict[str, dict[str, None]] = {category: {} for category in self.categories}
        for sample in self.samples:
            if sample.label:
                kinds[sample.category][sample.defect] = None
        return {category: tuple(sorted(found)) for category, found in kinds.items()}

    @property
    def complete(self) -> bool:
        """Whether it has as many test images as the published data set of its name; True where there is none."""
        return len(self) == PUBLISHED_IMAGES.get(self.name, len(self))

    @cached_property
    def places(self) -> dict[str, int]:
        """Sample id -> its place in the order."""
        return {sample.id: place for place, sample in enumerate(self.samples)}

    @cached_property
    def file_hashes(self) -> Mapping[str, tuple[str, str]]:
        """Sample id -> SHA-256 (hex) of its image file and of its mask file ("" without one)."""
        files = (file for sample in self.samples for file in sample.files)
        hashes = hash_files(files) if self.hashed is None else self.hashed.of(files)
        return {sample.id: (next(hashes), next(hashes) if sample.has_mask else "") for sample in self.samples}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, labels, image files and mask files; the root's place does not enter."""
        return hash_rows([s.id, s.label, s.threshold, *self.file_hashes[s.id]] for s in self.samples)

    def select(self, categories: Sequence[str] = (), limit: int | None = None) -> Dataset:
        """Return the part of the data set that is asked for.

        Args:
            categories: those to keep, in the data set's own order; all if empty.
            limit: at most this many test images a category, good and anomalous ones in turn, so that a short run
                still has both.

        Raises:
            DataError: a category does not exist (the nearest names are given), or the limit is below 1.
        """
        for category in categories:
            if category not in self.categories:
                hint = nearest(category, self.categories)
                raise DataError(f"{self.name} at {shown(self.root)} has no category {category!r}.{hint}")
        if limit is not None and limit < 1:
            raise DataError(f"A limit of {limit} images leaves nothing to measure; give 1 or more.")
        kept = [s for s in self.samples if not categories or s.category in categories]
        if limit is not None:
            chosen: set[str] = set()
            for category in dict.fromkeys(s.category for s in kept):
                chosen |= _in_turn([s for s in kept if s.category == category], limit)
            kept = [s for s in kept if s.id in chosen]
        return replace(self, samples=tuple(kept), kinds=self.defects)


def _in_turn(samples: Sequence[Sample], limit: int) -> set[str]:
    """Choose ids from good and anomalous samples in turn; within the anomalous, from each defect in turn."""
    by_defect: dict[str, list[str]] = {}
    good: list[str] = []
    for sample in samples:
        (by_defect.setdefault(sample.defect, []) if sample.label else good).append(sample.id)
    bad = _round_robin(list(by_defect.values()))
    return set(_round_robin([good, bad])[:limit])


def _round_robin(lists: Sequence[Sequence[str]]) -> list[str]:
    longest = max((len(items) for items in lists), default=0)
    return [items[i] for i in range(longest) for items in lists if i < len(items)]
