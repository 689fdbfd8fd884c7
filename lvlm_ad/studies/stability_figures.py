"""All figures of a stability study, from its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.errors import MetricError
from lvlm_ad.studies.costs import costs_of
from lvlm_ad.studies.maps import MapDifferences
from lvlm_ad.studies.record import LeftOut
from lvlm_ad.studies.stability_factors import answer_groups, component_figures, factor_figures, position_figures
from lvlm_ad.studies.stability_levels import FACTORS
from lvlm_ad.studies.stability_record import (
    AurocNoise,
    FactorFigures,
    PositionFigures,
    StabilityFigures,
)
from lvlm_ad.studies.stability_repeats import (
    asking_difference,
    asking_sd,
    check_repeats,
    metric_spreads,
    repeat_figures,
    vote_figures,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.studies.maps import StudyMaps
    from lvlm_ad.studies.readings import Readings

__all__ = ["stability_figures"]


def stability_figures(
    readings: Readings, maps: StudyMaps, cross: str = "", threshold: float = 0.5, seed: int = 0
) -> StabilityFigures:
    """Compute the figures of the conditions that have a run.

    Args:
        readings: the answers; the base is the first column.
        maps: the maps.
        cross: the factor whose levels were asked several times; "" for none.
        threshold: an image is called anomalous if its score is at least this.
        seed: of draws and shuffles.

    Returns:
        Conditions without a run are left out; figures that could not be computed are in ``undefined`` with the reason.

    Raises:
        ConfigError: the method asked the same question in each repeat.

    Example, with the results of a study::

        readings = Readings.of(run_study(design))
        with StudyMaps.opened(readings) as maps:
            stability_figures(readings, maps).repeats["all"].flip_rate
    """
    repeated = [0, *readings.columns("repeat")]
    groups = answer_groups(readings, cross, repeated)
    for group in groups:
        check_repeats(readings, group)
    differences = MapDifferences(maps)
    factors = [
        factor_figures(readings, differences, one, repeated, threshold) for one in FACTORS if readings.columns(one)
    ]
    undefined: list[LeftOut] = []
    positions: PositionFigures | None = None
    try:
        positions = position_figures(readings, seed)
    except MetricError as error:
        undefined.append(LeftOut(what="positions", reason=str(error)))
    components = component_figures(readings, cross, groups) if cross else None
    if cross and components is None:
        undefined.append(LeftOut(what="components", reason=f"no level of {cross} was asked {len(repeated)} times"))
    return StabilityFigures(
        threshold=threshold,
        repeats=repeat_figures(readings, repeated, threshold),
        map_test_retest=differences.between(repeated),
        metrics=metric_spreads(readings, repeated),
        auroc=_noise(readings, repeated, factors, seed),
        factors=factors,
        components=components,
        votes=vote_figures(readings, repeated, costs_of(readings)["usd"]),
        positions=positions,
        undefined=undefined,
    )


def _noise(readings: Readings, repeated: list[int], factors: Sequence[FactorFigures], seed: int) -> AurocNoise:
    """Compare what asking does to image AUROC with what the choice of images does."""
    sd = asking_sd(readings, repeated, seed)
    asking = asking_difference(sd)
    changes = [
        (abs(level.auroc_change), f"{one.factor} ({level.level})")
        for one in factors
        for level in one.levels
        if level.auroc_change is not None
    ]
    largest, words = max(changes, default=(None, ""))
    ends = readings.runs[0].metrics["mean"].get("interval", {}).get("image_auroc")
    return AurocNoise(
        asking_sd=sd,
        asking=asking,
        sampling=(ends[1] - ends[0]) / 2 if ends else None,
        factor=largest,
        level=words,
    )
