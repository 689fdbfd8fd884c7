"""Ask about one sample: the pictures, the text, and the format of the answer."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.backend import Picture, Request
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.errors import ConfigError
from lvlm_ad.prompts.marks import MarkStyle, draw_marks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.presets import PromptPreset, Protocol
    from lvlm_ad.regions import Regions

__all__ = ["Questioner", "answer_schema", "check_prompt", "class_name", "reference_paths"]

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


def reference_paths(dataset: Dataset, category: str, shots: int, seed: int) -> list[Path]:
    """Choose the reference images of a category; they depend on the seed only, and never come from the test split.

    Returns:
        Paths of ``shots`` normal training images.

    Raises:
        ConfigError: the category has fewer normal training images.
    """
    paths = list(dataset.references.get(category, ()))
    if len(paths) < shots:
        raise ConfigError(
            f"The protocol shows {shots} reference images (shots={shots}), but {category} in {dataset.root} has only "
            f"{len(paths)} normal training images. Set fewer shots."
        )
    # The category's name is part of the seed, so that a run over one category shows the same images as one over all.
    return random.Random(f"{seed}/{category}").sample(paths, shots)  # noqa: S311 - reproducible, not secret


class Questioner:
    """Turns samples into requests under one protocol and prompt.

    Args:
        dataset: where reference images and kinds of defect come from.
        protocol: which pictures a question shows, how marks look, and how many reference images come first.
        prompt: the text of the question.
        seed: chooses the reference images.
        schema: whether a question for JSON carries the schema; not every endpoint accepts one.

    Raises:
        ConfigError: there are too few reference images, or the prompt fails ``check_prompt``.
    """

    def __init__(
        self, dataset: Dataset, protocol: Protocol, prompt: PromptPreset, *, seed: int, schema: bool = True
    ) -> None:
        self._dataset = dataset
        self._protocol = protocol
        self._prompt = prompt
        self._schema = schema
        self._style = MarkStyle(protocol.border_width, protocol.number_size, protocol.number_style)
        self._reference_paths = {
            category: reference_paths(dataset, category, protocol.shots, seed) for category in dataset.categories
        }
        self._references: dict[str, tuple[Picture, ...]] = {}
        self._lock = threading.Lock()
        for category in dataset.categories:
            self._text(category, 1)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over everything that a question depends on, except the sample and its division."""
        shaped: dict[str, Any] = {
            "prompt": self._prompt.model_dump(mode="json", exclude={"name", "description"}),
            "sentences": [_PICTURES, _REFERENCE, _REFERENCES],
            "marks": [self._style.border_width, self._style.number_size, self._style.number_style],
            "visual": self._protocol.visual,
            "size": self._protocol.image_size,
            "defects": self._dataset.defects if "defects" in Template(self._prompt.text).get_identifiers() else {},
            "references": {
                category: [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
                for category, paths in self._reference_paths.items()
            },
        }
        if self._prompt.format == "json":
            shaped["schema"] = answer_schema(1)
        return hashlib.sha256(json.dumps(shaped, sort_keys=True).encode()).hexdigest()

    @property
    def n_images(self) -> int:
        """Number of pictures in a question."""
        return self._protocol.shots + (1 if self._protocol.visual == "marked" else 2)

    def request(self, sample: Sample, image: NDArray[np.uint8], regions: Regions) -> Request:
        """Write the question about a sample.

        Args:
            sample: only its category is used; label, defect and mask never enter a question.
            image: uint8 ``(S, S, 3)``, RGB, the sample's image at the protocol's size.
            regions: the image's division.
        """
        options: dict[str, Any] = {"format": self._prompt.format, "n_regions": regions.count}
        if self._prompt.format == "json" and self._schema:
            options["schema"] = answer_schema(regions.count)
        visual = self._protocol.visual
        marked = draw_marks(np.zeros_like(image) if visual == "image+marks" else image, regions, self._style)
        shown = [marked] if visual == "marked" else [image, marked]
        return Request(
            images=(*self._reference_pictures(sample.category), *map(Picture.from_pixels, shown)),
            text=self._text(sample.category, regions.count),
            options=options,
        )

    def _reference_pictures(self, category: str) -> tuple[Picture, ...]:
        with self._lock:
            if category not in self._references:
                side = self._protocol.image_size
                self._references[category] = tuple(
                    Picture.from_pixels(resize_image(self._dataset.reference_image(category, path), (side, side)))
                    for path in self._reference_paths[category]
                )
            return self._references[category]

    def _text(self, category: str, n_regions: int) -> str:
        shots = self._protocol.shots
        sentence = (self._prompt.references or (_REFERENCE if shots == 1 else _REFERENCES)) if shots else ""
        kinds = [kind.replace("_", " ") for kind in self._dataset.defects[category] if kind.lower() not in _NO_KIND]
        values = {
            "class_name": class_name(category, self._prompt.class_names),
            "defects": ", ".join(kinds) or "any",
            "n_regions": str(n_regions),
            "pictures": self._prompt.pictures.get(self._protocol.visual, _PICTURES[self._protocol.visual]),
            "references": Template(sentence).safe_substitute(shots=shots),
        }
        return _filled(self._prompt, values)


def check_prompt(prompt: PromptPreset) -> None:
    """Refuse a prompt with a placeholder that no question fills.

    Raises:
        ConfigError: it has one; the message lists the placeholders that exist.
    """
    _filled(prompt, dict.fromkeys(("class_name", "defects", "n_regions", "pictures", "references"), ""))


def _filled(prompt: PromptPreset, values: dict[str, str]) -> str:
    try:
        return Template(prompt.text).substitute(values).strip()
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"The prompt {prompt.name} has a placeholder that cannot be filled: {error}. Use "
            f"{', '.join('$' + name for name in sorted(values))}; '$$' writes a '$'."
        ) from error
