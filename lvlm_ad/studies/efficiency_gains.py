"""Gains and prices of closer looks and of votes, over one question about regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from lvlm_ad.evaluate.groups import SIZES
from lvlm_ad.studies.efficiency_design import REGIONS, ZOOM
from lvlm_ad.studies.efficiency_fronts import cost_per_point
from lvlm_ad.studies.efficiency_record import PairFigures, PairGroup, VoteGains
from lvlm_ad.studies.efficiency_rows import IMAGE, PIXEL
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.stability_repeats import check_repeats, vote_figures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.studies.costs import Costs
    from lvlm_ad.studies.efficiency_design import Combination
    from lvlm_ad.studies.efficiency_rows import Quality
    from lvlm_ad.studies.readings import Readings

__all__ = ["vote_gains", "zoom_figures"]

_AVERAGED = "mean"
"""How the method votes puts answers together."""


def zoom_figures(
    readings: Readings, quality: Quality, usd: Costs, combinations: Mapping[int, Combination]
) -> list[PairFigures]:
    """Compare closer looks with the method regions, by size of the defects and by category.

    Args:
        readings: the answers.
        quality: the conditions' metrics.
        usd: what images cost.
        combinations: column -> what it measures.

    Returns:
        One for each condition with closer looks whose method regions, with the same model and size, is compared, too:
        gains in 0..1, differences of prices in USD per image.
    """
    plain = {
        (one.model, one.image_size): at for at, one in combinations.items() if (one.method, one.votes) == (REGIONS, 1)
    }
    figures = []
    for first, one in combinations.items():
        second = plain.get((one.model, one.image_size))
        if one.method != ZOOM or second is None or quality.why_not(first) or quality.why_not(second):
            continue
        groups = [_group(quality, usd, (first, second), *group) for group in _groups(readings, quality, second)]
        names = [readings.conditions[at].name for at in (first, second)]
        figures.append(PairFigures(first=names[0], second=names[1], groups=groups))
    return figures


def vote_gains(
    readings: Readings, quality: Quality, usd: Costs, repeats: Mapping[str, Sequence[str]]
) -> list[VoteGains]:
    """Compute what the mean of several answers gives, by the number of answers.

    Args:
        readings: the answers.
        quality: the conditions' metrics.
        usd: what images cost.
        repeats: condition -> the conditions that ask the same again.

    Returns:
        One for each condition with two or more answers to half of the images; see ``vote_figures``.

    Raises:
        ConfigError: a repeat has the same stored answer as another one.
    """
    columns = {one.name: at for at, one in enumerate(readings.conditions)}
    gains = []
    for name, again in repeats.items():
        answers = [columns[one] for one in (name, *again) if one in columns]
        answers = [at for at in answers if 2 * readings.missing[at] <= len(readings.ids)]
        if len(answers) < 2 or quality.why_not(columns.get(name, -1)):  # noqa: PLR2004 - one answer has no votes
            continue
        check_repeats(readings, answers)
        found = [one for one in vote_figures(readings, answers, usd) if one.how == _AVERAGED]
        gains.append(VoteGains(condition=name, votes=found))
    return gains


Kind = Literal["all", "size", "category"]
Group = tuple[Kind, str, "NDArray[np.intp]", "NDArray[np.intp]"]
"""Kind, name, the images that are measured, and those whose price counts."""


def _groups(readings: Readings, quality: Quality, column: int) -> list[Group]:
    """Return all images, those with defects of each size beside all good ones, and those of each category."""
    images, labels = quality.images, readings.labels[quality.images]
    sizes = quality.defect_fractions(column)
    groups: list[Group] = [("all", "", images, images)]
    low = 0.0
    for name, high in SIZES.items():
        inside = labels & (sizes >= low) & (sizes < high)
        low = high
        if inside.any():
            groups.append(("size", name, images[inside | ~labels], images[inside]))
    names = readings.categories[images]
    categories = list(dict.fromkeys(names.tolist()))
    if len(categories) > 1:
        groups += [("category", name, images[names == name], images[names == name]) for name in categories]
    return groups


def _group(
    quality: Quality,
    usd: Costs,
    pair: tuple[int, int],
    kind: Kind,
    name: str,
    images: NDArray[np.intp],
    priced: NDArray[np.intp],
) -> PairGroup:
    gain = quality.difference(*pair, IMAGE, images)
    extra = usd.difference(*pair, priced)
    price = Number(value=None, reason=extra.reason) if extra.value is None else cost_per_point(extra.value, gain)
    return PairGroup(
        kind=kind,
        name=name,
        anomalous=quality.anomalous(images),
        image_auroc=gain,
        pixel_ap=quality.difference(*pair, PIXEL, images),
        extra_usd=extra,
        usd_per_point=price,
    )
