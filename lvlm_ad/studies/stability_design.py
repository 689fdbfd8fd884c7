"""The conditions of a stability study: one factor at a time about a base that is asked several times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.studies.condition import Condition, StudyDesign, study_name
from lvlm_ad.studies.record import LeftOut
from lvlm_ad.studies.stability_levels import CROSSED, FACTORS, factor_levels

if TYPE_CHECKING:
    from lvlm_ad.evaluate import Plan, RunConfig
    from lvlm_ad.studies.images import StudyImages

__all__ = ["StabilityDesign", "stability_design"]

_OWN_SETTINGS = ("repeat", "numbering", "reference_set")
"""Settings that the study itself sets, so that its base has their defaults."""


@dataclass(frozen=True)
class StabilityDesign:
    """A stability study that can be run.

    Attributes:
        study: the conditions and their images.
        repeats: how often the base is asked, itself included.
        levels: of each factor how many levels are asked.
        cross: the factor whose levels are asked ``repeats`` times, too; "" for none.
        left_out: factors that are not varied, with the reason.
    """

    study: StudyDesign
    repeats: int
    levels: Mapping[str, int]
    cross: str = ""
    left_out: tuple[LeftOut, ...] = field(default=())


def stability_design(
    config: RunConfig,
    images: StudyImages,
    *,
    repeats: int = 3,
    levels: int | Mapping[str, int] = 3,
    factors: Sequence[str] = (),
    cross: str = "",
    name: str = "",
) -> StabilityDesign:
    """Design a study of stability.

    Args:
        config: the base.
        images: the images.
        repeats: how often the base is asked, 2 or more.
        levels: how many levels of each factor are asked, or of each by its name; fewer where a factor has fewer.
        factors: which factors of ``FACTORS``, or "repeat" for none of them; empty: all that the base can vary.
        cross: a factor of which each level is asked ``repeats`` times, for the full components of variance.
        name: the study's; empty: made of model, method and data set.

    Raises:
        ConfigError: a factor does not exist, or was named and cannot be varied; or a number or a setting is wrong.
        PluginError: the model or the method cannot be loaded.
        DataError: the images have no labels.

    Example::

        config = RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec"))
        stability_design(config, chosen_images(config, 100), factors=("marks",)).levels
    """
    named = {*factors, *filter(None, [cross])}
    _check_names(repeats, named, cross)
    base = StudyDesign(name or "stability", config, images, (Condition("base"),))
    plan = base.plan_of(base.conditions[0])
    _check_base(plan)
    conditions = [Condition("base"), *_repeated("repeat", "", {}, repeats)]
    asked: dict[str, int] = {}
    left_out: list[LeftOut] = []
    for factor in FACTORS:
        if factors and factor not in named:
            left_out.append(LeftOut(what=factor, reason="not chosen with --factor"))
            continue
        try:
            found = factor_levels(factor, plan)
        except ConfigError as error:
            if factor in named:
                raise ConfigError(f"The factor {factor} cannot be varied: {error}.") from error
            left_out.append(LeftOut(what=factor, reason=str(error)))
            continue
        most = levels if isinstance(levels, int) else levels.get(factor, 0)
        chosen = found[:most]
        asked[factor] = len(chosen)
        for index, (words, settings) in enumerate(chosen, start=1):
            conditions.append(Condition(f"{factor}-{index}", factor, words, settings))
            if factor == cross:
                conditions += _repeated(f"{factor}-{index}-repeat", CROSSED[factor], settings, repeats, words)
    study = replace(base, name=name or _name_of(plan), conditions=tuple(conditions))
    return StabilityDesign(study, repeats, asked, cross, tuple(left_out))


def _check_names(repeats: int, named: Iterable[str], cross: str) -> None:
    if repeats < 2:  # noqa: PLR2004 - one answer has no spread
        raise ConfigError(f"--repeats takes 2 or more, the base included; got {repeats}.")
    known = ("repeat", *FACTORS)
    for one in named:
        if one not in known:
            raise ConfigError(f"There is no factor {one!r}.{nearest(one, known)}")
    if cross == "repeat":
        raise ConfigError("--cross takes a factor that varies something, such as paraphrase, and not repeat.")


def _check_base(plan: Plan) -> None:
    """Refuse a base that varies what the study is to vary."""
    for setting in _OWN_SETTINGS:
        if getattr(plan.protocol, setting):
            raise ConfigError(f"A study of stability sets {setting} itself; leave --set {setting}=... out.")


def _repeated(name: str, factor: str, settings: Mapping[str, Any], repeats: int, words: str = "") -> list[Condition]:
    """Return conditions that ask the same question again."""
    return [
        Condition(
            f"{name}-{index}",
            factor or "repeat",
            f"{words}, asked again" if words else f"asked again, no. {index}",
            {**settings, "repeat": index},
        )
        for index in range(1, repeats)
    ]


def _name_of(plan: Plan) -> str:
    model, dataset = plan.models[0], plan.dataset
    return study_name("stability", model.preset.name, model.label, plan.method_name, dataset.name, dataset.split)
