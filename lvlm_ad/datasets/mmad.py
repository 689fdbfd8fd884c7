"""MMAD: multiple-choice questions about images of other data sets, listed in mmad.json.

<source>/<category>/.../<kind>/<image>, in mmad.json with its mask, questions and normal images for comparison;
domain_knowledge.json: source -> category -> kind -> text
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, is_file
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.json_lists import read_json
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.names import normalized, plain_name
from lvlm_ad.datasets.questions import LETTERS, QUESTION_TYPES, Question
from lvlm_ad.errors import DataError, nearest

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["is_mmad", "read_mmad", "read_mmad_similar"]

_LIST, _KNOWLEDGE = "mmad.json", "domain_knowledge.json"
_SOURCE = "It is available at github.com/jam-cc/MMAD."
_KNOWN_AS = {"DS-MVTec": "MVTec"}
"""Folder of a source -> its name in domain_knowledge.json, where it differs."""
_FEWEST_PARTS = 4
"""Of an image's path: source, category, kind and file."""
_FEWEST_OPTIONS = 2


def is_mmad(root: Path) -> bool:
    """Return whether a folder is MMAD: only it holds mmad.json."""
    return is_file(root / _LIST)


def read_mmad(root: Path, threshold: Threshold) -> Listing:
    """List MMAD; an image's references are its ``random_templates``, the authors' default.

    Args:
        root: the folder of mmad.json, the folder around it, or a source or category in it: then only its images are
            listed.
        threshold: see ``Sample.threshold``.

    Raises:
        DataError: there is no mmad.json, or it cannot be read.
    """
    return _Reading("mmad", root, threshold, "random_templates").listing


def read_mmad_similar(root: Path, threshold: Threshold) -> Listing:
    """List MMAD as ``read_mmad`` does, but with an image's ``similar_templates`` as its references."""
    return _Reading("mmad-similar", root, threshold, "similar_templates").listing


class _Reading:
    """Reads mmad.json into a listing."""

    def __init__(self, name: str, root: Path, threshold: Threshold, templates: str) -> None:
        home = _home(root)
        self._file, self._templates = home / _LIST, templates
        self._only = os.path.abspath(root)  # noqa: PTH100 - resolve() would follow a link
        self._found: dict[str, Path | None] = {}
        self._unknown: dict[str, int] = {}
        self._questions = self._without = 0
        self.listing = Listing(name, home, threshold)
        knowledge = _knowledge(home)
        for image, entry in _read_object(self._file).items():
            self._read(image, entry)
        for kind, count in self._unknown.items():
            self.listing.report(
                self._file,
                f"{shown(self._file)}: questions of the type {kind!r:.60}, which MMAD does not have: {count}."
                f"{nearest(kind, QUESTION_TYPES)} They are asked, and counted under this name.",
                "warning",
            )
        self.listing.category = ""
        if self._without:
            self.listing.report(
                self._file,
                f"{shown(self._file)}: {self._without} images have no {templates}, so no reference images can be shown "
                "with them; only shots=0 works.",
                "warning",
            )
        self.listing.notes.append(f"{self._questions} multiple-choice questions.")
        self.listing.knowledge = {
            name: text for name in self.listing.class_names if (text := _text_about(name, knowledge))
        }

    def _read(self, name: str, entry: Any) -> None:
        """Add an image and its questions, or report what is wrong with its entry."""
        where, listing = f"{_LIST}, {name!r:.200}: ", self.listing
        parts = PurePosixPath(plain_name(name)).parts
        listing.category = "/".join(parts[:2])
        path = listing.listed_file(name, where, self._file)
        if path is None or not (path if path.is_absolute() else path.absolute()).is_relative_to(self._only):
            return
        parts = Path(os.path.relpath(path, listing.root)).parts
        try:
            questions, templates = self._content(entry, parts)
        except DataError as error:
            listing.report(self._file, f"{where}{error}")
            return
        if not questions:
            listing.report(self._file, f"{where}it has no question, so it is left out.", "warning")
            return
        category, kind = "/".join(parts[:2]), "good" if parts[-2].casefold() == "good" else parts[-2]
        masks = self._masks(entry, parts, where, needed=kind != "good")
        references = [self._template(one, where) for one in templates]
        self._without += not templates
        if masks is None or None in references:
            return
        self._questions += len(questions)
        listing.class_names[normalized(category)] = re.sub(r"[0-9]+$", "", parts[1]).replace("_", " ").strip()
        listing.add(category, kind, path, masks, where, questions=questions, references=tuple(filter(None, references)))

    def _content(self, entry: Any, parts: tuple[str, ...]) -> tuple[tuple[Question, ...], list[Any]]:
        """Return an entry's questions and the names of its templates; raise ``DataError`` if something is wrong."""
        if len(parts) < _FEWEST_PARTS:
            raise DataError("it must lie in folders of its source, category and kind.")
        if not isinstance(entry, dict):
            raise DataError(f"its entry must be an object, not {entry!r:.60}.")
        templates = entry.get(self._templates) or []
        if not isinstance(templates, list):
            raise DataError(f"{self._templates} must be a list of paths, not {templates!r:.60}.")
        return tuple(self._questions_of(entry)), templates

    def _questions_of(self, entry: Mapping[str, Any]) -> Iterator[Question]:
        """Yield the questions of an entry; raise ``DataError`` if a field is missing or wrong."""
        lists = [value for name, value in entry.items() if name.startswith("conversation")]
        if not lists or not isinstance(lists[0], list):
            raise DataError("it has no list named conversation; restore the file.")
        for number, one in enumerate(lists[0], start=1):
            question = _question(one, f"question {number}: ")
            if question.type not in QUESTION_TYPES:
                self._unknown[question.type] = self._unknown.get(question.type, 0) + 1
            yield question

    def _masks(
        self, entry: Mapping[str, Any], parts: tuple[str, ...], where: str, *, needed: bool
    ) -> list[Path] | None:
        """Return the files of an image's mask: one, or none if it has no mask; None if it is missing or unusable.

        In the authors' scripts the path is relative to source and category, or to the next folder: both are tried.
        """
        name = entry.get("mask_path")
        if not name:
            return []
        bases = [self.listing.root.joinpath(*parts[:depth]) for depth in (2, 3)]
        bases = [base for base in bases if is_file(base / plain_name(str(name)))] or (bases[:1] if needed else [])
        if not bases:
            return []
        mask = self.listing.listed_file(str(name), where, self._file, bases[0])
        return None if mask is None else [mask]

    def _template(self, name: Any, where: str) -> Path | None:
        """Return a normal image for comparison; many images share one, so each is looked for once."""
        text = str(name)
        if text not in self._found:
            self._found[text] = self.listing.listed_file(text, f"{where}{self._templates}: ", self._file)
        return self._found[text]


def _home(root: Path) -> Path:
    """Return the folder that holds mmad.json: the root, one in it, or one of the two above."""
    check_root(root, _SOURCE)
    above = [Path(one) for one in Path(os.path.abspath(root)).parents[:2]]  # noqa: PTH100 - as above
    home = find_root(root, ([root], folders_in(root), above[:1], above[1:]), is_mmad)
    if home is None:
        raise DataError(f"{shown(root)} is not MMAD: it holds {contents_of(root)}, but {_LIST} was expected. {_SOURCE}")
    return home


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{shown(path)} must hold a JSON object, not {type(content).__name__}; download it again.")
    return content


def _question(one: Any, where: str) -> Question:
    """Read a question; its options get new letters in the file's order, and the right answer the new letter."""
    if not isinstance(one, dict):
        raise DataError(f"{where}must be an object, not {one!r:.60}.")
    for name in ("Question", "Answer", "Options", "type"):
        if name not in one:
            raise DataError(f"{where}it has no {name}; restore the file.")
    options, answer = one["Options"], one["Answer"]
    texts = [one["Question"], one["type"], *(options.values() if isinstance(options, dict) else ())]
    if not isinstance(options, dict) or not _FEWEST_OPTIONS <= len(options) <= len(LETTERS):
        raise DataError(f"{where}Options must be an object with 2 to {len(LETTERS)} options, not {options!r:.60}.")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"{where}Question, type and options must be texts that are not empty.")
    if answer not in options:
        raise DataError(f"{where}the right answer is {answer!r:.20}, and the options are {', '.join(options)}.")
    return Question(one["Question"].strip(), tuple(options.values()), one["type"], list(options).index(answer))


def _knowledge(home: Path) -> dict[str, Any]:
    return _read_object(home / _KNOWLEDGE) if is_file(home / _KNOWLEDGE) else {}


def _text_about(category: str, knowledge: Mapping[str, Any]) -> str:
    """Return what is known of a category: the texts about all its kinds, one a line."""
    source, _, name = category.partition("/")
    kinds = knowledge.get(_KNOWN_AS.get(source, source), {})
    texts = kinds.get(name, {}) if isinstance(kinds, dict) else {}
    return "\n".join(str(text).strip() for text in texts.values()) if isinstance(texts, dict) else ""
