"""What a question is made of: the prompt's text, the reference images, and the format of the answer."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from string import Template
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.hashing import hash_files
from lvlm_ad.errors import ConfigError
from lvlm_ad.prompts.drawing import WHOLE, DrawnHere
from lvlm_ad.prompts.marks import MarkStyle
from lvlm_ad.prompts.references import ReferencePool, own_references, reference_paths

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.backend import Picture
    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.datasets.depth import Depth
    from lvlm_ad.presets import PromptPreset, Protocol
    from lvlm_ad.prompts.drawing import ImagePictures

__all__ = [
    "Questioner",
    "answer_schema",
    "check_prompt",
    "class_name",
    "fill_prompt",
    "sentences",
]

_PICTURES = {
    "marked": "The picture shows the product under inspection.",
    "image+marked": (
        "There are two pictures of the same product: the first as it is, the second with white borders and numbers."
    ),
    "image+marks": (
        "There are two pictures: the first shows the product under inspection, the second shows, on black, the white "
        "borders and numbers that belong on the first."
    ),
}
_UNMARKED = (
    "The picture shows the product under inspection. The borders and numbers of its regions are not drawn on it."
)
"""The sentence for ``visual=image``; apart from the others, whose hash older runs recorded."""
_NO_NAME = "object"
"""The name of any object where its own is withheld."""
_REFERENCE = "First comes one picture of a flawless product, for comparison; judge only what follows it. "
_REFERENCES = "First come $shots pictures of flawless products, for comparison; judge only what follows them. "
_NO_KIND = frozenset({"anomaly", "anomalous", "bad", "defect", "defective", "ng"})
"""Names of defect folders that do not name a kind of defect."""


def class_name(category: str, names: dict[str, str] | None = None) -> str:
    """Return a category's name as a question writes it.

    Args:
        category: the category's name in the data set.
        names: category -> name, for categories whose name the rule gets wrong.

    Example:
        >>> class_name("pcb1"), class_name("metal_nut"), class_name("pcb1", {"pcb1": "circuit board"})
        ('pcb', 'metal nut', 'circuit board')
    """
    if names and category in names:
        return names[category]
    return re.sub(r"[0-9]+$", "", category).replace("_", " ").strip() or category


def answer_schema(n_regions: int) -> dict[str, Any]:
    """Return the JSON schema of an answer about this many regions.

    Example:
        >>> answer_schema(9)["properties"]["regions"]["items"]["properties"]["region"]
        {'type': 'integer', 'minimum': 1, 'maximum': 9}
    """
    score = {"type": "number", "minimum": 0, "maximum": 1}
    region = {
        "type": "object",
        "properties": {"region": {"type": "integer", "minimum": 1, "maximum": max(n_regions, 1)}, "score": score},
        "required": ["region", "score"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "image_anomaly_score": score,
            "regions": {"type": "array", "items": region, "maxItems": n_regions},
        },
        "required": ["image_anomaly_score", "regions"],
        "additionalProperties": False,
    }


class Questioner:
    """Fills a prompt, and reads the reference images that go with it.

    Args:
        dataset: where reference images and kinds of defect come from.
        protocol: how many reference images come first, which pictures a question shows, and how marks look.
        prompt: the text of the question.
        seed: chooses the reference images.
        placeholders: those of the prompt that are filled for each image.
        pooled: whether questions depend on all normal training images.
        pictures_of: from a file, the range of its category's images and a side to its pictures.

    Raises:
        ConfigError: there are too few reference images, or the prompt fails ``check_prompt``.
    """

    def __init__(
        self,
        dataset: Dataset,
        protocol: Protocol,
        prompt: PromptPreset,
        *,
        seed: int,
        placeholders: Sequence[str] = ("n_regions", "pictures"),
        pooled: bool = False,
        pictures_of: Callable[[Path, Depth | None, int], ImagePictures] = DrawnHere,
    ) -> None:
        check_prompt(prompt, placeholders)
        self._dataset, self._protocol, self._prompt, self._pooled = dataset, protocol, prompt, pooled
        self._seed = seed
        self._own = {sample.id: own for sample in dataset if (own := own_references(sample, protocol.shots))}
        # Where each image has its own references, its category needs none.
        shared = dict.fromkeys(
            sample.category for sample in dataset if not protocol.shots or sample.id not in self._own
        )
        self._reference_paths = {category: self._chosen(category) for category in shared}
        self._references: dict[str, tuple[Picture, ...]] = {}
        self._lock = threading.Lock()
        self._pictures_of = pictures_of
        self._pools = {
            category: ReferencePool(dataset.references.get(category, ()), partial(self._pictures, category))
            for category in dataset.categories
        }

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over everything that a question depends on, except the sample, its division and the method."""
        style = MarkStyle.of(self._protocol)
        shaped: dict[str, Any] = {
            "prompt": self._prompt.model_dump(mode="json", exclude={"name", "description"}),
            "sentences": [_PICTURES, _REFERENCE, _REFERENCES],
            "marks": [style.border_width, style.number_size, style.number_style],
            "visual": self._protocol.visual,
            "size": self._protocol.image_size,
            "defects": self._dataset.defects if "defects" in Template(self._prompt.text).get_identifiers() else {},
            "references": _hashes(self._reference_paths),
        }
        if self._own:
            files = list(dict.fromkeys(path for paths in self._own.values() for path in paths))
            digests = dict(zip(files, hash_files(files, self._dataset.cache), strict=True))
            shaped["own_references"] = {name: [digests[path] for path in paths] for name, paths in self._own.items()}
        if self._pooled:
            shaped["pool"] = _hashes({category: pool.paths for category, pool in self._pools.items()})
        if self._protocol.visual == "image":
            shaped["unmarked"] = _UNMARKED
        newer = {"numbering": self._protocol.numbering, "withhold": self._protocol.withhold}
        shaped |= {name: value for name, value in newer.items() if value}
        if self._dataset.class_names:
            shaped["class_names"] = dict(self._dataset.class_names)
        if self._prompt.format == "json":
            shaped["schema"] = answer_schema(1)
        return hashlib.sha256(json.dumps(shaped, sort_keys=True).encode()).hexdigest()

    def references(self, category: str, sample: Sample | None = None) -> tuple[Picture, ...]:
        """Return the reference images of an image at the protocol's size: its own, or its category's, encoded once."""
        if sample is not None and (own := own_references(sample, self._protocol.shots)):
            return tuple(self._pictures(category, path).picture(WHOLE) for path in own)
        with self._lock:
            if category not in self._references:
                paths = self._reference_paths.get(category)
                if paths is None:
                    paths = self._chosen(category)
                self._references[category] = tuple(self._pictures(category, path).picture(WHOLE) for path in paths)
            return self._references[category]

    def _chosen(self, category: str) -> list[Path]:
        protocol = self._protocol
        return reference_paths(self._dataset, category, protocol.shots, self._seed, protocol.reference_set)

    def _pictures(self, category: str, path: Path) -> ImagePictures:
        return self._pictures_of(path, self._dataset.depths.get(category), self._protocol.image_size)

    def pool(self, category: str) -> ReferencePool:
        """Return all normal training images of a category; always the same object."""
        return self._pools[category]

    def class_name(self, category: str) -> str:
        """Return a category's name as the question writes it: "object" where the protocol withholds names."""
        if self._protocol.withhold == "name":
            return _NO_NAME
        return class_name(category, {**self._dataset.class_names, **self._prompt.class_names})

    def knowledge(self, category: str) -> str:
        """Return what the data set knows of a category's objects and their defects.

        Empty if it knows nothing, or where the protocol withholds names.
        """
        return "" if self._protocol.withhold == "name" else self._dataset.knowledge.get(category, "")

    def text(self, category: str, values: Mapping[str, str]) -> str:
        """Fill the prompt about an image of a category; ``values`` are those of its own placeholders."""
        # Kinds of defect, such as "bent lead", tell what the object is.
        named = () if self._protocol.withhold == "name" else self._dataset.defects[category]
        kinds = [kind.replace("_", " ") for kind in named if kind.lower() not in _NO_KIND]
        filled = {
            "class_name": self.class_name(category),
            "defects": ", ".join(kinds) or "any",
            **sentences(self._prompt, self._protocol),
        }
        return fill_prompt(self._prompt, {**filled, **values})


def _hashes(paths: Mapping[str, Sequence[Path]]) -> dict[str, list[str]]:
    """Return the SHA-256 (hex) of the files of each category."""
    return {
        category: [hashlib.sha256(path.read_bytes()).hexdigest() for path in some] for category, some in paths.items()
    }


def check_prompt(prompt: PromptPreset, placeholders: Sequence[str] = ("n_regions", "pictures")) -> None:
    """Refuse a prompt with a placeholder that no question fills.

    Args:
        prompt: the prompt.
        placeholders: those that the method fills; the class's name, the kinds of defect and the sentence about
            reference images are always filled.

    Raises:
        ConfigError: it has one; the message lists the placeholders that exist.
    """
    fill_prompt(prompt, dict.fromkeys(("class_name", "defects", "references", *placeholders), ""))


def sentences(prompt: PromptPreset, protocol: Protocol) -> dict[str, str]:
    """Return the sentences about marked pictures and about reference images: placeholder -> text.

    Example:
        >>> from lvlm_ad.presets import load_prompt, load_protocol
        >>> sentences(load_prompt("class"), load_protocol("default", {}))
        {'pictures': 'The picture shows the product under inspection.', 'references': ''}
    """
    shots = protocol.shots
    sentence = (prompt.references or (_REFERENCE if shots == 1 else _REFERENCES)) if shots else ""
    usual = _UNMARKED if protocol.visual == "image" else _PICTURES[protocol.visual]
    return {
        "pictures": prompt.pictures.get(protocol.visual, usual),
        "references": Template(sentence).safe_substitute(shots=shots),
    }


def fill_prompt(prompt: PromptPreset, values: Mapping[str, str]) -> str:
    """Return a prompt's text with its placeholders filled.

    Args:
        prompt: the prompt.
        values: placeholder -> text.

    Raises:
        ConfigError: the prompt has a placeholder that is not among them.
    """
    try:
        return Template(prompt.text).substitute(values).strip()
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"The prompt {prompt.name} has a placeholder that cannot be filled: {error}. Use "
            f"{', '.join('$' + name for name in sorted(values))}; '$$' writes a '$'."
        ) from error
