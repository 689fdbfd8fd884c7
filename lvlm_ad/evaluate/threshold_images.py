"""Images other than the test images, to choose a threshold from; the model is asked about them in the same way."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.datasets.hashing import hash_files
from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import ConfigError, DataError, listed
from lvlm_ad.escape import escaped
from lvlm_ad.prompts import reference_paths

if TYPE_CHECKING:
    from lvlm_ad.decisions import Choice

__all__ = [
    "Drawing",
    "about_threshold",
    "about_validation",
    "threshold_images",
    "without_test_images",
]


@dataclass(frozen=True)
class Drawing:
    """Which images are taken.

    Attributes:
        most: at most this many good training images of each category.
        shots: how many good training images each question shows; these are no references.
        seed: decides which ones.
        reading: how the masks of a calibration folder are read: arguments of ``load_dataset``.
        reference_set: which set of good training images each question shows.
    """

    most: int
    shots: int = 0
    seed: int = 0
    reading: Mapping[str, Any] = field(default_factory=dict)
    reference_set: int = 0


def threshold_images(choice: Choice, dataset: Dataset, drawing: Drawing) -> tuple[Sample, ...]:
    """Return the images that a threshold is chosen from, if they are not test images.

    Args:
        choice: how the threshold is chosen.
        dataset: the test images to measure.
        drawing: which images are taken.

    Raises:
        ConfigError: no category has good training images, or the folder shares no category with the data set.
        DataError: the folder does not exist or holds no data set.
    """
    if choice.needs_references:
        return tuple(_references(choice, dataset, drawing))
    if choice.folder is not None:
        return tuple(_calibration_images(choice.folder, dataset, drawing.reading))
    return ()


def _references(choice: Choice, dataset: Dataset, drawing: Drawing) -> list[Sample]:
    """Choose good training images of each category that no question shows."""
    if not any(dataset.references.get(category) for category in dataset.categories):
        raise ConfigError(
            f"--threshold {escaped(choice.text)} needs good training images, and {shown(dataset.root)} has none. Put "
            "them into train/good beside each category's test/, or choose the threshold with calibration:FOLDER."
        )
    samples: list[Sample] = []
    taken = {sample.id for sample in dataset}
    for category in dataset.categories:
        shown_ones = set(reference_paths(dataset, category, drawing.shots, drawing.seed, drawing.reference_set))
        paths = [path for path in dataset.references.get(category, ()) if path not in shown_ones]
        # Another seed than that of the shown ones; a smaller number is a part of a larger one.
        random.Random(f"{drawing.seed}/{category}/threshold").shuffle(paths)  # noqa: S311 - reproducible, not secret
        chosen = paths[: drawing.most]
        # Too few for a threshold: asking about them would be in vain.
        for path in chosen if len(chosen) >= choice.references_needed else ():
            name = _unused(f"{category}/train/{path.stem}", taken)
            depth = dataset.depths.get(category)
            samples.append(Sample(name, category, label=False, defect="good", image_path=path, depth=depth))
    return samples


def about_validation(images: Sequence[Sample]) -> str:
    """Say how many validation images a model is asked about, where the test images have labels."""
    return f"For the threshold of SegF1 and ClassF1 each model is asked about {len(images)} normal validation images."


def _calibration_images(folder: Path, dataset: Dataset, reading: Mapping[str, Any]) -> list[Sample]:
    """Return the images of a labelled folder, under the categories of the data set."""
    try:
        other = load_dataset("folder", folder, **reading)
    except DataError as error:
        raise DataError(f"The calibration images cannot be used: {error}") from error
    names = {category: category for category in other.categories if category in dataset.categories}
    if not names and len(other.categories) == len(dataset.categories) == 1:
        names = dict(zip(other.categories, dataset.categories, strict=True))
    if not names:
        theirs, ours = (listed([*map(shown, of.categories)], 5) for of in (other, dataset))
        raise ConfigError(
            f"{shown(folder)} has the categories {theirs}, and the data set has {ours}: none in common. Name its "
            "folders after the data set's categories."
        )
    taken = {sample.id for sample in dataset}
    samples = []
    for sample in other:
        if (category := names.get(sample.category)) is not None:
            name = _unused(f"{category}/calibration/{sample.id.partition('/')[2]}", taken)
            depth = dataset.depths.get(category, sample.depth)
            samples.append(replace(sample, id=name, category=category, depth=depth))
    return samples


def _unused(name: str, taken: set[str]) -> str:
    """Return a name that no other image has, and take it."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def without_test_images(images: Sequence[Sample], dataset: Dataset, note: Callable[[str], None]) -> tuple[Sample, ...]:
    """Leave out images whose file is also a test image's: a threshold must not be chosen on what it judges."""
    if not images:
        return ()
    tested = {image for image, _ in dataset.file_hashes.values()}
    hashes = hash_files([sample.image_path for sample in images], dataset.cache)
    kept = tuple(sample for sample, digest in zip(images, hashes, strict=True) if digest not in tested)
    if len(kept) < len(images):
        note(f"{len(images) - len(kept)} images for the threshold are also test images and are left out.")
    return kept


def about_threshold(choice: Choice, dataset: Dataset, images: Sequence[Sample]) -> list[str]:
    """Say how many images are asked for the threshold, and which categories get none."""
    if not choice.needs_references and choice.folder is None:
        return []
    having = {sample.category for sample in images}
    lacking = [category for category in dataset.categories if category not in having]
    lines = [f"For the threshold each model is asked about {len(images)} more images."] if having else []
    if lacking:
        why = "the folder has no images of it that are not test images"
        if choice.needs_references:
            needed = choice.references_needed
            why = f"it needs {needed} good training images, more than there are or --reference-images takes"
        lines.append(f"No threshold for {listed([*map(shown, lacking)], 5)}: {why}.")
    return lines
