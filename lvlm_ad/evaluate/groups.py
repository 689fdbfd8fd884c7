"""Metrics by kind and size of defect, and by tags of images: "kinds", "sizes" and "tags" of metrics.json.

A kind or a size of defects is measured against all good images of its category; the images with one value of a tag,
such as one lighting, against each other. Only metrics are given that do not depend on how many of the images are
defective: otherwise a rare kind would look harder than a common one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.decisions import clopper_pearson, effective_images
from lvlm_ad.evaluate.measure import interval_fields, metrics_of
from lvlm_ad.evaluate.reported import NO_MAP, ReportedImages, limits_of, measure_reported
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.estimates import Estimate, estimate_category, estimate_mean
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.named import at_limit
from lvlm_ad.metrics.resampled_intervals import FEWEST_DEFECTIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.evaluate.measure import OnFailure
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.histograms import ScoreHistograms
    from lvlm_ad.runs import PredictionRecord

__all__ = ["BINARY_METRICS", "GROUP_METRICS", "MOST_KINDS", "SIZES", "group_entries", "group_metrics"]

GROUP_METRICS = ("image_auroc", "pixel_auroc", "pixel_aupro")

SIZES = {"below 0.5 %": 0.005, "0.5 to 2 %": 0.02, "2 to 10 %": 0.1, "10 % and more": np.inf}
"""Sizes of defects, and below which share of the image's pixels a defect has this size."""

MOST_KINDS = 100
"""A category with more has a name for every image rather than kinds; likewise a tag with more values."""

BINARY_METRICS = ("segf1", "classf1")
"""Metrics of maps cut at a threshold, which tags have but kinds and sizes have not."""

_NO_CUT = "some images have no ground-truth mask, or no threshold cuts their maps"

_NO_ANSWER = "no image has a usable answer"

RESAMPLES = 200
"""Resamples of a group, at most: enough for the spread of pixel metrics, a fifth of the time of a category's."""


@dataclass(frozen=True, eq=False)
class _Category:
    """A category's images; ``measured`` is False where an image without an answer is left out."""

    name: str
    records: Sequence[PredictionRecord]
    measured: NDArray[np.bool_]
    histograms: ScoreHistograms
    fpr_limit: float
    resamples: int
    places: Places
    reported: Sequence[str] = ()
    channels: ScoreHistograms | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The metrics of a group."""
        further = [at_limit("pixel_aupro", limit) for limit in limits_of(self.reported)]
        return (*GROUP_METRICS, *further, *self._channel_names)

    @cached_property
    def _channel_names(self) -> list[str]:
        # Of the group's own defects, so without the data set's groups.
        return [at_limit("au_spro", limit) for limit in limits_of(self.reported, "au_spro")]

    @cached_property
    def _binary(self) -> list[str]:
        # Of images with a tag; where only some of the defects count, precision would mean little.
        return [name for name in BINARY_METRICS if name in self.reported]

    @cached_property
    def tag_names(self) -> tuple[str, ...]:
        """The metrics of the images with one value of a tag."""
        return (*self.names, *self._binary)

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        return np.array([record.label for record in self.records], dtype=np.bool_)

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds of defect, by name."""
        return sorted({record.defect for record in self.records if record.label})

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Of each image the share of defective pixels; NaN where no mask shows any."""
        pixels = [(0, 0) if one is None else (one.anomalous.sum(), one.normal.sum()) for one in self.histograms]
        defective, normal = np.array(pixels, dtype=np.float64).reshape(-1, 2).T
        with np.errstate(invalid="ignore"):
            return np.where(defective > 0, defective / (defective + normal), np.nan)

    def measure(self, group: NDArray[np.bool_]) -> tuple[dict[str, Any], dict[str, Estimate]]:
        """Measure a group of defective images against the good ones; returns its entry and its estimates."""
        return self._measure((group | ~self.labels) & self.measured, self.names, _NO_ANSWER)

    def measure_all(self, chosen: NDArray[np.bool_]) -> tuple[dict[str, Any], dict[str, Estimate]]:
        """Measure the chosen images, good and defective; returns their entry, with "n_good", and its estimates."""
        reason = _NO_ANSWER if (chosen & self.labels).any() else "no image is anomalous"
        entry, estimates = self._measure(chosen & self.measured, self.tag_names, reason)
        return {"n": entry.pop("n"), "n_good": int((chosen & self.measured & ~self.labels).sum()), **entry}, estimates

    def _measure(
        self, chosen: NDArray[np.bool_], names: Sequence[str], without: str
    ) -> tuple[dict[str, Any], dict[str, Estimate]]:
        kept = np.flatnonzero(chosen)
        found = int(np.count_nonzero(self.labels[kept]))
        if not found:
            return {"n": 0, **dict.fromkeys(names), "undefined": dict.fromkeys(names, without)}, {}
        histograms = self.histograms.take(kept)
        scores = np.array([self.records[at].image_score or 0.0 for at in kept.tolist()])
        pixels = histograms if self.places and histograms.measurable else None
        objects = numbers_of_parts([self.records[at].part for at in kept.tolist()])
        images = CategoryImages(self.labels[kept], scores, pixels, self.fpr_limit, limits_of(self.reported), objects)
        metrics = metrics_of(images, histograms, places=self.places)
        # Of these metrics only those of pixels need resamples, and with fewer defective images they have no interval.
        enough = np.count_nonzero(histograms.arrays["n_regions"]) >= FEWEST_DEFECTIVE
        resamples = self.resamples if enough else 0
        channels = self.channels.take(kept) if self.channels is not None and self.places else None
        cuts = [self.records[at].cut for at in kept.tolist()]
        counts = None if None in cuts else np.array(cuts, dtype=np.int64)
        of = ReportedImages(images, [], channels, counts, no_counts=_NO_CUT if self.places else NO_MAP)
        further = measure_reported([one for one in names if one not in metrics], of, resamples, self.name)
        values = {name: metrics.get(name) for name in names} | further.values
        why = {**metrics["undefined"], **further.undefined}
        undefined = {name: why[name] for name, value in values.items() if value is None}
        estimates = estimate_category(images, values, resamples, self.name) | further.estimates
        entry = {"n": found, **values, **interval_fields(estimates), **({"undefined": undefined} if undefined else {})}
        return entry, estimates


def group_metrics(
    records: Sequence[PredictionRecord],
    histograms: ScoreHistograms,
    on_failure: OnFailure,
    fpr_limit: float,
    resamples: int,
    alarms: Mapping[str, bool],
    places: Places = "regions",
    *,
    reported: Sequence[str] = (),
    channels: ScoreHistograms | None = None,
) -> dict[str, Any]:
    """Measure the kinds and the sizes of defects, and the tags of images.

    Args:
        records: all predictions of a run.
        histograms: the score histogram of each image, in the same order.
        on_failure: "zero": an image without a score counts as image score 0; "exclude": it is left out.
        fpr_limit: the false-positive rate up to which AUPRO is integrated.
        resamples: as for a category; a group gets ``RESAMPLES`` at most.
        alarms: image id -> whether it alarms at the run's threshold, for each image that is judged.
        places: the kind of place that the method answers with; empty: it gives no map.
        reported: the metrics that the data set's authors report; those with a limit are given for groups, too, and
            ``BINARY_METRICS`` for tags.
        channels: see ``CategoryResult``.

    Returns:
        "kinds", for categories with 2 to ``MOST_KINDS`` kinds of defect: category -> kind -> entry; "sizes": size ->
        entry, whose metrics are means over the categories that have defects of this size. An entry has "n" (defective
        images), ``GROUP_METRICS``, what ``interval_fields`` returns, "undefined" (metric -> reason), and with alarms
        "judged", "found" and "recall", pooled over categories. "tags": tag -> value -> entry of the images with this
        value; it also has "n_good" (good images) and, if there are several categories, "by_category".
    """
    where: dict[str, list[int]] = {}
    for at, record in enumerate(records):
        where.setdefault(record.category, []).append(at)
    categories = []
    for name, inside in where.items():
        own = [records[at] for at in inside]
        measured = np.array([not record.is_left_out(on_failure) for record in own])
        pixels = histograms.take(inside)
        of_channels = None if channels is None else channels.take(inside)
        categories.append(
            _Category(name, own, measured, pixels, fpr_limit, min(resamples, RESAMPLES), places, reported, of_channels)
        )
    sizes: dict[str, Any] = {}
    low = 0.0
    for size, high in SIZES.items():
        groups = [(one, (one.shares >= low) & (one.shares < high)) for one in categories]
        low = high
        if groups := [(one, group) for one, group in groups if group.any()]:
            sizes[size] = _size(groups, alarms)
    kinds = {one.name: _kinds(one, alarms) for one in categories if 1 < len(one.kinds) <= MOST_KINDS}
    tags = _tags(categories, alarms)
    return {name: value for name, value in (("kinds", kinds), ("sizes", sizes), ("tags", tags)) if value}


def group_entries(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the entries of all groups in the content of metrics.json, by the name of the group for messages."""
    kinds = metrics.get("kinds", {})
    entries = {f"{kind} of {category}": one for category, group in kinds.items() for kind, one in group.items()}
    entries |= {f"defects {size}": one for size, one in metrics.get("sizes", {}).items()}
    tags = metrics.get("tags", {})
    return entries | {f"images with {tag} {value}": one for tag, of in tags.items() for value, one in of.items()}


def _kinds(category: _Category, alarms: Mapping[str, bool]) -> dict[str, Any]:
    entries = {}
    for name in category.kinds:
        group = np.array([record.label and record.defect == name for record in category.records])
        entries[name] = _with_recall(category.measure(group)[0], _judged([(category, group)], alarms))
    return entries


def _tags(categories: Sequence[_Category], alarms: Mapping[str, bool]) -> dict[str, Any]:
    """Measure the images with each value of each tag."""
    values: dict[str, set[str]] = {}
    for category in categories:
        for record in category.records:
            for tag, value in record.tags.items():
                values.setdefault(tag, set()).add(value)
    found: dict[str, Any] = {}
    for tag, of in sorted(values.items()):
        for value in sorted(of) if len(of) <= MOST_KINDS else ():
            chosen = [(one, np.array([record.tags.get(tag) == value for record in one.records])) for one in categories]
            chosen = [(one, images) for one, images in chosen if images.any()]
            measured = {one.name: one.measure_all(images) for one, images in chosen}
            entry = _mean_of_groups(measured, chosen[0][0].tag_names)
            defects = [(one, images & one.labels) for one, images in chosen]
            if len(measured) > 1:
                entry["by_category"] = {
                    category.name: _with_recall(measured[category.name][0], _judged([(category, group)], alarms))
                    for category, group in defects
                }
            found.setdefault(tag, {})[value] = _with_recall(entry, _judged(defects, alarms))
    return found


def _size(groups: Sequence[tuple[_Category, NDArray[np.bool_]]], alarms: Mapping[str, bool]) -> dict[str, Any]:
    """Average the metrics of a size over categories."""
    measured = {category.name: category.measure(group) for category, group in groups}
    return _with_recall(_mean_of_groups(measured, groups[0][0].names), _judged(groups, alarms))


def _mean_of_groups(
    measured: Mapping[str, tuple[dict[str, Any], dict[str, Estimate]]], names: Sequence[str]
) -> dict[str, Any]:
    """Average entries over categories, each with its estimates."""
    entries = [entry for entry, _ in measured.values()]
    values: dict[str, float | None] = {}
    undefined, means = {}, {}
    for name in names:
        defined = {category: found[name] for category, (_, found) in measured.items() if name in found}
        values[name] = float(np.mean([one.value for one in defined.values()])) if defined else None
        if defined:
            means[name] = estimate_mean(name, defined)
        else:
            undefined[name] = entries[0]["undefined"][name]
    entry: dict[str, Any] = {name: sum(one[name] for one in entries) for name in ("n", "n_good") if name in entries[0]}
    entry |= {"categories": list(measured), **values, **interval_fields(means)}
    return {**entry, **({"undefined": undefined} if undefined else {})}


def _judged(
    groups: Iterable[tuple[_Category, NDArray[np.bool_]]], alarms: Mapping[str, bool]
) -> list[tuple[bool, str]]:
    """Return whether each image alarms, and its part, for the images of the groups that are judged."""
    records = (category.records[at] for category, group in groups for at in np.flatnonzero(group).tolist())
    return [(alarms[one.id], one.part) for one in records if one.id in alarms]


def _with_recall(entry: dict[str, Any], judged: Sequence[tuple[bool, str]]) -> dict[str, Any]:
    """Add the share of defective images that alarm, with its interval; images of a part are not independent."""
    if not judged:
        return entry
    hits = [alarms for alarms, _ in judged]
    found, objects = sum(hits), numbers_of_parts([part for _, part in judged])
    interval = clopper_pearson(found, len(judged))
    if objects is not None:
        trials = effective_images(hits, objects)
        interval = clopper_pearson(found / len(judged) * trials, trials)
    recall = {"judged": len(judged), "found": found, "recall": found / len(judged)}
    ends = {} if interval is None else {"recall": list(interval)}
    return {**entry, **recall, "interval": {**entry.get("interval", {}), **ends}}
