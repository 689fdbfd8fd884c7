"""What is said of a data set's masks before they are used, and the masks that help to read one another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.masks import Peers, Threshold, file_threshold
from lvlm_ad.errors import ImageError

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Sample

__all__ = ["mask_notes", "with_peers"]

_PROBED_MASKS = 3


def with_peers(samples: Sequence[Sample]) -> list[Sample]:
    """Give each sample with a mask the masks of its category."""
    masks: dict[str, list[Path]] = {}
    for sample in samples:
        masks.setdefault(sample.category, []).extend(sample.mask_files)
    peers = {category: Peers.of(paths) for category, paths in masks.items()}
    return [replace(sample, peers=peers[sample.category]) if sample.mask_files else sample for sample in samples]


def mask_notes(samples: Sequence[Sample], threshold: Threshold) -> list[str]:
    """Note defects without a mask, and which mask values count as defective if the user gave no threshold."""
    defects = [sample for sample in samples if sample.label]
    masks = {sample.category: sample for sample in reversed(defects) if sample.mask_path is not None}
    if not masks:
        return ["No masks: pixel metrics will be undefined."] if defects else []
    notes = []
    without = [sample for sample in defects if sample.mask_path is None]
    if without:
        notes.append(f"{len(without)} of {len(defects)} defect images have no mask, the first {shown(without[0].id)}.")
    if isinstance(threshold, tuple):
        ranges = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in threshold)
        notes.append(f"Mask values that count as defective: {ranges}.")
    thresholds = set()
    # Where the layout knows what its masks' values mean, nothing is chosen.
    chosen = [sample.mask_path for sample in masks.values() if sample.threshold is None]
    for path in filter(None, chosen[-_PROBED_MASKS:]):
        # A damaged mask is reported when it is used, and by `lvlm-ad data check`.
        with suppress(ImageError):
            thresholds.add(file_threshold(path))
    if thresholds:
        values = " or ".join(f"{value:g}" for value in sorted(thresholds))
        notes.append(
            f"Mask pixels above {values} count as defective (chosen for each mask from the values it holds; "
            "mask_threshold sets it)."
        )
    return notes
