"""What the layouts share: a ``Listing`` collects samples and problems."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lvlm_ad.datasets.depth import Depth
from lvlm_ad.datasets.folders import contents_of, files_in, folders_in, is_file
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.labels import read_label
from lvlm_ad.datasets.mask_notes import mask_notes, with_peers
from lvlm_ad.datasets.masks import Threshold, read_mask
from lvlm_ad.datasets.names import UNREADABLE_PICTURES, ListedFiles, normalized
from lvlm_ad.datasets.sample import Dataset, Sample
from lvlm_ad.errors import DataError, ImageError, listed

if TYPE_CHECKING:
    from lvlm_ad.datasets.tables import Row

Severity: TypeAlias = Literal["error", "warning"]

_NAMED = 8
"""Names that a note lists; more are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set."""

    where: str  # the sample's id, or the file or folder
    message: str  # what is wrong, where, and what to do; one line
    severity: Severity = "error"  # no run may start with an error; a warning may be intended
    category: str = field(default="", compare=False)  # the category that it concerns; "" for the whole data set


class Listing:
    """Collects samples, references, notes and problems, so that all problems can be reported at once.

    Args:
        name: the data set's name.
        root: the folder that every file must lie in, also after links are followed.
        threshold: see ``Sample.threshold``.

    Attributes:
        problems: what is wrong so far; the files concerned are left out.
        notes: choices made so far that the user should see.
        remarks: other notes for the user, which are no part of a run's record.
        image_size: see ``Dataset``.
        class_names: see ``Dataset``.
        knowledge: see ``Dataset``.
        category: the category being read, to which new problems belong; "": the whole data set.
        empty_masks: id, image and mask of good images whose mask must mark nothing, which only a check reads.
    """

    def __init__(self, name: str, root: Path, threshold: Threshold) -> None:
        self.name = name
        self.root = root
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.remarks: list[str] = []
        self.image_size: int | None = None
        self.class_names: dict[str, str] = {}
        self.knowledge: dict[str, str] = {}
        self.category = ""
        self.empty_masks: list[tuple[str, Path, Path]] = []
        self._threshold = threshold
        self._samples: dict[str, dict[str, Sample]] = {}  # id -> folder, or file of a list -> sample
        self._references: dict[str, list[Path]] = {}
        self._validation: dict[str, list[Path]] = {}
        self._depths: defaultdict[str, Depth] = defaultdict(Depth)
        self._ignored: Counter[str] = Counter()
        self._unread: dict[Path, Counter[str]] = {}
        self._listed = ListedFiles(root)
        self._roots = tuple(dict.fromkeys((os.path.abspath(root), os.path.realpath(root))))  # noqa: PTH100 - names
        # A folder is resolved once for all its files.
        self._leads_inside = cache(lambda folder: self._inside(os.path.realpath(folder)) is not None)

    @property
    def has_masks(self) -> bool:
        """Whether a sample so far has a mask."""
        return any(one.mask_path is not None for namesakes in self._samples.values() for one in namesakes.values())

    def report(self, subject: Path | str, message: str, severity: Severity = "error") -> None:
        """Note a problem."""
        self.problems.append(Problem(shown(subject), message, severity, normalized(self.category)))

    def note_part(self, name: str, count: int, categories: Sequence[str]) -> None:
        """Note it if only some of a published data set's categories are there."""
        if count < len(categories):
            verb = "is" if count == 1 else "are"
            self.notes.append(f"{count} of the {len(categories)} categories of {name} {verb} read.")

    def note_others(self, name: str, categories: Sequence[Path]) -> None:
        """Note folders beside those of a published data set's categories, such as one whose name is misspelt."""
        others = [shown(folder.name) for folder in folders_in(self.root) if folder not in categories]
        if others and self.root not in categories:
            self.notes.append(
                f"Ignored folders that are not categories of {name}: {', '.join(others)} (the data set 'folder' reads "
                "any)."
            )

    def note_loose(self, test: Path) -> None:
        """Note images beside the folders of the kinds of defect."""
        if loose := self.images_in(test):
            self.notes.append(
                f"Ignored {len(loose)} images directly in {shown(test)}: those in folders such as test/good have a "
                "label."
            )

    def images_in(self, folder: Path, *, counts_others: bool = True) -> list[Path]:
        """List the image files in a folder by name; count other files for a note, report links that cannot be used."""
        images = []
        for path in files_in(folder):
            suffix = path.suffix.lower()
            if suffix in UNREADABLE_PICTURES:
                self._unread.setdefault(folder, Counter())[suffix] += 1
            elif suffix not in IMAGE_SUFFIXES:
                self._ignored[suffix or "no suffix"] += counts_others
            elif self.is_usable(path):
                images.append(path)
        return images

    def report_unread(self, folder: Path) -> None:
        """Report a folder of pictures if none of them can be read: a kind of defect would be lost."""
        if folder in self._unread:
            self.report(
                folder,
                f"{shown(folder)} holds {_counts(self._unread[folder])} and no picture that can be read; convert them "
                "to PNG, or remove the folder.",
            )

    def is_usable(self, path: Path, where: str = "") -> bool:
        """Return whether a file exists and lies in the root; if not, report it. ``where`` as in ``Row``."""
        text = str(path)
        is_link = os.path.islink(text)  # noqa: PTH114 - as in is_file
        if not is_file(path):
            is_folder = os.path.isdir(text)  # noqa: PTH112 - as in is_file
            what = "is a folder, not a file" if is_folder else "is a broken link" if is_link else "does not exist"
            self.report(path, f"{where}{shown(path)} {what}; restore it, or remove it or the line that names it.")
            return False
        folder = os.path.dirname(os.path.realpath(text) if is_link else text)  # noqa: PTH120 - as above
        if not self._leads_inside(folder):
            self.report(
                path,
                f"{where}{shown(path)} leads out of {shown(self.root)}, to {shown(os.path.realpath(path))}; put the "
                "file itself there, or give the folder that holds the files.",
            )
            return False
        return True

    def files_of(self, row: Row) -> tuple[Path, list[Path]] | None:
        """Return the image and the mask, if any, that a row names, relative to the root; None if one cannot be used."""
        columns = ["image", "mask"] if row["mask"] else ["image"]
        files = [path for path in (self._file_of(row, column) for column in columns) if path is not None]
        if len(files) < len(columns):
            return None
        return files[0], files[1:]

    def listed_file(self, name: str, where: str, subject: Path | str, base: Path | None = None) -> Path | None:
        r"""Return the file that a list names; report it and return None if there is none, or it leaves the root.

        Args:
            name: as the list writes it: ``\`` and ``//`` mean ``/``; an absolute path must lie in the root.
            where: the place in the list, for the message, such as "meta.json, entry 3: ".
            subject: what the problem is reported for: the list.
            base: the folder that the name is relative to; None: the root.
        """
        # As text: a list has many names, and a Path takes ten times as long.
        plain = re.sub("/+", "/", normalized(name).replace("\\", "/"))
        inner = self._inside(os.path.abspath(os.path.join(base or self.root, plain)))  # noqa: PTH100, PTH118 - as above
        if inner is None:
            self.report(subject, f"{where}{name!r:.200} leads out of {shown(self.root)}; name a file in that folder.")
            return None
        path = self.root / inner
        return path if self.is_usable(path, where) else None

    def _inside(self, path: str) -> str | None:
        """Return where an absolute path is in the root, also after the root's links are followed; None if outside."""
        for root in self._roots:
            if path == root or path.startswith(root.rstrip(os.sep) + os.sep):
                return path[len(root) :].lstrip(os.sep)
        return None

    def _file_of(self, row: Row, column: str) -> Path | None:
        name = row[column]
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            self.report(row.table, f"{row.where}{name!r} is not an image; its name must end in {endings}.")
            return None
        files = self._listed.find(name) or [self.root / name]
        if len(files) > 1:
            self.report(
                row.table, f"{row.where}{name!r} may be {shown(files[0])} or {shown(files[1])}; rename one of them."
            )
            return None
        return files[0] if self.is_usable(files[0], row.where) else None

    def add(
        self, category: str, defect: str, image: Path, masks: Sequence[Path], where: str = "", **facts: Any
    ) -> None:
        """Add a test image.

        Args:
            category: the kind of object.
            defect: the kind of defect; "good": the image is normal.
            image: its file.
            masks: the files of its mask; none if it has none.
            where: see ``Row``.
            **facts: other fields of ``Sample``: tags, part, references, questions, types; label and is_labelled, both
                False, of an image without a label; or threshold, where the layout knows what its masks' values mean.
        """
        category, defect = normalized(category), normalized(defect)
        identity = f"{category}/{defect}/{normalized(image.stem)}"
        namesakes = self._samples.setdefault(identity, {})
        # A list names each file on purpose; in a folder, the second file may be left over from a conversion.
        key = str(image) if where else os.path.dirname(image)  # noqa: PTH120 - as text, faster
        twin = namesakes.get(key)
        if identity != identity.encode(errors="replace").decode():
            self.report(image, f"{where}{shown(image)} has a name that is not valid UTF-8; rename it.")
        elif twin is not None:
            what = f"{shown(image)} and {shown(twin.image_path)} would both have the id {shown(identity)}; rename one."
            again = f"{shown(image)} is listed twice, as {shown(identity)}; remove one of the lines."
            self.report(identity, where + (again if twin.image_path == image else what))
        elif defect != "good" or self.is_normal(image, masks, where, identity):
            parts = tuple(masks) if defect != "good" else ()
            mask, depth = parts[0] if parts else None, self._depths[category]
            depth.add(image)
            facts = {"label": defect != "good", "threshold": self._threshold, **facts}
            sample = Sample(
                id=identity,
                category=category,
                defect=defect,
                image_path=image,
                mask_path=mask,
                depth=depth,
                more_masks=parts[1:],
                **facts,
            )
            namesakes[key] = sample

    def expect_empty(self, identity: str, image: Path, mask: Path) -> None:
        """Let ``check_dataset`` read the mask of a good image; there are too many of them to read while listing."""
        self.empty_masks.append((normalized(identity), image, mask))

    def is_normal(self, image: Path, masks: Sequence[Path], where: str = "", subject: str = "") -> bool:
        """Return whether a good image has no mask that marks anything; otherwise report it."""
        try:
            threshold = 0 if self._threshold is None else self._threshold
            marking = [mask for mask in masks if read_mask(mask, threshold).any()]
        except ImageError as error:
            self.report(subject or image, f"{where}{error}")
            return False
        for mask in marking[:1]:
            self.report(subject or image, where + marked_good(image, mask))
        return not marking

    def _samples_with_ids(self) -> Iterator[Sample]:
        """Yield the samples; where several would have the same id, their paths in the root replace the stems."""
        for by_place in self._samples.values():
            namesakes = list(by_place.values())
            if len(namesakes) == 1:
                yield namesakes[0]
                continue
            paths = [Path(os.path.relpath(sample.image_path, self.root)) for sample in namesakes]
            if len({path.with_suffix("") for path in paths}) == len(paths):
                paths = [path.with_suffix("") for path in paths]
            for sample, path in zip(namesakes, paths, strict=True):
                yield replace(sample, id=f"{sample.category}/{sample.defect}/{normalized(path.as_posix())}")

    def add_reference(self, category: str, image: Path) -> None:
        """Add a normal training image."""
        self._references.setdefault(normalized(category), []).append(image)
        self._depths[normalized(category)].add(image)

    def add_validation(self, category: str, image: Path) -> None:
        """Add a normal image for choosing a threshold."""
        self._validation.setdefault(normalized(category), []).append(image)
        self._depths[normalized(category)].add(image)

    def add_normal_folders(self, category: str, folder: Path) -> None:
        """Add the images in ``train/good`` as references, and those in ``validation/good`` for choosing a threshold."""
        for split, add in (("train", self.add_reference), ("validation", self.add_validation)):
            if (folder / split / "good").is_dir():
                for image in self.images_in(folder / split / "good"):
                    add(category, image)

    def dataset(self) -> Dataset:
        """Return the data set in its order.

        Raises:
            DataError: there is no test image at all.
        """
        samples = list(self._samples_with_ids())
        if not samples:
            errors = [problem.message for problem in self.problems if problem.severity == "error"]
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            nothing = (
                f"{shown(self.root)} has no test images; it holds {contents_of(self.root)}. Images end in {endings}."
            )
            raise DataError(next(iter(errors), nothing))
        samples.sort(key=lambda s: (s.category, s.label, s.defect, normalized(s.image_path.name), s.id))
        notes = (*self.notes, *mask_notes(samples, self._threshold), *self._left_out())
        # In a published data set the layout says which images are normal, whatever a kind is called.
        unclear = _unclear_kinds(samples) if self.name == "folder" else ()
        remarks = (*self.remarks, *unclear, *_shared_images(samples, self._references))
        samples = with_peers(samples)
        return Dataset(
            self.name,
            self.root,
            tuple(samples),
            _in_order(self._references),
            notes,
            remarks=remarks,
            depths=self._depths,
            image_size=self.image_size,
            class_names=self.class_names,
            knowledge=self.knowledge,
            validation=_in_order(self._validation),
        )

    def _left_out(self) -> Iterator[str]:
        """Yield what is said of files that are not read."""
        if self._ignored.total():
            yield f"Ignored files that are not images: {_counts(self._ignored)}."
        for folder, unread in self._unread.items():
            place = shown(Path(os.path.relpath(folder, self.root)).as_posix())
            yield f"Left out of {place}: {_counts(unread)}, which are not read; convert them to PNG."


def single_labels(dataset: Dataset) -> Iterator[Problem]:
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
                category,
            )


def marked_good(image: Path, mask: Path) -> str:
    """Say that a good image has a mask that marks something."""
    return (
        f"{shown(image)} is listed as good but has a mask, {shown(mask)}; remove the mask or list the image as a "
        "defect."
    )


def _in_order(images: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, ...]]:
    return {
        category: tuple(sorted(paths, key=lambda path: (normalized(path.name), str(path))))
        for category, paths in sorted(images.items())
    }


def _unclear_kinds(samples: Iterable[Sample]) -> Iterator[str]:
    unclear = sorted({one.defect for one in samples if one.is_labelled and not read_label(one.defect).kind})
    if unclear:
        kinds = listed([*map(shown, unclear)], _NAMED)
        yield f"Read as kinds of defect: {kinds}. If one means normal, call its folder good."


def _shared_images(samples: Iterable[Sample], references: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """Yield a remark if reference images are test images, too: whoever sees them knows the answer."""
    good = {path for paths in references.values() for path in paths}
    shared = [sample.id for sample in samples if sample.image_path in good]
    if shared:
        yield f"Test images that are reference images, too: {len(shared)}, the first {shown(shared[0])}."


def _counts(suffixes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {shown(suffix)}" for suffix, count in sorted(suffixes.items()) if count)
