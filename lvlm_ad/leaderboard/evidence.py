"""What ranks and intervals of a leaderboard need beyond metrics.json: the image scores of its runs, read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lvlm_ad.compare import measured_categories, run_estimates
from lvlm_ad.errors import RunError
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.curves import auroc, steps_of
from lvlm_ad.metrics.estimates import Estimate, estimate_category, estimate_mean
from lvlm_ad.metrics.ranks import RESAMPLES
from lvlm_ad.runs import ImageScores, Run, current_intervals, image_scores, is_current, read_resamples, read_run

if TYPE_CHECKING:
    from pathlib import Path

_AUROC = "image_auroc"
_OLDER_RULE = "an older version measured it; run the same bench again to get one from the stored answers"
_NO_RESAMPLES = "measured with --resamples 0"
_ONE_CLASS = "no category of its predictions has good and defective images"
UNREADABLE = "its predictions cannot be read; 'lvlm-ad leaderboard --verify' says why"


class Evidence:
    """The image scores of runs, each read when they are first needed.

    Args:
        verified: whether to check every field of a file and not only those that are needed.
    """

    def __init__(self, *, verified: bool = False) -> None:
        self._verified = verified
        self._read: dict[Path, ImageScores | RunError] = {}
        self._images: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def scores(self, run: Run) -> ImageScores:
        """Return a run's image scores.

        Raises:
            RunError: they cannot be read.
        """
        if run.dir not in self._read:
            self._read[run.dir] = self._scores(run)
        found = self._read[run.dir]
        if isinstance(found, RunError):
            raise found
        return found

    def _scores(self, run: Run) -> ImageScores | RunError:
        try:
            found = image_scores(read_run(run.dir) if self._verified and not run.predictions else run)
        except RunError as error:
            return error
        # Runs on the same images share one list of them.
        return ImageScores(self._images.setdefault(found.images, found.images), found.scores, found.costs)

    def metrics(self, run: Run) -> Mapping[str, Any]:
        """Return a run's metrics with intervals of today's rule; "no_interval" says where there is none, and why.

        The intervals of image AUROC follow from the image scores; other intervals of an older rule are left out.
        """
        if is_current(run.metrics):
            return run.metrics
        metrics = current_intervals(run.metrics)
        mean = metrics["mean"]
        older = _OLDER_RULE if run.metrics.get("intervals", {}).get("resamples") else _NO_RESAMPLES
        mean["no_interval"] = {name: older for name, value in mean.items() if value is not None}
        if mean.get(_AUROC) is None:
            return metrics
        try:
            scores = self.scores(run)
        except RunError:
            mean["no_interval"][_AUROC] = UNREADABLE
            return metrics
        estimates = {}
        for name, (labels, at) in scores.by_category().items():
            value = auroc(steps_of(scores.scores[at], labels, ~labels))
            images = CategoryImages(labels, scores.scores[at], None, objects=scores.objects(at))
            estimates[name] = one = estimate_category(images, {_AUROC: value}, 0)[_AUROC]
            if one.interval is not None and name in metrics["categories"]:
                metrics["categories"][name]["interval"] = {_AUROC: list(one.interval)}
        found = estimate_mean(_AUROC, estimates) if estimates else None
        if found is None or found.interval is None:
            mean["no_interval"][_AUROC] = found.reason if found else _ONE_CLASS
        else:
            del mean["no_interval"][_AUROC]
            mean["interval"] = {_AUROC: list(found.interval)}
        return metrics

    def resamples(self, run: Run, metric: str) -> dict[str, Estimate]:
        """Return a metric with its draws on resamples, for each category in which it is defined.

        Runs on the same images have the same resamples. They are read from the run's cache unless runs are verified.

        Raises:
            RunError: the run's files cannot be read, or a category has no resamples.
        """
        if not self._verified and (cached := read_resamples(run, metric, RESAMPLES)):
            return cached
        whole = run if run.predictions else read_run(run.dir)
        found: dict[str, Estimate] = {}
        for name, (indices, images) in measured_categories(whole).items():
            if whole.metrics["categories"].get(name, {}).get(metric) is not None:
                found[name] = run_estimates(whole, name, indices, images, RESAMPLES)[metric]
        if any(one.draws is None or one.images <= 1 for one in found.values()):
            raise RunError(f"{run.dir}: {metric} cannot be computed on resamples.")
        return found
