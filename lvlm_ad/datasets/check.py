"""Reads a whole data set before any money is spent on it, and reports all that is wrong at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import image_size, read_mask, shown
from lvlm_ad.datasets.listing import Problem
from lvlm_ad.datasets.load import list_dataset
from lvlm_ad.errors import DataError, ImageError

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset, Sample

__all__ = ["CheckReport", "check_dataset"]

_READERS = 8
"""Images read at the same time; the largest allowed take a gigabyte each while they are decoded."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        dataset: the samples that could be listed, those with damaged files included; None if there is nothing to list.
        problems: all that is wrong: the listing's first, then file by file in the data set's order.
    """

    dataset: Dataset | None
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether a run may start: there are no errors, at most warnings."""
        return all(problem.severity == "warning" for problem in self.problems)


def check_dataset(
    name: str,
    root: Path | str | None = None,
    *,
    mask_threshold: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> CheckReport:
    """Read every test image and mask in full, and the headers of the training images.

    Args:
        name: see ``load_dataset``.
        root: see ``load_dataset``.
        mask_threshold: see ``load_dataset``.
        progress: called, from this thread, with the number of test images read so far.

    Raises:
        ConfigError: the name is unknown, the root is missing or the threshold is out of range.
    """
    try:
        listing = list_dataset(name, root, mask_threshold)
    except DataError as error:
        return CheckReport(None, (Problem(shown(root or name), str(error)),))
    try:
        dataset = listing.dataset()
    except DataError as error:
        if all(problem.severity == "warning" for problem in listing.problems):
            listing.report(listing.root, str(error))
        return CheckReport(None, tuple(listing.problems))
    problems = [*listing.problems, *_one_sided(dataset), *_without_masks(dataset)]
    readable = []
    with ThreadPoolExecutor(_READERS) as pool:
        for done, (sample, found) in enumerate(zip(dataset, pool.map(_check_sample, dataset), strict=True), start=1):
            problems += found
            if not found:
                readable.append(sample)
            if progress is not None:
                progress(done)
        for category, paths in dataset.references.items():
            problems += [p for found in pool.map(partial(_check_reference, category), paths) for p in found]
    problems += _contradictions(dataset, readable)
    return CheckReport(dataset, tuple(problems))


def _check_sample(sample: Sample) -> list[Problem]:
    messages = []
    try:
        sample.image  # noqa: B018 - reading is the check
        sound = True
    except ImageError as error:
        messages.append(str(error))
        sound = False
    if sample.label and sample.mask_path is not None:
        try:
            # The size of a damaged image cannot be compared, but its mask may have faults of its own.
            mask = sample.mask if sound else read_mask(sample.mask_path, sample.threshold)
        except ImageError as error:
            messages.append(str(error))
        else:
            if mask is not None and not mask.any():
                messages.append(
                    f"The mask {shown(sample.mask_path)} of a defect has no defective pixel; mend it, list the image "
                    "as good, or set the mask threshold."
                )
    return [Problem(shown(sample.id), message) for message in messages]


def _check_reference(category: str, path: Path) -> list[Problem]:
    try:
        image_size(path)
    except ImageError as error:
        return [Problem(shown(f"{category}/train/{path.name}"), str(error))]
    return []


def _one_sided(dataset: Dataset) -> Iterator[Problem]:
    for category in dataset.categories:
        labels = {sample.label for sample in dataset if sample.category == category}
        if len(labels) == 1:
            only, lacking = ("defects", "good") if labels == {True} else ("good images", "defect")
            yield Problem(
                shown(category),
                f"{shown(category)} has only {only}; without {lacking} images its image metrics are undefined.",
                "warning",
            )


def _without_masks(dataset: Dataset) -> Iterator[Problem]:
    """Find defects without a mask where others have one; where none has, none is meant to."""
    defects = [sample for sample in dataset if sample.label]
    if any(sample.mask_path is not None for sample in defects):
        for sample in defects:
            if sample.mask_path is None:
                message = f"{shown(sample.image_path)} has no mask, though other defects have; pixel metrics lack it."
                yield Problem(shown(sample.id), message, "warning")


def _contradictions(dataset: Dataset, readable: Sequence[Sample]) -> Iterator[Problem]:
    """Find files that are listed both as good and as a defect."""
    same: defaultdict[str, list[Sample]] = defaultdict(list)
    part = replace(dataset, samples=tuple(readable))
    for sample in part:
        same[part.file_hashes[sample.id][0]].append(sample)
    for samples in same.values():
        if len({sample.label for sample in samples}) > 1:
            names = ", ".join(shown(sample.id) for sample in samples)
            yield Problem(
                shown(samples[0].id),
                f"{names} are the same picture, listed both as good and as a defect; remove one.",
                "warning",
            )
