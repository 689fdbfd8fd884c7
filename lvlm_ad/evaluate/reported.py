"""The metrics that a data set's authors report, of one category: values or reasons, and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.metrics import image_metrics
from lvlm_ad.metrics.binary import BinaryMetrics, MapThreshold, binary_metrics
from lvlm_ad.metrics.bootstrap import CategoryImages, draw_weights, pool_images, resampled, seeded_generator
from lvlm_ad.metrics.dataset_estimates import estimate_binary, estimate_group_aurocs, estimate_group_overlap
from lvlm_ad.metrics.estimates import FEW_IMAGES, Estimate, estimate_category, in_objects
from lvlm_ad.metrics.groups import group_members, image_auroc_by_group, merge_views
from lvlm_ad.metrics.intervals import class_sizes
from lvlm_ad.metrics.named import NamedMetrics, at_limit
from lvlm_ad.metrics.spro import au_spro_from_histograms
from lvlm_ad.runs.reported import is_reported, limit_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = [
    "NO_MAP",
    "NO_THRESHOLD",
    "ReportedImages",
    "ReportedMetrics",
    "group_names",
    "limits_of",
    "measure_reported",
    "threshold_entry",
]

NO_MAP = "the method gives no map"

_MEAN = "groups"
"""In "image_auroc_groups": the mean over the groups."""

_NO_SATURATION = "{} of {} images have no saturation areas, which defects_config.json gives"
NO_THRESHOLD = "no normal validation images give a threshold"
_TOO_FEW_IMAGES = "fewer than 2 good or 2 defective images"


@dataclass(frozen=True, eq=False)
class ReportedImages:
    """What the metrics that authors report need of a category's n images.

    Attributes:
        images: labels, scores, pixels and objects.
        kinds: ``(n,)``, the kind of defect; of good images it does not matter.
        channels: what ``spro_histogram`` returned for each image, None where saturation areas are unknown. None in
            place of all: the method gives no map.
        counts: int64 ``(n, 3)``, what ``count_binary`` returned; None if a map, a mask or the threshold is missing.
        threshold: where the maps were cut.
        no_counts: why there are no counts.
    """

    images: CategoryImages
    kinds: Sequence[str]
    channels: ScoreHistograms | None = None
    counts: NDArray[np.int64] | None = None
    threshold: MapThreshold | None = None
    no_counts: str = NO_THRESHOLD


@dataclass(eq=False)
class ReportedMetrics:
    """The metrics that authors report, by name.

    Attributes:
        values: fractions in 0..1; None where undefined.
        undefined: the reasons of those without a value.
        estimates: how sure the values are.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)

    def add(self, metrics: NamedMetrics, estimates: Mapping[str, Estimate]) -> None:
        """Add metrics and their estimates."""
        self.values |= metrics.values
        self.undefined |= metrics.undefined
        self.estimates |= {
            name: replace(one, few_images=one.interval is not None and one.images < FEW_IMAGES)
            for name, one in estimates.items()
        }

    def only(self, names: Sequence[str]) -> ReportedMetrics:
        """Return the metrics of some names, in their order."""
        return ReportedMetrics(
            {name: self.values[name] for name in names if name in self.values},
            {name: self.undefined[name] for name in names if name in self.undefined},
            {name: self.estimates[name] for name in names if name in self.estimates},
        )


def limits_of(names: Iterable[str], metric: str = "pixel_aupro") -> tuple[float, ...]:
    """Return the limits at which a metric is asked for, such as those of "pixel_aupro@0.05".

    Example:
        >>> limits_of(["au_spro@0.05", "au_spro_logical@0.05", "pixel_aupro@0.1"], "au_spro")
        (0.05,)
    """
    own = [name for name in names if is_reported(name) and name.startswith(metric)]
    return tuple(dict.fromkeys(limit for name in own if (limit := limit_of(name)) is not None))


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the groups of anomalies that the names of metrics mention.

    Example:
        >>> group_names(["au_spro@0.05", "au_spro_logical@0.05", "image_auroc_groups", "image_auroc_structural"])
        ('logical', 'structural')
    """
    plain = [name.partition("@")[0] for name in names if is_reported(name)]
    starts = ("au_spro_", "image_auroc_")
    found = dict.fromkeys(name.removeprefix(start) for name in plain for start in starts if name.startswith(start))
    return tuple(name for name in found if name != _MEAN)


def measure_reported(
    names: Sequence[str],
    of: ReportedImages,
    resamples: int,
    category: str = "",
    exact: Mapping[str, float | None] | None = None,
) -> ReportedMetrics:
    """Compute the metrics that authors report and that are not among the seven.

    AUPRO at other limits is left out: ``metrics_of`` computes it together with AUPRO.

    Args:
        names: the metrics, in the order of the result; others than these are ignored.
        of: the images.
        resamples: how many resamples are drawn.
        category: its name; resamples of the same category and labels are the same for every method.
        exact: the exact AU-sPRO of own maps, whose channels are counted at few thresholds only.

    Returns:
        The metrics, each with a value or a reason.
    """
    found = ReportedMetrics()
    if limits := limits_of(names, "au_spro"):
        _add_spro(found, limits, group_names(names), of, resamples, category, exact)
    if any(name.startswith("image_auroc_") for name in names):
        _add_group_aurocs(found, group_names(names), of, resamples, category)
    if "sample_auroc" in names:
        _add_samples(found, of.images, resamples, category)
    if {"segf1", "classf1"} & set(names):
        _add_binary(found, of, resamples, category)
    return found.only(names)


def _groups(names: Sequence[str], of: ReportedImages) -> tuple[NDArray[np.intp], list[str | None]]:
    """Return where the images are that are good or of a group, and the group of each of these; None if good."""
    known = {kind: name for name in names for kind in (name, f"{name}_anomalies")}
    groups = [known.get(kind, "") if label else None for label, kind in zip(of.images.labels, of.kinds, strict=True)]
    kept = [at for at, group in enumerate(groups) if group != ""]
    return np.array(kept, dtype=np.intp), [groups[at] for at in kept]


def _add_spro(
    found: ReportedMetrics,
    limits: Sequence[float],
    names: Sequence[str],
    of: ReportedImages,
    resamples: int,
    category: str,
    exact: Mapping[str, float | None] | None,
) -> None:
    channels, metric = of.channels, "au_spro"
    all_names = [at_limit(one, limit) for limit in limits for one in (metric, *(f"{metric}_{name}" for name in names))]
    if channels is None or channels.n_known < len(channels):
        reason = NO_MAP
        if channels is not None:
            reason = _NO_SATURATION.format(len(channels) - channels.n_known, len(channels))
        found.add(NamedMetrics.without(all_names, reason), {})
        return
    if not names:
        metrics = _with(au_spro_from_histograms(channels, limits), exact)
        # It is the AUPRO of channels in the place of regions, so its interval is computed as that of AUPRO.
        points = {at_limit("pixel_aupro", limit): metrics.values[at_limit(metric, limit)] for limit in limits}
        images = replace(of.images, histograms=channels, limits=tuple(limits))
        estimates = estimate_category(images, points, resamples, category)
        found.add(metrics, {name.replace("pixel_aupro", metric): one for name, one in estimates.items()})
        return
    kept, groups = _groups(names, of)
    channels = channels.take(kept)
    metrics = _with(au_spro_from_histograms(channels, limits, groups, names), exact)
    found.add(metrics, estimate_group_overlap(channels, groups, metrics, resamples, category, limits=limits))


def _with(metrics: NamedMetrics, exact: Mapping[str, float | None] | None) -> NamedMetrics:
    """Replace values by those that are known more exactly."""
    better = {name: exact[name] for name in metrics.values if exact is not None and exact.get(name) is not None}
    return NamedMetrics({**metrics.values, **better}, metrics.undefined)


def _add_group_aurocs(
    found: ReportedMetrics, names: Sequence[str], of: ReportedImages, resamples: int, category: str
) -> None:
    kept, groups = _groups(names, of)
    metric = "image_auroc"
    if not kept.size:
        every = [f"{metric}_{name}" for name in (_MEAN, *names)]
        found.add(NamedMetrics.without(every, "no image is good or of a group"), {})
        return
    scores = of.images.scores[kept]
    metrics = image_auroc_by_group(scores, groups, names)
    sure = estimate_group_aurocs(scores, groups, names)
    members = group_members(groups, names)
    strata = np.array([0 if group is None else 1 + names.index(group) for group in groups])
    weights = draw_weights(strata, resamples, seeded_generator("groups", category, strata.tolist()))
    draws = {}
    for name, at in members.items():
        if resamples and metrics.values[f"{metric}_{name}"] is not None:
            draws[f"{metric}_{name}"] = resampled(pool_images(strata[at] > 0, scores[at]), weights[:, at])["auroc"]
    if len(draws) == len(members) and draws:
        draws[f"{metric}_{_MEAN}"] = np.mean([*draws.values()], axis=0)
    sizes = {f"{metric}_{name}": class_sizes(strata[at] > 0) for name, at in members.items()}
    sizes[f"{metric}_{_MEAN}"] = class_sizes(strata > 0)
    estimates = {}
    for name, value in metrics.values.items():
        if value is not None:
            one = sure.get(name)
            interval, images = (None, 0.0) if one is None else (one.interval, one.images)
            reason = _TOO_FEW_IMAGES if one is None else ""
            estimates[name] = Estimate(value, interval, reason, images=images, sizes=sizes[name], draws=draws.get(name))
    found.add(metrics, estimates)


def _add_samples(found: ReportedMetrics, images: CategoryImages, resamples: int, category: str) -> None:
    name = "sample_auroc"
    objects = np.arange(images.labels.size) if images.objects is None else images.objects
    labels, scores = merge_views(images.labels, images.scores, objects.tolist())
    if labels.all() or not labels.any():
        reason = f"no object is {'normal' if labels.all() else 'anomalous'}"
        found.add(NamedMetrics.without([name], reason), {})
        return
    value = image_metrics(labels, scores).auroc
    whole = CategoryImages(labels, scores, None)
    one = estimate_category(whole, {"image_auroc": value}, resamples, category)["image_auroc"]
    found.add(NamedMetrics({name: value}), {name: in_objects(one)})


def _add_binary(found: ReportedMetrics, of: ReportedImages, resamples: int, category: str) -> None:
    names = ("segf1", "classf1")
    if of.counts is None:
        found.add(NamedMetrics.without(names, of.no_counts), {})
        return
    labels = of.images.labels
    metrics: BinaryMetrics = binary_metrics(labels, of.counts, of.threshold)
    values = NamedMetrics({name: getattr(metrics, name) for name in names}, metrics.undefined)
    found.add(values, estimate_binary(labels, of.counts, metrics, resamples, category, objects=of.images.objects))


def threshold_entry(threshold: MapThreshold, images: int) -> dict[str, Any]:
    """Say in the fields of metrics.json where maps were cut, and how many images the threshold is from."""
    return {
        "value": threshold.value,
        "rule": threshold.rule,
        "source": threshold.source,
        "images": images,
        "saw_test_labels": threshold.saw_test_labels,
    }
