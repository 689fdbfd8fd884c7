"""The images of a study: drawn by category and label, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.config import load_data

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.evaluate import RunConfig

__all__ = ["StudyImages", "choose_images", "chosen_images"]

T = TypeVar("T")


@dataclass(frozen=True)
class StudyImages:
    """The images of a study.

    Attributes:
        dataset: the images, in the data set's order.
        whole: whether they are the whole test split.
        available: how many images they were drawn from.
    """

    dataset: Dataset
    whole: bool
    available: int


def chosen_images(config: RunConfig, count: int | None = None) -> StudyImages:
    """Read the data set of a configuration and choose so many images of the categories that it names.

    Args:
        config: names the data set, the categories and the seed.
        count: see ``choose_images``; None: all images.

    Returns:
        The images, in the data set's order.

    Raises:
        ConfigError: ``config.limit`` is set: it would take the first images of each category, not a sample of all; or
            the count is below 2.
        DataError: the data set cannot be read, or has no such category.

    Example::

        chosen_images(RunConfig(dataset="mvtec", data=Path("mvtec")), 100).available
    """
    if config.limit is not None:
        raise ConfigError("A study draws its images from all categories: give their number as --images, not --limit.")
    dataset = load_data(config)
    selected = dataset.select(config.categories)
    chosen = selected if count is None else choose_images(selected, count, config.seed)
    whole = dataset.complete and not config.categories and len(chosen) == len(dataset)
    return StudyImages(chosen, whole, len(selected))


def choose_images(dataset: Dataset, count: int, seed: int = 0) -> Dataset:
    """Choose images, as evenly as possible from every category, from good and anomalous, and from all kinds of defect.

    A larger number chooses the same images and more, so that a study with more images asks only about the new ones.

    Args:
        dataset: what to choose from.
        count: how many; all if there are fewer.
        seed: another seed chooses others.

    Returns:
        The chosen images, in the data set's order.

    Raises:
        ConfigError: the count is below 2: a study needs good and anomalous images.

    Example:
        >>> from pathlib import Path
        >>> from lvlm_ad.datasets import Dataset, Sample
        >>> names = [f"bolt/{kind}/{index}" for kind in ("good", "bent") for index in range(9)]
        >>> samples = tuple(Sample(name, "bolt", "bent" in name, name.split("/")[1], Path()) for name in names)
        >>> sum(sample.label for sample in choose_images(Dataset("folder", Path(), samples), 6))
        3
    """
    if count < 2:  # noqa: PLR2004 - one good and one anomalous image
        raise ConfigError(f"A study needs 2 images or more, good and anomalous; got {count}.")
    categories: dict[str, dict[str, list[Sample]]] = {}
    for sample in sorted(dataset, key=lambda one: _sort_key(one.id, seed)):
        categories.setdefault(sample.category, {}).setdefault(sample.defect, []).append(sample)
    orders = [_of_category(categories[name]) for name in sorted(categories, key=lambda name: _sort_key(name, seed))]
    in_order = [sample for pair in _in_turn(*orders) for sample in pair if sample is not None]
    chosen = {sample.id for sample in in_order[:count]}
    samples = tuple(sample for sample in dataset if sample.id in chosen)
    return replace(dataset, samples=samples, kinds=dataset.defects)


def _of_category(by_defect: dict[str, list[Sample]]) -> list[tuple[Sample | None, Sample | None]]:
    """Pair a category's good images with anomalous ones, those of each kind of defect in turn."""
    good = [sample for group in by_defect.values() for sample in group if not sample.label]
    kinds = [[sample for sample in by_defect[name] if sample.label] for name in sorted(by_defect)]
    return list(zip_longest(good, _in_turn(*kinds)))


def _in_turn(*lists: Sequence[T]) -> list[T]:
    return [one for row in zip_longest(*lists) for one in row if one is not None]


def _sort_key(name: str, seed: int) -> bytes:
    """Return what a name is sorted by: at random, but the same whatever other names there are."""
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
