"""Load a data set by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.demo import VERSION
from lvlm_ad.datasets.folders import folders_in
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import single_labels
from lvlm_ad.datasets.mask_files import MASK_FOLDERS
from lvlm_ad.datasets.mask_values import HIGHEST_VALUE
from lvlm_ad.datasets.masks import Threshold, parse_values
from lvlm_ad.datasets.readers import READERS, Read, recognized
from lvlm_ad.errors import ConfigError, DataError, nearest
from lvlm_ad.presets import preset_names
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets.listing import Listing, Problem
    from lvlm_ad.datasets.sample import Dataset

_SPLITS = {"test", "train", "ground_truth", "good"}
"""Folders within a category."""

_WARNINGS_SHOWN = 8
"""Warnings of a listing that loading repeats; a data set of many categories may have one for each."""

_HIGHEST_THRESHOLD = HIGHEST_VALUE - 1
"""Above this no pixel could be defective."""


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
        The data set, in the same order on every machine. What is odd but no error is said in its ``remarks``.

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
    listing = list_dataset(name, root, mask_threshold_of(mask_threshold, mask_values), split)
    dataset = replace(listing.dataset(), metrics=READERS[name].metrics, split=split or READERS[name].split)
    problems = [one for one in (*listing.problems, *single_labels(dataset)) if _concerns(one, categories)]
    errors = [one.message for one in problems if one.severity == "error"]
    if errors:
        more = f" (The first of {len(errors)} problems; `lvlm-ad data check` lists them all.)"
        raise DataError(errors[0] + (more if len(errors) > 1 else ""))
    warnings = [one.message for one in problems]
    if len(warnings) > _WARNINGS_SHOWN:
        more = f"Further warnings: {len(warnings) - _WARNINGS_SHOWN}; `lvlm-ad data check` lists them all."
        warnings = [*warnings[:_WARNINGS_SHOWN], more]
    return replace(dataset, remarks=(*dataset.remarks, *warnings))


def _concerns(problem: Problem, categories: Sequence[str]) -> bool:
    return not categories or problem.category in {"", *categories}


def mask_threshold_of(mask_threshold: int | None, mask_values: str | None) -> Threshold:
    """Return ``Sample.threshold`` for what a user gives; see ``load_dataset``.

    Raises:
        ConfigError: the threshold is out of range, the values are no list, or both are given.
    """
    if mask_values is None:
        if mask_threshold is not None and not 0 <= mask_threshold <= _HIGHEST_THRESHOLD:
            raise ConfigError(f"The mask threshold {mask_threshold} is out of range; give 0 to {_HIGHEST_THRESHOLD}.")
        return mask_threshold
    if mask_threshold is not None:
        raise ConfigError("Give a mask threshold or mask values, not both.")
    return parse_values(mask_values)


def list_dataset(name: str, root: Path | str | None, threshold: Threshold, split: str | None) -> Listing:
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
    """Yield a remark if masks or reference images lie beside the root, or it is a part of a known data set."""
    is_part = folder.name.lower() in _SPLITS or folder.name.startswith("test_")
    if not is_part and (not folder.is_dir() or listing.name != "folder" or listing.has_masks):
        return
    above = folder.absolute().parent
    # A user may be allowed to enter the folder above, but not to list it.
    with suppress(DataError):
        if is_part and (other := recognized(above)) not in {None, listing.name}:
            yield _looks_like(str(other), above)
            return
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
    if (other := recognized(folder)) == name:
        return ""
    if other is not None:
        return f"The folder looks like {READERS[other].title}: give --dataset {other}."
    # The folder may be missing, or one that cannot be listed.
    with suppress(DataError):
        for inner in folders_in(folder):
            if (other := recognized(inner)) not in {None, name}:
                what = f"{shown(inner.name)} in it looks like {READERS[str(other)].title}"
                return f"The folder {what}: give --dataset {other} --data {shown(inner)}."
    above = folder.absolute().parent
    return _looks_like(str(other), above) if (other := recognized(above)) not in {None, name} else ""


def _looks_like(name: str, above: Path) -> str:
    return f"The folder above looks like {READERS[name].title}: give --dataset {name} --data {shown(above)}."


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
