"""The two types of every data set: ``Sample``, one test image, and ``Dataset``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lvlm_ad.datasets.channels import read_channel
from lvlm_ad.datasets.hashing import hash_files, hash_rows
from lvlm_ad.datasets.images import image_size, is_turned, read_image, shown
from lvlm_ad.datasets.masks import Peers, Threshold, read_mask
from lvlm_ad.errors import DataError, ImageError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets.channels import Channel, Saturation
    from lvlm_ad.datasets.depth import Depth
    from lvlm_ad.datasets.questions import Question
    from lvlm_ad.store import Database

PUBLISHED_IMAGES = {"mvtec": 1725, "visa": 2162}
"""Number of test images of the published data sets."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One test image. Image and mask are read from disk at each access and not kept.

    Args:
        id: ``category/defect/stem``; unique in its data set and the same on every machine.
        category: the kind of object or texture.
        label: True if anomalous, by the data set's listing, never by the mask.
        defect: the kind of defect; "good" for a normal image.
        image_path: the image file.
        mask_path: the ground-truth mask; None for a normal image, and where the data set has none.
        threshold: which values of a mask are defective; see ``lvlm_ad.datasets.masks.Threshold``.
        depth: the range of its category's images with more than 8 bits; None: such an image is scaled by its type.
        more_masks: further files of the same mask, which mark other parts of it.
        peers: masks of the category, which are read if a mask alone is ambiguous.
        types: the category's types of defect, where each file of the mask is one defect, and its value the number of a
            type; see ``channels``. None elsewhere.
        tags: what else is known of the image, such as ``{"lighting": "regular"}``; metrics are given for each value.
        part: the name of the single object in the picture; images with the same name show the same object. "": not
            known, so every image counts as an object of its own.
        references: normal images to compare this one with; empty: those of its category.
        questions: multiple-choice questions about it.
        is_labelled: whether it is known to be normal or anomalous; if not, ``label`` is False without meaning,
            and there is no mask.

    Example:
        >>> sample = Sample("bolt/bent/007", "bolt", True, "bent", Path("bolt/007.png"))
        >>> sample.label, sample.image_path.name
        (True, '007.png')
    """

    id: str
    category: str
    label: bool
    defect: str
    image_path: Path
    mask_path: Path | None = None
    threshold: Threshold = None
    depth: Depth | None = field(default=None, compare=False, repr=False)
    more_masks: tuple[Path, ...] = ()
    peers: Peers = field(default=Peers(), compare=False, repr=False)
    types: Saturation | None = None
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    part: str = ""
    references: tuple[Path, ...] = ()
    questions: tuple[Question, ...] = ()
    is_labelled: bool = True

    @property
    def files(self) -> tuple[Path, ...]:
        """The image file and the files of its mask."""
        return (self.image_path, *self.mask_files)

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files of the mask; none where there is no mask."""
        return () if self.mask_path is None else (self.mask_path, *self.more_masks)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The image, uint8 ``(H, W, 3)``, RGB.

        Raises:
            ImageError: the file cannot be read.
        """
        return read_image(self.image_path, None if self.depth is None else self.depth.highest)

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The ground truth, bool ``(H, W)``, as large as the image; all False if normal; None if it is not known.

        Raises:
            ImageError: the file cannot be read, or its size is not the image's.
        """
        if self.is_labelled and not self.label:
            return np.zeros(image_size(self.image_path), dtype=np.bool_)
        if self.mask_path is None:
            return None
        size = image_size(self.image_path)
        mask = np.zeros(size, dtype=np.bool_)
        for path in self.mask_files:
            part = read_mask(path, self.threshold, self.peers)
            if part.shape != size:
                raise ImageError(
                    f"The mask {shown(path)} has {part.shape[1]} x {part.shape[0]} pixels, but its image has "
                    f"{size[1]} x {size[0]}; both must have the same size.{self._turn_hint(part.shape)}"
                )
            mask |= part
        return mask

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The defects of the image, each with its own mask and saturation; they may overlap. Needs ``types``.

        Raises:
            ImageError: a file cannot be read, or does not hold one defect of a known type.
        """
        assert self.types is not None  # noqa: S101 - narrows the type
        return tuple(read_channel(path, self.types) for path in self.mask_files)

    def _turn_hint(self, shape: tuple[int, ...]) -> str:
        """Return advice if a mask would fit with height and width swapped, as EXIF may do; else empty."""
        if shape[::-1] != image_size(self.image_path):
            return ""
        if not is_turned(self.image_path):
            return " Height and width are swapped: transpose the mask, or turn it."
        return (
            f" The EXIF orientation of {shown(self.image_path.name)} turns the image but not the mask: save the image "
            "upright, without the orientation, or turn the mask too."
        )


@dataclass(frozen=True)
class Dataset(Sequence[Sample]):
    """A test split in a fixed order, with the normal training images that may serve as references.

    Attributes:
        name: its name; see ``lvlm_ad.datasets.readers``.
        root: the folder it was read from.
        samples: the test images, by category, then good before defects, then by name.
        references: category -> normal training images in order; empty where there are none.
        notes: choices made while reading that the user should see.
        kinds: category -> kinds of defect of the whole test split, if this is a part of it; None: this is the whole.
        cache: keeps hashes of files; None: every file is read when its hash is needed.
        remarks: other notes for the user, which are no part of a run's record.
        depths: category -> the range of its images with more than 8 bits.
        image_size: the side in pixels at which it is measured unless the user, the protocol or the method sets one;
            None: the protocol's default.
        class_names: category -> what a question calls it, where the category's name is no word for it.
        validation: category -> normal images for choosing a threshold, neither test images nor references.
        metrics: the metrics that its authors report, which tables show first.
        knowledge: category -> a text on its objects and their defects, for questions that include it.
        split: the test split that this is, such as "private"; "" where the data set has only one.

    Example:
        >>> names = ("good/1", "good/2", "bent/1")
        >>> samples = [Sample(f"bolt/{name}", "bolt", name[0] == "b", name[:4], Path()) for name in names]
        >>> [sample.id for sample in Dataset("folder", Path(), tuple(samples)).select(limit=2)]
        ['bolt/good/1', 'bolt/bent/1']
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    references: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[str, ...]] | None = field(default=None, compare=False, repr=False)
    cache: Database | None = field(default=None, compare=False, repr=False)
    remarks: tuple[str, ...] = field(default=(), compare=False, repr=False)
    depths: Mapping[str, Depth] = field(default_factory=dict, compare=False, repr=False)
    image_size: int | None = field(default=None, compare=False, repr=False)
    class_names: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    validation: Mapping[str, tuple[Path, ...]] = field(default_factory=dict, compare=False, repr=False)
    metrics: tuple[str, ...] = field(default=(), compare=False, repr=False)
    knowledge: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    split: str = ""

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

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes and the remarks."""
        return (*self.notes, *self.remarks)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories in order."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    @cached_property
    def defects(self) -> dict[str, tuple[str, ...]]:
        """Category -> the kinds of defect in its whole test split, without "good"."""
        if self.kinds is not None:
            return {category: self.kinds[category] for category in self.categories}
        kinds: dict[str, set[str]] = {category: set() for category in self.categories}
        for sample in self.samples:
            if sample.label:
                kinds[sample.category].add(sample.defect)
        return {category: tuple(sorted(names)) for category, names in kinds.items()}

    @property
    def complete(self) -> bool:
        """Whether it has as many test images as the published data set of its name; True where there is none."""
        return len(self) == PUBLISHED_IMAGES.get(self.name, len(self))

    @cached_property
    def file_hashes(self) -> Mapping[str, tuple[str, str]]:
        """Sample id -> SHA-256 (hex) of its image file and of its mask ("" without one)."""
        files = [file for sample in self.samples for file in sample.files]
        hashes = dict(zip(files, hash_files(files, self.cache), strict=True))

        def of_mask(sample: Sample) -> str:
            parts = [hashes[file] for file in sample.mask_files]
            return hash_rows([parts]) if len(parts) > 1 else "".join(parts)

        return {sample.id: (hashes[sample.image_path], of_mask(sample)) for sample in self.samples}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, labels, image and mask files, types of defect and questions, wherever files are."""

        def facts(sample: Sample) -> list[Any]:
            types = [] if sample.types is None else [sample.types.digest]
            asked = [[[one.text, one.options, one.type, one.right] for one in sample.questions]]
            own = [*types, *(asked if sample.questions else [])]
            return [sample.id, sample.label, sample.threshold, *self.file_hashes[sample.id], *own]

        return hash_rows(map(facts, self.samples))

    def reference_image(self, category: str, path: Path) -> NDArray[np.uint8]:
        """Read a normal training image, uint8 ``(H, W, 3)``, in the same range as the category's test images.

        Raises:
            ImageError: the file cannot be read.
        """
        depth = self.depths.get(category)
        return read_image(path, None if depth is None else depth.highest)

    def select(self, categories: Sequence[str] = (), limit: int | None = None) -> Dataset:
        """Return a part of the data set.

        Args:
            categories: those to keep, in the data set's own order; all if empty.
            limit: this many test images of each category at most, good and anomalous ones in turn, so that a short
                run has both. The other images of the chosen objects (see ``Sample.part``) are added, because metrics
                of objects need all views.

        Raises:
            DataError: a category does not exist, or the limit is below 1.
        """
        for category in categories:
            if category not in self.categories:
                hint = nearest(category, self.categories)
                raise DataError(f"The data set {self.name!r} in {shown(self.root)} has no category {category!r}.{hint}")
        if limit is not None and limit < 1:
            raise DataError(f"A limit of {limit} images leaves nothing to measure; give 1 or more.")
        kept = [s for s in self.samples if not categories or s.category in categories]
        if limit is not None:
            groups: dict[str, list[Sample]] = {}
            for sample in kept:
                groups.setdefault(sample.category, []).append(sample)
            chosen = [s for group in groups.values() for s in _good_and_anomalous_in_turn(group)[:limit]]
            objects = {s.part or s.id for s in chosen}
            kept = [s for s in kept if (s.part or s.id) in objects]
        return replace(self, samples=tuple(kept), kinds=self.defects)


def _good_and_anomalous_in_turn(samples: Sequence[Sample]) -> list[Sample]:
    """Order one category's samples: a good one, an anomalous one, and so on; the anomalous from each defect in turn."""
    good = [sample for sample in samples if not sample.label]
    defects: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.label:
            defects.setdefault(sample.defect, []).append(sample)
    return _in_turn(good, _in_turn(*defects.values()))


def _in_turn(*lists: Sequence[Sample]) -> list[Sample]:
    return [sample for row in zip_longest(*lists) for sample in row if sample is not None]
