"""Load a data set by name, or check it and report everything that is wrong before any money is spent on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.demo import VERSION
from lvlm_ad.datasets.folders import folders_in
from lvlm_ad.datasets.images import image_size, shown
from lvlm_ad.datasets.listing import Listing, Problem, marked_good
from lvlm_ad.datasets.mask_files import MASK_FOLDERS
from lvlm_ad.datasets.mask_values import HIGHEST_VALUE
from lvlm_ad.datasets.masks import Threshold, parse_values, read_mask
from lvlm_ad.datasets.readers import READERS, Read, recognized
from lvlm_ad.datasets.survey import Survey
from lvlm_ad.errors import ConfigError, DataError, ImageError, listed, nearest
from lvlm_ad.presets import preset_names
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset, Sample

_SPLITS = {"test", "train", "ground_truth", "good"}
"""Folders within a category."""

_HIGHEST_THRESHOLD = HIGHEST_VALUE - 1
"""Above this no pixel could be defective."""

_THREADS = 8
"""Images that a check reads at the same time; the largest allowed take a gigabyte each while they are decoded."""


def load_dataset(
    name: str,
    root: Path | str | None = None,
    *,
    mask_threshold: int | None = None,
    mask_values: str | None = None,
    categories: Sequence[str] = (),
    split: str | None = None,
) -> Dataset:
    """Load a data set's test split. This lists the files; ``check_dataset`` also reads them.

    Args:
        name: a name in ``lvlm_ad.datasets.readers.READERS``, such as "mvtec".
        root: the folder with the data; None: the user's cache, where ``lvlm-ad data download`` puts it and where the
            demo is drawn.
        mask_threshold: a mask's pixel is defective above this value, 0..65534; None: chosen for each mask, as the
            data set's notes say.
        mask_values: the values that are defective, in place of a threshold: numbers and ranges such as "1,3-7".
        categories: those that will be used; errors in others are ignored. Empty: all. All of them are loaded.
        split: the split to load, where a data set has several test splits, such as "private"; see ``Reader.splits``.
            None: the usual one.

    Returns:
        The data set, in the same order on every machine.

    Raises:
        ConfigError: the name or the split is unknown, the root is missing, the threshold is out of range, or
            ``mask_values`` is not a list of values.
        DataError: the root does not hold this data set, or something in it is wrong; see docs/datasets.md.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("good", "bent"):
        ...         folder = Path(root, "bolts", kind)
        ...         folder.mkdir(parents=True)
        ...         Image.new("L", (4, 4)).save(folder / "0.png")
        ...     [sample.id for sample in load_dataset("folder", Path(root, "bolts"))]
        ['bolts/good/0', 'bolts/bent/0']
    """
    listing = _list(name, root, _threshold(mask_threshold, mask_values), split)
    dataset = replace(listing.dataset(), metrics=READERS[name].metrics, split=split or READERS[name].split)
    errors = [
        problem.message
        for problem in listing.problems
        if problem.severity == "error" and (not categories or problem.category in {"", *categories})
    ]
    if errors:
        more = f" (The first of {len(errors)} problems; `lvlm-ad data check` lists them all.)"
        raise DataError(errors[0] + (more if len(errors) > 1 else ""))
    return dataset


def _threshold(mask_threshold: int | None, mask_values: str | None) -> Threshold:
    if mask_values is None:
        if mask_threshold is not None and not 0 <= mask_threshold <= _HIGHEST_THRESHOLD:
            raise ConfigError(f"The mask threshold {mask_threshold} is out of range; give 0 to {_HIGHEST_THRESHOLD}.")
        return mask_threshold
    if mask_threshold is not None:
        raise ConfigError("Give a mask threshold or mask values, not both.")
    return parse_values(mask_values)


def _list(name: str, root: Path | str | None, threshold: Threshold, split: str | None) -> Listing:
    """List a data set together with everything that is wrong in its listing."""
    if name not in READERS:
        raise ConfigError(f"There is no data set {name!r}.{nearest(name, READERS)}")
    read = READERS[name].of_split(split)
    folder = Path(root).expanduser() if root else default_root(name)
    if not root and name != "demo" and (name == "folder" or not folder.is_dir()):
        page = f"; it is available at {READERS[name].page}" if READERS[name].page else ""
        can_download = name in preset_names("downloads")
        download = f", or download it: lvlm-ad data download {name}" if can_download else page
        raise ConfigError(f"The data set {name!r} needs a folder: give it with --data PATH{download}.")
    try:
        listing = read(folder, threshold)
    except DataError as error:
        if likeness := _likeness(name, folder):
            raise DataError(f"{error} {likeness}") from error
        if above := _folder_above(read, folder, threshold):
            raise DataError(f"{error} Did you mean {shown(above)}?") from error
        raise
    listing.remarks += _beside(folder, listing)
    return listing


def _beside(folder: Path, listing: Listing) -> Iterator[str]:
    """Yield a remark if masks or reference images lie beside the root, where nothing is read."""
    is_part = folder.name.lower() in _SPLITS
    if not is_part and (not folder.is_dir() or listing.name != "folder" or listing.has_masks):
        return
    above = folder.absolute().parent
    # A user may be allowed to enter the folder above, but not to list it.
    with suppress(DataError):
        wanted = _SPLITS if is_part else MASK_FOLDERS
        names = [one.name for one in folders_in(above) if one.name.lower() in wanted and one.name != folder.name]
        if names and is_part:
            yield (
                f"Did you mean the folder above {shown(folder.name)}/? {shown(above)} also holds "
                f"{' and '.join(f'{shown(one)}/' for one in names)}, from which masks and reference images are read."
            )
        elif names:
            masks = shown(above / names[0])
            yield f"{masks} is not read. If it holds masks of these images, move it into {shown(folder)}."


def _likeness(name: str, folder: Path) -> str:
    """Say which other data set a folder, one in it or the one above looks like; "" if none."""
    if (other := recognized(folder)) not in {None, name}:
        return f"The folder looks like {READERS[str(other)].title}: give --dataset {other}."
    # The folder may be missing, or one that cannot be listed.
    with suppress(DataError):
        for inner in folders_in(folder):
            if (other := recognized(inner)) not in {None, name}:
                what = f"{shown(inner.name)} in it looks like {READERS[str(other)].title}"
                return f"The folder {what}: give --dataset {other} --data {shown(inner)}."
    above = folder.absolute().parent
    if (other := recognized(above)) not in {None, name}:
        return f"The folder above looks like {READERS[str(other)].title}: give --dataset {other} --data {shown(above)}."
    return ""


def _folder_above(read: Read, folder: Path, threshold: Threshold) -> Path | None:
    """Return the folder above that holds the data set, if ``folder`` is a category or lies in one; else None."""
    near = [folder.absolute(), *folder.absolute().parents]
    part = max((at for at, one in enumerate(near[:3]) if one.name.lower() in _SPLITS), default=0)
    for above in near[part + 1 : part + 3]:
        try:
            if read(above, threshold).dataset():
                return above
        except DataError:
            continue
    return None


def default_root(name: str) -> Path:
    """Return the folder in the user's cache that holds a data set if no root is given."""
    # A demo that an older version has drawn shows other pictures.
    return user_cache() / (f"demo-{VERSION}" if name == "demo" else name)


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
    threshold = _threshold(mask_threshold, mask_values)
    try:
        listing = _list(name, root, threshold, split)
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
    problems += [*_single_labels(dataset), *_missing_masks(dataset)]
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


def _single_labels(dataset: Dataset) -> Iterator[Problem]:
    """Yield categories that have good images only, or defects only."""
    by_category: defaultdict[str, set[bool]] = defaultdict(set)
    for sample in dataset:
        if sample.is_labelled:
            by_category[sample.category].add(sample.label)
    for category, labels in by_category.items():
        if len(labels) == 1:
            only, lacking = ("defects", "good") if labels == {True} else ("good images", "defect")
            yield Problem(
                shown(category),
                f"{shown(category)} has only {only}; without {lacking} images its image metrics are undefined.",
                "warning",
            )


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
