"""Find the masks of a category's images: in folders named after masks, under the names that tools give them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lvlm_ad.datasets.folders import files_in, folders_in, inner_folder
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.masks import looks_like_mask
from lvlm_ad.datasets.names import normalized

if TYPE_CHECKING:
    from lvlm_ad.datasets.listing import Listing

MASK_FOLDERS = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
"""Names, in lower case, of folders beside the kinds of defect that always hold masks."""

_WORD = r"(?:masks?|gts?|ground[-_. ]?truths?|labels?|annotations?|annots?|segmentations?|segms?|segs?|mask(?:e|en))"
_SEPARATOR = r"[-_. ]+"
_FOLDER = re.compile(rf"mask|groundtruth|segmentation|annotation|(?:^|[^a-z]){_WORD}(?:[^a-z]|$)")
_AFTER = re.compile(rf"(.+?)(?:(?:{_SEPARATOR}|(?<=\d)){_WORD})+(?:[-_. ]*(\d+))?", re.IGNORECASE)
_BEFORE = re.compile(rf"(?:{_WORD}{_SEPARATOR})+(.+)", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

_PROBED = 5
"""How many pictures of a folder are read to tell masks from photographs."""


def is_named_after_masks(name: str) -> bool:
    """Return whether a folder's name says that it holds masks.

    Example:
        >>> [is_named_after_masks(name) for name in ("Ground_Truth", "SegmentationClass", "bent")]
        [True, True, False]
    """
    return _FOLDER.search(_CAMEL.sub("_", normalized(name)).lower()) is not None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image to which a mask may belong by its name."""

    stem: str  # of the image
    rank: int  # the masks of an image are those with the lowest rank
    is_part: bool = False  # one of several numbered files

    @property
    def has_mask_word(self) -> bool:
        """Whether the mask's name has a word for masks."""
        return self.rank % 3 != 1


def candidate_images(name: str) -> list[Candidate]:
    """Return the images to which a mask may belong by its stem, the likeliest first.

    Example:
        >>> [one.stem for one in candidate_images("017_GT")], [one.stem for one in candidate_images("017.jpg_mask_2")]
        (['017_GT', '017'], ['017.jpg_mask_2', '017.jpg', '017'])
    """
    name = normalized(name)
    candidates = [Candidate(name.removesuffix("_mask"), 0)] if name.endswith("_mask") else []
    candidates.append(Candidate(name, 1))
    matches = (_AFTER.fullmatch(name), _BEFORE.fullmatch(name))
    candidates += [Candidate(match[1], 2, is_part=match.lastindex == 2) for match in matches if match]  # noqa: PLR2004 - the number
    for one in list(candidates):
        stem, dot, suffix = one.stem.rpartition(".")
        if dot + suffix.lower() in IMAGE_SUFFIXES:
            candidates.append(Candidate(stem, one.rank + 3, one.is_part))
    return candidates


class _Match(NamedTuple):
    rank: int  # as in ``Candidate``
    mask: Path  # the file; of a mask in several files, their folder
    file: Path


class MaskFiles:
    """The mask files of one category and the images that they belong to.

    Args:
        listing: receives the problems.
        images: name of a folder of images -> its images.
        good: the names of folders of normal images.
    """

    def __init__(self, listing: Listing, images: Mapping[str, Sequence[Path]], good: Sequence[str]) -> None:
        self._listing = listing
        self._images = images
        self._good = good
        self._by_stem: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for kind, paths in images.items():
            for path in paths:
                for stem in {normalized(path.stem), normalized(path.stem).casefold()}:
                    self._by_stem[kind, stem].append(path)
        self._matches: dict[Path, list[_Match]] = defaultdict(list)
        self._unused: dict[Path, str] = {}  # why

    def add_folder(self, folder: Path, kind: str | None = None) -> None:
        """Add the masks in a folder, which may have folders for the kinds of defect, or for single images."""
        kind = self._kind_of(folder) if kind is None else kind
        self.add_files(self._listing.images_in(folder, counts_others=kind is not None), kind)
        for inner in folders_in(folder):
            if kind is None and (self._kind_of(inner) is not None or inner.name.lower() == "test"):
                self.add_folder(inner)
                continue
            named = [Candidate(normalized(inner.name), 1, is_part=True)]
            for path in self._pictures_below(inner):
                # Pictures in deeper folders have no image.
                self._add(path, kind, named if path.parent == inner else [])

    def _kind_of(self, folder: Path) -> str | None:
        """Return the kind of defect after which a folder is named, as crack or crack_masks; None if there is none."""
        if folder.name in self._images:
            return folder.name
        names = [folder.name, *(one.stem for one in candidate_images(folder.name))]
        kinds = {normalized(kind).casefold(): kind for kind in self._images}
        return next((kinds[key] for name in names if (key := normalized(name).casefold()) in kinds), None)

    def add_files(self, paths: Sequence[Path], kind: str | None) -> None:
        """Add masks for images of a kind; None: for images of any kind."""
        for path in paths:
            self._add(path, kind, candidate_images(path.stem))

    def _add(self, mask: Path, kind: str | None, candidates: Sequence[Candidate]) -> None:
        for one in candidates:
            owners = self._owners(one.stem, kind)
            if len({path.parent for path in owners}) > 1:
                both = " or ".join(shown(path) for path in owners[:2])
                self._listing.report(
                    mask, f"{shown(mask)} may be the mask of {both}; put masks into folders named after the kinds."
                )
            if owners:
                self._matches[owners[0]].append(_Match(one.rank, mask.parent if one.is_part else mask, mask))
                return
        images = self._images.get(kind, ()) if kind is not None else ()
        inside = shown(images[0].parent) if images else "its category"
        self._unused[mask] = f"is a mask without an image in {inside}"

    def _owners(self, stem: str, kind: str | None) -> list[Path]:
        """Return the images with a stem. If the mask names no kind, images of defects come before good ones."""
        defects = [kind for kind in self._images if kind not in self._good]
        for kinds in [[kind]] if kind is not None else [defects, self._good]:
            for key in (stem, stem.casefold()):
                if owners := [path for kind in kinds for path in self._by_stem.get((kind, key), ())]:
                    # Of A.png and a.png, a.png is the mask of the one with its own name.
                    return [path for path in owners if normalized(path.stem) == stem] or owners
        return []

    def check_used(self, folder: Path) -> None:
        """Report a folder of masks among the kinds of defect if none of its masks belongs to an image."""
        if all(path in self._unused for path in pictures_below(folder)):
            self._listing.report(
                folder,
                f"{shown(folder)} is named like a folder of masks, and its pictures look like masks, but none has the "
                "name of an image; rename the folder if it holds images, or the masks after their images.",
            )

    def of(self, image: Path) -> list[list[Path]]:
        """Return the masks of an image, each a list of files; more than one only if it is not clear which counts."""
        matches = self._matches.get(image, [])
        best = min((match.rank for match in matches), default=0)
        masks: dict[Path, list[Path]] = {}
        for match in matches:
            if match.rank == best:
                masks.setdefault(match.mask, []).append(match.file)
            else:
                self._unused[match.file] = f"is not the mask of {shown(image)}, which has one with a likelier name"
        return list(masks.values())

    def report_unused(self) -> None:
        """Report the masks that belong to no image; call it after the last image."""
        unused = [(path, f"{shown(path)} {why}.") for path, why in sorted(self._unused.items())]
        for path, message in unused:
            self._listing.report(path, message, "warning")
        if unused:
            count = "1 mask is" if len(unused) == 1 else f"{len(unused)} masks are"
            self._listing.remarks.append(
                f"{count} not used; the first: {unused[0][1]} A mask has the name of its image, with or without _mask."
            )

    def _pictures_below(self, folder: Path) -> Iterator[Path]:
        yield from self._listing.images_in(folder, counts_others=False)
        for inner in folders_in(folder):
            yield from self._pictures_below(inner)


def holds_masks(listing: Listing, folder: Path) -> bool:
    """Return whether a folder holds masks, by its name and pictures; report it if it holds photographs as well."""
    if not is_named_after_masks(folder.name):
        return False
    pictures = [path for path in files_in(folder) if path.suffix.lower() in IMAGE_SUFFIXES] or pictures_below(folder)
    pictures = pictures[:: 1 + len(pictures) // _PROBED]
    masks = [path for path in pictures if looks_like_mask(path)]
    if len(masks) in {0, len(pictures)}:
        return bool(masks)
    if inner_folder(folder, "test").is_dir():
        # A category with such a name, which has masks of its own.
        return False
    photograph = next(path for path in pictures if path not in masks)
    listing.report(
        folder,
        f"{shown(folder)} is named like a folder of masks and holds some, such as {shown(masks[0].name)}, but also "
        f"photographs, such as {shown(photograph.name)}; put them into separate folders.",
    )
    return True


def pictures_below(folder: Path) -> list[Path]:
    """List the pictures in a folder and in those inside it, without following links to folders."""
    pictures = [path for path in files_in(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    inner = [path for path in folders_in(folder) if not path.is_symlink()]
    return [*pictures, *(path for one in inner for path in pictures_below(one))]


def beside_images(images: Sequence[Path]) -> list[Path]:
    """Return the masks among a folder's pictures: they are named after another picture there, and look like masks."""
    stems = {normalized(image.stem) for image in images}
    return [
        image
        for image in images
        if any(one.has_mask_word and one.stem in stems for one in candidate_images(image.stem))
        and looks_like_mask(image)
    ]


def tell_likely_masks(listing: Listing, images: Mapping[Path, Sequence[Path]], good: Sequence[Path]) -> None:
    """Tell which pictures count as test images but look like masks, unlike a good image; no name says what they are.

    Args:
        listing: receives the remark.
        images: folder of a kind of defect -> its pictures.
        good: the folders of normal images.
    """
    some = [path for kind in good for path in images[kind][:_PROBED]]
    if not some:
        return
    normal = max(some, key=lambda path: path.stat().st_size)
    for kind, paths in images.items():
        probed = [*([] if kind in good else paths[:1]), *islice(_named_after_others(paths), _PROBED)]
        likely = next((path for path in probed if _is_smaller(path, normal) and looks_like_mask(path)), None)
        if likely is not None and not looks_like_mask(normal):
            listing.remarks.append(
                f"{shown(likely)} looks like a mask, but counts as an image. If it is a mask, call its folder masks, "
                "or give it the name of its image with _mask at the end."
            )


def _named_after_others(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the pictures whose names are another picture's with letters before or after it."""
    stems = {normalized(path.stem) for path in paths}
    for path in paths:
        stem = normalized(path.stem)
        parts = [(stem[:at], stem[at:]) for at in range(1, len(stem))]
        if any(
            (one in stems and any(map(str.isalpha, rest))) or (rest in stems and any(map(str.isalpha, one)))
            for one, rest in parts
        ):
            yield path


def _is_smaller(path: Path, photograph: Path) -> bool:
    """Return whether a file may be a mask by its size; files of another format are not compared."""
    return path.suffix != photograph.suffix or 2 * path.stat().st_size < photograph.stat().st_size
