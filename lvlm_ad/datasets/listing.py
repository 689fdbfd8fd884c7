"""What every loader writes into: samples, references, notes and problems, gathered from names alone."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lvlm_ad.datasets.images import IMAGE_SUFFIXES, file_threshold, shown
from lvlm_ad.datasets.sample import Dataset, File, Sample
from lvlm_ad.errors import DataError, ImageError

__all__ = ["Listing", "Problem", "files_in", "folders_in", "found_in", "is_file", "name_of"]

_SYSTEM_FILES = frozenset({"__macosx", "desktop.ini", "thumbs.db"})
_SHOWN_NAMES = 6
_PROBED_MASKS = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set.

    Attributes:
        where: the sample's id, or the file or folder.
        message: what is wrong, where, and what to do; one line.
        severity: "error" if no run may start with it, "warning" if it may be meant.
    """

    where: str
    message: str
    severity: Literal["error", "warning"] = "error"


def name_of(text: str) -> str:
    """Return a name as ids hold it: macOS decomposes accented letters in file names, and ids agree on all machines."""
    return unicodedata.normalize("NFC", text)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be listed: {error.strerror}.") from error
    seen = [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in _SYSTEM_FILES]
    return sorted(seen, key=lambda entry: name_of(entry.name))


def _is_listed(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link that may be meant to lead to one."""
    return entry.is_file() or (entry.is_symlink() and not entry.is_dir())


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder by name, hidden ones left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [folder / entry.name for entry in _entries(folder) if entry.is_dir()]


def files_in(folder: Path) -> list[Path]:
    """List the files in a folder by name, hidden ones and those of the operating system left out; dead links stay in.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [folder / entry.name for entry in _entries(folder) if _is_listed(entry)]


def is_file(path: Path) -> bool:
    """Whether a file is there; also for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file() raises for names that are too long


def found_in(folder: Path) -> str:
    """Say what a folder holds, for a message."""
    names = [shown(e.name) + ("/" if e.is_dir() else "") for e in _entries(folder)]
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "") if names else "an empty folder"


class Listing:
    """Gathers what a loader finds; what is wrong is noted and left out, so that all of it can be reported at once.

    Args:
        name: the data set's name.
        root: the folder that everything must lie in, after links are followed.
        threshold: see ``Sample.threshold``.

    Attributes:
        problems: what is wrong so far.
        notes: choices made so far that the user should see.
    """

    def __init__(self, name: str, root: Path, threshold: int | None) -> None:
        self.name = name
        self.root = root
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._threshold = threshold
        self._samples: dict[str, Sample] = {}
        self._references: dict[str, list[File]] = {}
        self._ignored: Counter[str] = Counter()
        self._real_root = os.path.realpath(root)
        self._folder_inside: dict[str, bool] = {}

    def report(self, subject: Path | File | str, message: str, severity: Literal["error", "warning"] = "error") -> None:
        """Note a problem."""
        self.problems.append(Problem(shown(subject), message, severity))

    def images_in(self, folder: Path) -> list[File]:
        """List the image files in a folder by name; other files are counted for a note, dead links reported."""
        images = []
        place = str(folder)
        inside = self._folder_is_inside(place)
        for entry in _entries(folder):
            if not _is_listed(entry):
                continue
            suffix = entry.name[entry.name.rfind(".") :].lower()
            if suffix not in IMAGE_SUFFIXES:
                # Endings that are not known are told as Python tells them.
                self._ignored[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1  # noqa: PTH122 - of an entry
                continue
            # A file of a folder that lies inside does too, unless it is a link; most are settled without a system call.
            if (inside and entry.is_file(follow_symlinks=False)) or self.usable(folder / entry.name):
                images.append(File(place, entry.name))
        return images

    def usable(self, path: Path, where: str = "") -> bool:
        """Whether a file exists and lies in the root; if not, that is reported.

        Args:
            path: the file.
            where: where it is listed, with a trailing ": "; empty if the folder itself lists it.
        """
        if not is_file(path):
            what = "is a link to nothing" if os.path.islink(path) else "does not exist"  # noqa: PTH114 - as in is_file
            self.report(path, f"{where}{shown(path)} {what}; restore the file or take it off the list.")
        elif not self._inside(path):
            target = shown(os.path.realpath(path))
            self.report(
                path,
                f"{where}{shown(path)} leads out of {shown(self.root)}, to {target}; put the file itself there, "
                "or give the folder that holds the files.",
            )
        else:
            return True
        return False

    def _inside(self, path: Path) -> bool:
        if path.is_symlink():
            return self._real_inside(os.path.realpath(path))
        return self._folder_is_inside(str(path.parent))

    def _folder_is_inside(self, folder: str) -> bool:
        if folder not in self._folder_inside:
            self._folder_inside[folder] = self._real_inside(os.path.realpath(folder))
        return self._folder_inside[folder]

    def _real_inside(self, real: str) -> bool:
        return Path(real).is_relative_to(self._real_root)

    def add(self, category: str, defect: str, image: Path | File, mask: Path | File | None, where: str = "") -> None:
        """Add a test image.

        Args:
            category: the kind of object.
            defect: the kind of defect, "good" if normal.
            image: a usable file.
            mask: a usable file, if there is one.
            where: see ``usable``.
        """
        category, defect = name_of(category), name_of(defect)
        identity = f"{category}/{defect}/{name_of(image.stem)}"
        label = defect != "good"
        known = self._samples.get(identity)
        if not _is_text(identity):
            self.report(image, f"{where}{shown(image)} has a name that is not valid UTF-8; rename it.")
        elif known is not None:
            self.report(
                identity,
                f"{where}{shown(image)} and {shown(known.image_path)} would both have the id {shown(identity)}; "
                "rename one of them.",
            )
        elif mask is not None and not label:
            self.report(
                identity,
                f"{where}{shown(image)} is listed as good but has a mask, {shown(mask)}; "
                "remove the mask or list the image as a defect.",
            )
        else:
            self._samples[identity] = Sample(identity, category, label, defect, image, mask, self._threshold)

    def refer(self, category: str, image: Path | File) -> None:
        """Add a normal training image."""
        self._references.setdefault(name_of(category), []).append(File.of(image))

    def dataset(self) -> Dataset:
        """Put what was found in order.

        Raises:
            DataError: there is no test image at all.
        """
        if not self._samples:
            first = next((p.message for p in self.problems if p.severity == "error"), None)
            raise DataError(
                first
                or f"{shown(self.root)} has no test images; it holds {found_in(self.root)}. "
                f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}."
            )
        samples = tuple(
            sorted(self._samples.values(), key=lambda s: (s.category, s.label, s.defect, name_of(s.image_name)))
        )
        references = {
            category: tuple(map(Path, sorted(images, key=lambda file: (name_of(file.name), str(file)))))
            for category, images in sorted(self._references.items())
        }
        notes = [*self.notes, *self._mask_notes(samples)]
        if self._ignored:
            counts = ", ".join(f"{count} {shown(suffix)}" for suffix, count in sorted(self._ignored.items()))
            notes.append(f"Ignored files that are no images: {counts}.")
        return Dataset(self.name, self.root, samples, references, tuple(notes))

    def _mask_notes(self, samples: Sequence[Sample]) -> list[str]:
        defects = [sample for sample in samples if sample.label]
        masks = {s.category: s for s in reversed(defects) if s.has_mask}
        if not masks:
            return ["No masks: pixel metrics will be undefined."] if defects else []
        without = [sample for sample in defects if not sample.has_mask]
        notes = []
        if without:
            notes.append(
                f"{len(without)} of {len(defects)} defect images have no mask, the first {shown(without[0].id)}."
            )
        if self._threshold is not None:
            return notes
        thresholds = set()
        for sample in list(masks.values())[-_PROBED_MASKS:]:
            try:
                thresholds.add(file_threshold(Path(sample.files[-1])))
            except ImageError:  # reported where the mask is used; `data check` reads all of them
                continue
        if thresholds:
            values = " or ".join(str(value) for value in sorted(thresholds))
            notes.append(
                f"Mask pixels above {values} count as defective (chosen for each mask from the values it holds; "
                "mask_threshold sets it)."
            )
        return notes


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
