"""Check a data set: read every file, and report everything that is wrong before any money is spent on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import image_size, shown
from lvlm_ad.datasets.listing import Problem, marked_good, single_labels
from lvlm_ad.datasets.masks import Threshold, read_mask
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.datasets.survey import Survey
from lvlm_ad.errors import DataError, ImageError, listed

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset, Sample
from lvlm_ad.datasets.load import list_dataset, mask_threshold_of

_THREADS = 8
"""Images that a check reads at the same time; the largest allowed take a gigabyte each while they are decoded."""


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
    mask_values: str | None = None,
    split: str | None = None,
) -> CheckReport:
    """Read every test image and mask in full, and the headers of training and validation images.

    Args:
        name: see ``load_dataset``.
        root: see ``load_dataset``.
        mask_threshold: see ``load_dataset``.
        mask_values: see ``load_dataset``.
        split: see ``load_dataset``.

    Raises:
        ConfigError: as of ``load_dataset``.

    Example:
        >>> check_dataset("mvtec", "/no/such/folder").problems[0].message[:31]
        '/no/such/folder does not exist;'
    """
    problems: list[Problem] = []
    threshold = mask_threshold_of(mask_threshold, mask_values)
    try:
        listing = list_dataset(name, root, threshold, split)
        problems = listing.problems
        dataset = replace(listing.dataset(), split=split or READERS[name].split)
    except DataError as error:
        if all(problem.severity == "warning" for problem in problems):
            problems.append(Problem(shown(root or name), str(error)))
        return CheckReport(None, tuple(problems))
    survey = Survey()
    others = [
        (f"{category}/{part}/{path.name}", path)
        for part, images in (("train", dataset.references), ("validation", dataset.validation))
        for category, paths in images.items()
        for path in paths
    ]
    others += dict.fromkeys(
        (f"{sample.category}/train/{path.name}", path) for sample in dataset for path in sample.references
    )
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = list(pool.map(partial(_faults, survey), dataset))
        mask_faults = list(pool.map(partial(_mask_faults, threshold), listing.empty_masks))
        other_faults = list(pool.map(_header_faults, others))
    readable = [sample for sample, wrong in zip(dataset, faults, strict=True) if not wrong]
    problems += [*single_labels(dataset), *_missing_masks(dataset)]
    problems += [problem for wrong in (*faults, *mask_faults, *other_faults) for problem in wrong]
    problems += [Problem(shown(category), message, "warning") for category, message in survey.messages()]
    problems += _contradictions(replace(dataset, samples=tuple(readable)))
    return CheckReport(dataset, tuple(problems))


def _faults(survey: Survey, sample: Sample) -> list[Problem]:
    messages = []
    try:
        survey.add(sample, sample.image)
    except ImageError as error:
        messages.append(str(error))
    if sample.mask_path is not None:
        try:
            # A damaged image has no size to compare, but its mask may have faults of its own.
            own = [read_mask(path, sample.threshold, sample.peers) for path in sample.mask_files] if messages else []
            whole = None if messages else sample.mask
            if sample.types is not None:
                _ = sample.channels
            is_empty = not any(mask.any() for mask in (*own, whole) if mask is not None)
            if whole is not None:
                survey.add_mask(sample, whole)
        except ImageError as error:
            messages.append(str(error))
        else:
            if is_empty:
                messages.append(
                    f"The mask {shown(sample.mask_path)} of a defect has no defective pixel; correct it, list the "
                    "image as good, or set the mask threshold."
                )
    return [Problem(shown(sample.id), message) for message in messages]


def _mask_faults(threshold: Threshold, entry: tuple[str, Path, Path]) -> list[Problem]:
    """Return what is wrong with the mask of a good image, which must mark nothing."""
    identity, image, path = entry
    try:
        mask = read_mask(path, 0 if threshold is None else threshold)
        size = image_size(image)
    except ImageError as error:
        return [Problem(shown(identity), str(error))]
    wrong = [marked_good(image, path)] if mask.any() else []
    if mask.shape != size:
        sizes = f"{mask.shape[1]} x {mask.shape[0]} pixels, but its image has {size[1]} x {size[0]}"
        wrong.append(f"The mask {shown(path)} has {sizes}; both must have the same size.")
    return [Problem(shown(identity), message) for message in wrong]


def _header_faults(image: tuple[str, Path]) -> list[Problem]:
    where, path = image
    try:
        image_size(path)
    except ImageError as error:
        return [Problem(shown(where), str(error))]
    return []


def _missing_masks(dataset: Dataset) -> Iterator[Problem]:
    """Yield defects without a mask if others have one; if none has, the data set is meant to have none."""
    by_category: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in dataset:
        if sample.label:
            by_category[sample.category].append(sample)
    if not any(sample.mask_path for samples in by_category.values() for sample in samples):
        return
    for category, defects in by_category.items():
        without = [sample for sample in defects if sample.mask_path is None]
        if len(without) == len(defects):
            message = f"{shown(category)} has no masks, though other categories have; its pixel metrics are undefined."
            yield Problem(shown(category), message, "warning")
            continue
        for sample in without:
            message = f"{shown(sample.image_path)} has no mask, though other defects have; pixel metrics leave it out."
            yield Problem(shown(sample.id), message, "warning")


def _contradictions(dataset: Dataset) -> Iterator[Problem]:
    """Yield files that are listed both as good and as a defect."""
    same: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in dataset:
        same[dataset.file_hashes[sample.id][0]].append(sample)
    for samples in same.values():
        if len({sample.label for sample in samples}) > 1:
            both = ([shown(one.id) for one in samples if one.label is label] for label in (False, True))
            names = ", ".join(map(listed, both))
            yield Problem(
                shown(samples[0].id),
                f"{names} are the same picture, listed both as good and as a defect; remove one.",
                "warning",
            )
