"""Check a whole data set before any money is spent on it, and report everything that is wrong at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import image_size, read_mask, shown
from lvlm_ad.datasets.listing import Problem
from lvlm_ad.datasets.load import list_dataset
from lvlm_ad.errors import DataError, ImageError

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset, Sample

__all__ = ["CheckReport", "check_dataset"]

_THREADS = 8
"""Images read at the same time; the largest allowed take a gigabyte each while they are decoded."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check.

    Attributes:
        dataset: the samples that could be listed, those with damaged files included; None if there is nothing to list.
        problems: everything that is wrong: the listing's problems first, then file by file in the data set's order.
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

    Example:
        >>> check_dataset("mvtec", "/no/such/folder").problems[0].message[:31]
        '/no/such/folder does not exist;'
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
    problems = [*listing.problems, *_single_labels(dataset), *_missing_masks(dataset)]
    readable = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (sample, faults) in enumerate(zip(dataset, pool.map(_check_sample, dataset), strict=True), start=1):
            problems += faults
            if not faults:
                readable.append(sample)
            if progress is not None:
                progress(done)
        references = [(category, path) for category, paths in dataset.references.items() for path in paths]
        for faults in pool.map(_check_reference, references):
            problems += faults
    problems += _contradictions(replace(dataset, samples=tuple(readable)))
    return CheckReport(dataset, tuple(problems))


def _check_sample(sample: Sample) -> list[Problem]:
    messages = []
    try:
        sample.image  # noqa: B018 - reading is the check
    except ImageError as error:
        messages.append(str(error))
    if sample.label and sample.mask_path is not None:
        try:
            # A damaged image has no size to compare, but its mask may have faults of its own.
            mask = read_mask(sample.mask_path, sample.threshold) if messages else sample.mask
        except ImageError as error:
            messages.append(str(error))
        else:
            if mask is not None and not mask.any():
                messages.append(
                    f"The mask {shown(sample.mask_path)} of a defect has no defective pixel; correct it, list the "
                    "image as good, or set the mask threshold."
                )
    return [Problem(shown(sample.id), message) for message in messages]


def _check_reference(reference: tuple[str, Path]) -> list[Problem]:
    category, path = reference
    try:
        image_size(path)
    except ImageError as error:
        return [Problem(shown(f"{category}/train/{path.name}"), str(error))]
    return []


def _single_labels(dataset: Dataset) -> Iterator[Problem]:
    """Yield categories that have good images only, or defects only."""
    for category in dataset.categories:
        labels = {sample.label for sample in dataset if sample.category == category}
        if len(labels) == 1:
            only, lacking = ("defects", "good") if labels == {True} else ("good images", "defect")
            yield Problem(
                shown(category),
                f"{shown(category)} has only {only}; without {lacking} images its image metrics are undefined.",
                "warning",
            )


def _missing_masks(dataset: Dataset) -> Iterator[Problem]:
    """Yield defects without a mask if others have one; if none has, the data set is meant to have none."""
    defects = [sample for sample in dataset if sample.label]
    without = [sample for sample in defects if sample.mask_path is None]
    for sample in without if len(without) < len(defects) else ():
        message = f"{shown(sample.image_path)} has no mask, though other defects have; pixel metrics leave it out."
        yield Problem(shown(sample.id), message, "warning")


def _contradictions(dataset: Dataset) -> Iterator[Problem]:
    """Yield files that are listed both as good and as a defect."""
    same: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in dataset:
        same[dataset.file_hashes[sample.id][0]].append(sample)
    for samples in same.values():
        if len({sample.label for sample in samples}) > 1:
            names = ", ".join(shown(sample.id) for sample in samples)
            yield Problem(
                shown(samples[0].id),
                f"{names} are the same picture, listed both as good and as a defect; remove one.",
                "warning",
            )
