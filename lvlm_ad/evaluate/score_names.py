"""Which test image a name in a user's file means: the name of a map, or of an image score."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from lvlm_ad.datasets.folders import name_of
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.names import plain_name, with_lower_suffix
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset, Sample

__all__ = ["MAP_SUFFIXES", "SampleNames", "expected_names", "file_names"]

T = TypeVar("T")

MAP_SUFFIXES = (".npy", ".tiff", ".tif", ".png")

_SUFFIXES = IMAGE_SUFFIXES | set(MAP_SUFFIXES)


class SampleNames:
    """The names that users' files may give to the images of a data set.

    A name is the image's path in the data set or its id, each with or without a suffix, the folder "test", and the name
    of the category or of the data set's folder before it. Images of VisA may have the names of both its layouts.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._roots = [
            f"{plain_name(str(root))}/"
            for root in (dataset.root, dataset.root.absolute(), os.path.realpath(dataset.root))
            if str(root) != "."
        ]
        # The surest match first: the file, its suffix in another case, the path or the id, other forms of them.
        self._tiers: list[defaultdict[str, set[str]]] = [defaultdict(set) for _ in range(4)]
        for sample in dataset:
            path = plain_name(_path(sample, dataset))
            bare = path.removesuffix(PurePosixPath(path).suffix)
            tiers = ([path], [with_lower_suffix(path)], [bare, plain_name(sample.id)], _forms(sample, bare, dataset))
            for tier, names in zip(self._tiers, tiers, strict=True):
                for name in names:
                    tier[name].add(sample.id)

    def find(self, name: str) -> set[str]:
        """Return the ids of the samples that a name may mean."""
        text = plain_name(name)
        for root in self._roots:
            text = text.removeprefix(root)
        suffix = PurePosixPath(text).suffix
        bare = text.removesuffix(suffix) if suffix.lower() in _SUFFIXES else text
        # In "img.v2" the last dot belongs to the name, in "img.png" it may.
        asked = ({text}, {with_lower_suffix(text)}, {text, bare}, {text, bare})
        matches = (
            set().union(*(tier.get(one, ()) for one in names)) for tier, names in zip(self._tiers, asked, strict=True)
        )
        return next(filter(None, matches), set())

    def collect(self, named: Iterable[tuple[str, T]], place: Path) -> dict[str, list[T]]:
        """Return sample id -> the values under its names; other names are skipped.

        Args:
            named: names, each with a value.
            place: the file or folder of the names, for messages.

        Raises:
            DataError: a name may mean two samples.
        """
        values: defaultdict[str, list[T]] = defaultdict(list)
        for name, value in named:
            ids = sorted(self.find(name))
            if len(ids) > 1:
                raise DataError(
                    f"{shown(place)}: {shown(name)} may be {shown(ids[0])} or {shown(ids[1])}; name the image by its "
                    "path in the data set."
                )
            for one in ids:
                values[one].append(value)
        return dict(values)


def expected_names(sample: Sample, dataset: Dataset) -> list[str]:
    """Return the usual names of a sample, without suffix, for a message: its path in the data set, and its id."""
    path = PurePosixPath(_path(sample, dataset))
    return list(dict.fromkeys([path.as_posix().removesuffix(path.suffix), sample.id]))


def file_names(dataset: Dataset) -> dict[str, str]:
    """Choose for each sample the name, without suffix, under which its map is written and found again.

    It is the image's path in the data set. Where that lies outside the data set's folder, is hidden or may mean two
    images, it is the id, or the path with its suffix.

    Returns:
        Sample id -> name.

    Raises:
        DataError: a sample has no such name.
    """
    found = SampleNames(dataset)
    names = {}
    for sample in dataset:
        usual = (*expected_names(sample, dataset), _path(sample, dataset))
        own = next((name for name in usual if _stays_inside(name) and found.find(name) == {sample.id}), None)
        if own is None:
            raise DataError(f"The map of {shown(sample.id)} has no name of its own; give the image another name.")
        names[sample.id] = own
    return names


def _stays_inside(name: str) -> bool:
    """Return whether a file of that name lies in the folder it is written to and is not hidden."""
    path = PurePosixPath(name)
    return not path.is_absolute() and not any(part.startswith(".") for part in path.parts)


def _path(sample: Sample, dataset: Dataset) -> str:
    """Return a sample's path in its data set, with its suffix."""
    return Path(os.path.relpath(sample.image_path, dataset.root)).as_posix()


def _forms(sample: Sample, path: str, dataset: Dataset) -> Iterator[str]:
    """Yield other names of a sample without a suffix; several may be the same."""
    stem = path.rpartition("/")[2]
    names = [sample.id, path, f"{sample.category}/{path}", f"{name_of(dataset.root)}/{path}"]
    names.append(f"{sample.category}/test/{sample.defect}/{stem}")
    if dataset.name == "visa":
        names.append(f"{sample.category}/Data/Images/{'Anomaly' if sample.label else 'Normal'}/{stem}")
    for name in map(plain_name, names):
        yield name
        *folders, last = name.split("/")
        yield "/".join([*(folder for folder in folders if folder.lower() != "test"), last])
