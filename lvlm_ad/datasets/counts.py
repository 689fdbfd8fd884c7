"""The counts of a data set: its images, labels, masks, reference images and groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.datasets.sample import Dataset, Sample

__all__ = ["count_dataset"]


def count_dataset(dataset: Dataset) -> dict[str, Any]:
    """Count a data set's test images and what belongs to them.

    Returns:
        Of all images: "images", "good", "bad", "unlabelled" and "masks" (how many have one). By category: "defects"
        (the kinds), "references" and "validation". "groups" has "tags" (tag -> value -> number of images) and "parts",
        the number of different objects that are known to be shown (see ``Sample.part``). References are different
        files, those of a category and those of its images. "categories" is a list with
        the counts of each category.

    Example:
        >>> from pathlib import Path
        >>> from lvlm_ad.datasets import Dataset, Sample
        >>> one = Sample("can/bad/0_dim", "can", True, "bad", Path("0_dim.png"), tags={"light": "dim"}, part="can/0")
        >>> counted = count_dataset(Dataset("folder", Path(), (one,)))
        >>> counted["images"], counted["defects"], counted["groups"]
        (1, {'can': ['bad']}, {'tags': {'light': {'dim': 1}}, 'parts': 1})
    """
    by_category: defaultdict[str, list[Sample]] = defaultdict(list)
    tags: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in dataset:
        by_category[sample.category].append(sample)
        for name, value in sample.tags.items():
            tags[name][value] += 1
    numbers = _numbers(dataset.samples)
    references = {
        name: len({*dataset.references.get(name, ()), *(path for one in by_category[name] for path in one.references)})
        for name in dict.fromkeys((*dataset.references, *by_category))
    }
    return {
        "images": len(dataset),
        "good": numbers["good"],
        "bad": numbers["anomalous"],
        "unlabelled": numbers["unlabelled"],
        "masks": numbers["masks"],
        "defects": {category: list(kinds) for category, kinds in dataset.defects.items()},
        "references": {category: count for category, count in references.items() if count},
        "validation": {category: len(paths) for category, paths in dataset.validation.items()},
        "groups": {
            "tags": {name: dict(sorted(values.items())) for name, values in sorted(tags.items())},
            "parts": len({sample.part for sample in dataset} - {""}),
        },
        "categories": [
            {
                "category": category,
                **_numbers(samples),
                "references": references[category],
                "validation": len(dataset.validation.get(category, ())),
                "defects": list(dataset.defects[category]),
            }
            for category, samples in by_category.items()
        ],
    }


def _numbers(samples: Sequence[Sample]) -> dict[str, int]:
    return {
        "good": sum(sample.is_labelled and not sample.label for sample in samples),
        "anomalous": sum(sample.label for sample in samples),
        "unlabelled": sum(not sample.is_labelled for sample in samples),
        "masks": sum(sample.mask_path is not None for sample in samples),
    }
