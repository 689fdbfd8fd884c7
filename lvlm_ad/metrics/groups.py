"""Groups of images: kinds of anomalies that share the good images, and objects that are shown in several images.

MVTec LOCO AD measures its logical and its structural anomalies, each against all good images, and averages the two.
Real-IAD shows an object in five views, MVTec AD 2 under several lights: such images are not independent.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import as_array, as_truth, check_scores
from lvlm_ad.metrics.exact import ImageMetrics, image_metrics
from lvlm_ad.metrics.named import NamedMetrics, mean_metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "group_members",
    "image_auroc_by_group",
    "merge_views",
    "numbers_of_parts",
    "object_metrics",
    "object_numbers",
]


def group_members(groups: Sequence[str | None], names: Sequence[str] = ()) -> dict[str, NDArray[np.intp]]:
    """Return which images each group is measured on: its own anomalous ones and all good ones.

    Args:
        groups: ``(n,)``, the group of each anomalous image; None for good images, which all groups share.
        names: the groups that may occur, in the order of the result; empty: those that occur, sorted.

    Returns:
        Group -> indices, ascending. A group without an anomalous image has only the good ones.

    Raises:
        MetricError: an image is of a group that is not expected.

    Example:
        >>> {name: found.tolist() for name, found in group_members([None, "logical", "structural"]).items()}
        {'logical': [0, 1], 'structural': [0, 2]}
    """
    present = {group for group in groups if group is not None}
    chosen = list(names) or sorted(present)
    if strange := present.difference(chosen):
        raise MetricError(f"Image {groups.index(min(strange))} is of group {min(strange)!r}; expected: {chosen}.")
    return {
        name: np.array([at for at, group in enumerate(groups) if group is None or group == name], dtype=np.intp)
        for name in chosen
    }


def image_auroc_by_group(
    scores: Sequence[Any] | ArrayLike, groups: Sequence[str | None], names: Sequence[str] = ()
) -> NamedMetrics:
    """Compute the image AUROC of each group against the shared good images, and their mean.

    The mean is not the AUROC of all images together. Ties count half.

    Args:
        scores: ``(n,)``, finite; higher is more anomalous.
        groups: ``(n,)``, see ``group_members``.
        names: see ``group_members``.

    Returns:
        For each group "image_auroc_" with its name, and "image_auroc_groups", their mean; None where a group has no
        anomalous image, or no image is good.

    Raises:
        MetricError: there are no images, a group is not expected, or a score is not a finite number.

    Example:
        >>> image_auroc_by_group([0.1, 0.5, 0.5, 0.9], [None, None, "logical", "structural"]).values
        {'image_auroc_logical': 0.75, 'image_auroc_structural': 1.0, 'image_auroc_groups': 0.875}
    """
    values = as_array(scores, "the image scores")
    labels = np.array([group is not None for group in groups], dtype=np.bool_)
    image_metrics(labels, values)  # Raises if scores and groups do not fit; a group alone would not show it.
    parts = NamedMetrics({})
    for name, at in group_members(groups, names).items():
        found = image_metrics(labels[at], values[at]) if at.size else ImageMetrics(undefined={"auroc": "no image"})
        metric = f"image_auroc_{name}"
        if found.auroc is None:
            reason = found.undefined["auroc"].replace("anomalous", name)
            parts |= NamedMetrics.without([metric], reason)
        else:
            parts |= NamedMetrics({metric: found.auroc})
    return parts | mean_metric("image_auroc_groups", parts)


def object_numbers(objects: Sequence[Hashable]) -> NDArray[np.intp]:
    """Number objects from 0 in the order in which they first occur.

    Example:
        >>> object_numbers(["S2", "S1", "S2"]).tolist()
        [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in objects], dtype=np.intp)


def numbers_of_parts(parts: Sequence[str]) -> NDArray[np.intp] | None:
    """Number the objects that images show; an image whose part is "" shows one of its own.

    Returns:
        ``(n,)``, see ``CategoryImages.objects``; None if no two images show the same object.

    Example:
        >>> numbers_of_parts(["a", "", "a", ""]).tolist(), numbers_of_parts(["", "a"])
        ([0, 1, 0, 2], None)
    """
    named = [part for part in parts if part]
    if len(set(named)) == len(named):
        return None
    return object_numbers([part or at for at, part in enumerate(parts)])


def merge_views(
    labels: Sequence[Any] | ArrayLike, scores: Sequence[Any] | ArrayLike, objects: Sequence[Hashable]
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Merge the views of each object: it is anomalous if one of them is, and scores as its highest view.

    Args:
        labels: ``(n,)``, non-zero if anomalous.
        scores: ``(n,)``, finite.
        objects: ``(n,)``, the object that each image shows.

    Returns:
        Labels bool ``(m,)`` and scores ``(m,)`` of the objects, numbered as by ``object_numbers``.

    Raises:
        MetricError: the lengths differ, there are no images, or a score is not a finite number.

    Example:
        >>> labels, scores = merge_views([0, 1, 0], [0.5, 0.2, 0.4], ["S1", "S1", "S2"])
        >>> labels.tolist(), scores.tolist()
        ([True, False], [0.5, 0.4])
    """
    truth, values = as_truth(labels, "the labels"), as_array(scores, "the image scores")
    if truth.ndim != 1 or values.shape != truth.shape or len(objects) != truth.size or not truth.size:
        raise MetricError(f"{truth.size} labels, {values.size} scores and {len(objects)} objects: one for each image.")
    check_scores(values, "the image scores")
    number = object_numbers(objects)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    return np.logical_or.reduceat(truth[order], starts), np.maximum.reduceat(values[order], starts)


def object_metrics(
    labels: Sequence[Any] | ArrayLike, scores: Sequence[Any] | ArrayLike, objects: Sequence[Hashable]
) -> ImageMetrics:
    """Compute the image metrics with the objects in the place of images; its AUROC is Real-IAD's S-AUROC.

    Args:
        labels: ``(n,)``, see ``merge_views``.
        scores: ``(n,)``.
        objects: ``(n,)``.

    Raises:
        MetricError: see ``merge_views``.

    Example:
        >>> object_metrics([0, 1, 0], [0.5, 0.2, 0.4], ["S1", "S1", "S2"]).auroc
        1.0
    """
    return image_metrics(*merge_views(labels, scores, objects))
