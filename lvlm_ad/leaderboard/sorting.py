"""Which metrics may order and rank the rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.choice_values import RANKING
from lvlm_ad.runs import METRIC_NAMES, is_metric, reported_of

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

__all__ = ["check_sort"]


def check_sort(metric: str, runs: Sequence[Run]) -> None:
    """Check the name of a metric that shall rank runs.

    Raises:
        ConfigError: there is no such metric; the message names those of the runs, their data sets' own included.

    Example:
        >>> check_sort("choice_accuracy", [])
        >>> check_sort("speed", [])
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: There is no metric 'speed' to sort by. Known: image_ap, ...
    """
    if is_metric(metric) or metric in RANKING:
        return
    known = dict.fromkeys(METRIC_NAMES)
    for run in runs:
        known |= dict.fromkeys((*reported_of(run.metrics), *(RANKING if run.metrics.get("choices") else ())))
    raise ConfigError(f"There is no metric {metric!r:.80} to sort by.{nearest(metric, known)}")
