"""AUPIMO of maps in files: exact, so from the maps themselves and not from their pixel counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.map_files import read_map, resize_map
from lvlm_ad.metrics.dataset_estimates import estimate_aupimo
from lvlm_ad.metrics.pimo import AUPIMO_BOUNDS, Aupimo, aupimo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.datasets import Dataset, Sample

__all__ = ["aupimo_in_words", "aupimo_of_maps"]


class _Arrays:
    """Arrays that are read one by one, each when it is needed."""

    def __init__(self, samples: Sequence[Sample], read: Callable[[Sample], NDArray[Any]]) -> None:
        self._samples, self._read = samples, read

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self._read, self._samples)


def aupimo_of_maps(dataset: Dataset, files: Mapping[str, Path], side: int | None) -> dict[str, Any]:
    """Measure AUPIMO of each category, and its mean over categories.

    Args:
        dataset: the images.
        files: sample id -> its map.
        side: maps and masks are brought to ``side`` x ``side`` pixels; None: to the size of the image.

    Returns:
        "aupimo" of metrics.json: "bounds", "mean" (None unless every category has a value) and "categories": name ->
        "value", "interval" (95 %, for other anomalous images) and, without a value, "reason".

    Raises:
        DataError: a map cannot be read.
        ImageError: a mask cannot be read.
    """
    categories = {name: [one for one in dataset if one.category == name] for name in dataset.categories}
    entries = {name: _entry(samples, files, side) for name, samples in categories.items()}
    values = [one["value"] for one in entries.values()]
    mean = None if None in values else sum(values) / len(values)
    return {"bounds": list(AUPIMO_BOUNDS), "mean": mean, "categories": entries}


def _entry(samples: Sequence[Sample], files: Mapping[str, Path], side: int | None) -> dict[str, Any]:
    without = sum(one.label and one.mask_path is None for one in samples)
    if without:
        found = Aupimo(None, (), AUPIMO_BOUNDS, reason=f"{without} anomalous images have no ground-truth mask")
    else:

        def mask_of(sample: Sample) -> NDArray[Any]:
            mask = sample.mask
            assert mask is not None  # noqa: S101 - its image is normal or has a mask
            return mask if side is None else resize_mask(mask, (side, side))

        def map_of(sample: Sample) -> NDArray[Any]:
            return resize_map(read_map(files[sample.id]), mask_of(sample).shape)

        found = aupimo(_Arrays(samples, mask_of), _Arrays(samples, map_of))
    estimate = estimate_aupimo(found)
    entry = {"value": found.value, "interval": None if estimate is None else list(estimate.interval)}
    return {**entry, **({"reason": found.reason} if found.value is None else {})}


def aupimo_in_words(found: Mapping[str, Any]) -> list[str]:
    """Return lines with AUPIMO of a run, and of each category with its interval, or the reason why it has no value.

    Args:
        found: what ``aupimo_of_maps`` returned.

    Example:
        >>> entry = {"value": 0.5, "interval": [0.25, 0.75]}
        >>> aupimo_in_words({"bounds": [1e-05, 0.0001], "mean": 0.5, "categories": {"nut": entry}})
        ['AUPIMO (false-positive rates 1e-05 to 0.0001), percent: 50.0', '  nut: 50.0 (25.0 to 75.0)']
    """
    low, high = found["bounds"]
    mean = "undefined in a category" if found["mean"] is None else f"{100 * found['mean']:.1f}"
    lines = [f"AUPIMO (false-positive rates {low:g} to {high:g}), percent: {mean}"]
    for name, one in found["categories"].items():
        ends = one["interval"]
        interval = "" if ends is None else f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
        value = one["reason"] if one["value"] is None else f"{100 * one['value']:.1f}"
        lines.append(f"  {name}: {value}{interval}")
    return lines
