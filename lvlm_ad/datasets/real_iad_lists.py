"""A category's list, as Real-IAD, D3 and Variety have it: which images are normal, and where their masks are.

{"meta": {"prefix", "normal_class"}, "train": [...], "test": [...]}; an entry has category, anomaly_class, image_path
and mask_path, which is null for a normal image. Paths are relative to the prefix.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.json_lists import Entry, entries_in, read_json
from lvlm_ad.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing

__all__ = ["CategoryList"]

_VIEW = re.compile(r"([^/\\]+)_C(\d)_[^/\\]*$")


@dataclass
class CategoryList:
    """A category's list, and what is odd about the entries read so far.

    Attributes:
        file: the list, named after the category.
        prefix: the category's folder in the folder of the pictures.
        normal: the class of normal images.
        phases: the lists of training and of test images.
        mask_decides: whether an image with a mask is defective even if its class is the normal one.
    """

    file: Path
    prefix: str
    normal: str
    phases: Mapping[str, Any]
    mask_decides: bool
    _seen: set[str] = field(default_factory=set)
    _parts: Counter[str] = field(default_factory=Counter)
    _unmasked: list[str] = field(default_factory=list)
    _unclear: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path, *, mask_decides: bool) -> CategoryList:
        """Read the file, but not its entries.

        Args:
            file: the list.
            mask_decides: see ``CategoryList``.

        Raises:
            DataError: it cannot be read, or lacks a field.
        """
        content = read_json(file)
        place = shown(file.name)
        if not isinstance(content, dict):
            raise DataError(f"{place} must be an object with meta, train and test; restore it.")
        for name in ("meta", "train", "test"):
            if name not in content:
                raise DataError(f"{place}: the field {name!r} is missing; restore the list.")
        if not isinstance(content["meta"], dict):
            raise DataError(f"{place}: meta must be an object, not {content['meta']!r:.80}; restore the list.")
        meta = Entry(content["meta"], f"{place}, meta", 1)
        return cls(file, meta.text("prefix"), meta.text("normal_class"), content, mask_decides)

    def add_to(self, listing: Listing, folder: Path) -> None:
        """Add the images, whose paths are relative to a folder, and report what is wrong.

        Raises:
            DataError: a phase is no list of objects.
        """
        for phase, add in (("train", self._add_reference), ("test", self._add_image)):
            for entry in entries_in(self.phases[phase], f"{shown(self.file.name)}, {phase}"):
                try:
                    add(listing, folder, entry)
                except DataError as error:
                    listing.report(self.file, str(error))

    def _facts_of(self, entry: Entry) -> tuple[str, str, str]:
        """Return the kind of defect or "good", and the names of image and mask."""
        category, kind = entry.text("category"), entry.text("anomaly_class")
        if not kind:
            raise DataError(f"{entry.where}anomaly_class is empty; restore the list.")
        image, mask = entry.text("image_path"), entry.value("mask_path")
        if category != self.file.stem:
            raise DataError(
                f"{entry.where}category is {category!r:.80}, but the list is that of {shown(self.file.stem)}; correct "
                "one of them."
            )
        mask = "" if mask is None else entry.text("mask_path")
        if not mask or (kind == self.normal and not self.mask_decides):
            return "good", image, mask
        return "defect" if kind == self.normal else kind, image, mask

    def _add_reference(self, listing: Listing, folder: Path, entry: Entry) -> None:
        # Some lists hold defects among the training images on purpose.
        defect, name, _ = self._facts_of(entry)
        if defect == "good":
            image = listing.listed_file(name, entry.where, self.file, folder)
            if image is not None:
                listing.add_reference(self.file.stem, image)

    def _add_image(self, listing: Listing, folder: Path, entry: Entry) -> None:
        defect, name, mask_name = self._facts_of(entry)
        where = entry.where
        if name in self._seen:
            raise DataError(f"{where}{name!r:.200} is listed twice; remove one of the entries.")
        self._seen.add(name)
        kind = entry.values["anomaly_class"]
        if not mask_name and kind != self.normal:
            self._unmasked.append(name)
        elif defect != "good" and kind == self.normal:
            self._unclear.append(name)
        facts: dict[str, Any] = {}
        if match := _VIEW.search(name):
            facts = {"tags": {"view": f"C{match[2]}"}, "part": f"{self.file.stem}/{match[1]}"}
            self._parts[match[1]] += 1
        names = (name, mask_name) if mask_name else (name,)
        files = [file for one in names if (file := listing.listed_file(one, where, self.file, folder)) is not None]
        if len(files) == len(names):
            listing.add(self.file.stem, defect, files[0], files[1:], where, **facts)

    def report_oddities(self, listing: Listing, title: str, views: int | None) -> None:
        """Report what is odd about the list as a whole, after ``add_to``.

        Args:
            listing: where it is reported, as warnings.
            title: the data set's name in sentences.
            views: how many images a part should have; None: as many as most parts have.
        """
        place, count = shown(self.file.name), len(self._seen)
        if not self.phases["test"]:
            listing.report(self.file, f"{place}, test is empty; restore the list.")
        if self._unmasked:
            listing.report(
                self.file,
                f"{place}: {len(self._unmasked)} of {count} test images have the class of a defect but no mask_path, "
                f"such as {self._unmasked[0]!r}; they count as normal, as in the code of {title}.",
                "warning",
            )
        if self._unclear:
            listing.report(
                self.file,
                f"{place}: {len(self._unclear)} of {count} test images have the class {self.normal} but a mask_path, "
                f"such as {self._unclear[0]!r}; they count as defects.",
                "warning",
            )
        usual = views or (statistics.mode(self._parts.values()) if self._parts else 0)
        odd = [shown(part) for part, number in self._parts.items() if number != usual]
        if odd:
            listing.report(
                self.file,
                f"{place}: {len(odd)} of {len(self._parts)} parts do not have {usual} images, one for each view: "
                f"{listed(odd, 3)}.",
                "warning",
            )
