"""The conditions of an efficiency study: every model with every method, image size and number of votes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import find_model
from lvlm_ad.plugins.methods import load_method
from lvlm_ad.plugins.own import title_of
from lvlm_ad.presets import Protocol
from lvlm_ad.studies.condition import Condition, StudyDesign, study_name
from lvlm_ad.studies.record import LeftOut

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.studies.images import StudyImages

__all__ = ["REGIONS", "VOTES", "ZOOM", "Combination", "EfficiencyDesign", "efficiency_design"]

REGIONS, ZOOM, VOTES = "regions", "zoom", "votes"
"""Methods whose first question about an image is the same."""

_OWN_SETTINGS = {"repeat", "votes", "vary"}
"""What the study sets itself."""

_NAMED_MODELS = 3
"""A study's name has the names of this many models."""


@dataclass(frozen=True)
class Combination:
    """One way of inspecting images, whose quality and price are measured.

    Attributes:
        model: the name of the model's preset.
        method: the method's name, or file.
        image_size: the images' side in pixels; None: the protocol's.
        votes: how many answers are averaged.
        label: which of the preset's models is asked, as in ``Model``; empty: its own.
    """

    model: str
    method: str
    image_size: int | None = None
    votes: int = 1
    label: str = ""

    @property
    def title(self) -> str:
        """The model's name in tables."""
        return f"{self.model} ({self.label})" if self.label else self.model

    @property
    def name(self) -> str:
        """The name of its condition."""
        size = [] if self.image_size is None else [str(self.image_size)]
        votes = [] if self.votes == 1 else [f"votes-{self.votes}"]
        return "-".join([self.model, title_of(self.method), *size, *votes])

    @property
    def words(self) -> str:
        """What it is, for sentences.

        Example:
            >>> Combination("gpt-4o", "regions", 512, 3).words
            'gpt-4o with method regions at 512 px, mean of 3 answers'
        """
        size = "" if self.image_size is None else f" at {self.image_size} px"
        votes = "" if self.votes == 1 else f", mean of {self.votes} answers"
        return f"{self.title} with method {title_of(self.method)}{size}{votes}"


@dataclass(frozen=True)
class EfficiencyDesign:
    """An efficiency study that can be run.

    Attributes:
        study: the conditions and their images.
        combinations: condition -> the combination that it measures, in the order of the study.
        repeats: condition -> the conditions that ask its questions again, for the gain of votes.
        left_out: combinations that cannot be asked, with the reason.
    """

    study: StudyDesign
    combinations: Mapping[str, Combination]
    repeats: Mapping[str, Sequence[str]]
    left_out: tuple[LeftOut, ...] = ()

    def asked_before(self, name: str) -> str | None:
        """Return the earlier condition with which a condition shares most questions; None if it shares none.

        A closer look and votes begin with the question of the method regions, and more votes with those of fewer.

        Args:
            name: the condition, of ``combinations``.
        """
        own = self.combinations[name]
        if own.method not in {REGIONS, ZOOM}:
            return None
        # A closer look asks the question of regions once, as one vote does; votes also ask those of fewer votes.
        below = own.votes if own.method == REGIONS else own.votes + 1
        earlier = [
            other
            for other in self.combinations.values()
            if (other.model, other.image_size, other.method) == (own.model, own.image_size, REGIONS)
            and other.votes < below
        ]
        return max(earlier, key=lambda other: other.votes).name if earlier else None


def efficiency_design(
    config: RunConfig,
    images: StudyImages,
    *,
    methods: Sequence[str] = (),
    image_sizes: Sequence[int] = (),
    votes: Sequence[int] = (1,),
    name: str = "",
) -> EfficiencyDesign:
    """Design a study of efficiency.

    Closer looks and votes begin with the question of the method regions, so that this method is measured beside them
    at no further cost.

    Args:
        config: the models, the data set and the settings. A setting that only some of the models or methods have holds
            for these.
        images: the images.
        methods: how images are inspected; empty: as ``config`` says.
        image_sizes: sides in pixels; empty: the protocol's.
        votes: how many answers are averaged; only the method regions can have more than one. Empty: 1.
        name: the study's; empty: made of models and data set.

    Raises:
        ConfigError: no model is named, a number is below 1, or a setting is one that the study sets itself.
        PluginError: a model or a method cannot be loaded.

    Example::

        config = RunConfig(models=["gpt-4o", "gpt-4o-mini"], dataset="mvtec", data=Path("mvtec"))
        efficiency_design(config, chosen_images(config, 100), votes=(1, 3)).combinations
    """
    methods = tuple(dict.fromkeys(methods or (config.method,)))
    _check(config, image_sizes, votes)
    models = {one: find_model(one, dict(config.settings)) for one in dict.fromkeys(config.models)}
    names = {one: (model.preset.name, model.label) for one, (model, _) in models.items()}
    asked, left_out = _with_votes(methods, sorted(set(votes)) or [1])
    own = _OwnSettings(config.settings, {one: known for one, (_, known) in models.items()}, {*methods, REGIONS, VOTES})
    conditions: list[Condition] = []
    combinations: dict[str, Combination] = {}
    repeats: dict[str, Sequence[str]] = {}
    for model, size in product(names, dict.fromkeys(image_sizes) or (None,)):
        for method, count in asked:
            one = Combination(names[model][0], method, size, count, names[model][1])
            conditions.append(_condition(one, model, own))
            combinations[one.name] = one
        plain = Combination(names[model][0], REGIONS, size, label=names[model][1])
        again = [_again(plain, model, own, index) for index in range(1, max(count for _, count in asked))]
        repeats[plain.name] = [one.name for one in again]
        conditions += again
    base = replace(conditions[0], factor="")
    config = replace(config, models=config.models[:1], settings=own.shared)
    study = StudyDesign(name or _name_of(list(names.values()), images), config, images, (base, *conditions[1:]))
    return EfficiencyDesign(study, combinations, repeats, left_out)


def _check(config: RunConfig, image_sizes: Sequence[int], votes: Sequence[int]) -> None:
    if not config.models:
        raise ConfigError("A study of efficiency compares models: name one or more as --model.")
    for option, values in (("--image-size", image_sizes), ("--votes", votes)):
        if wrong := [one for one in values if one < 1]:
            raise ConfigError(f"{option} takes 1 or more; got {wrong[0]}.")
    if taken := _OWN_SETTINGS & config.settings.keys():
        raise ConfigError(f"A study of efficiency sets {min(taken)} itself; leave --set {min(taken)}=... out.")
    if image_sizes and "image_size" in config.settings:
        raise ConfigError("The images' size is given twice; leave --set image_size=... or --image-size out.")


def _with_votes(methods: Sequence[str], votes: Sequence[int]) -> tuple[list[tuple[str, int]], tuple[LeftOut, ...]]:
    """Return methods with numbers of votes, regions first, and what cannot be asked.

    Raises:
        ConfigError: nothing is left, or the method votes is named.
    """
    if VOTES in methods:
        raise ConfigError("Votes are asked with --votes 3, not with --method votes.")
    several = [count for count in votes if count > 1]
    others = [one for one in methods if one != REGIONS]
    asked = [(one, 1) for one in others if 1 in votes]
    if REGIONS in methods:
        asked = [*((REGIONS, count) for count in sorted({1, *votes})), *asked]
    elif ZOOM in methods:
        asked = [(REGIONS, 1), *asked]
    reason = "only answers of --method regions can be averaged"
    left_out = [LeftOut(what=f"{one}, mean of {count} answers", reason=reason) for one in others for count in several]
    if not asked:
        raise ConfigError(f"--votes {several[0]} needs --method regions: {reason}.")
    return asked, tuple(left_out)


class _OwnSettings:
    """The settings of each combination: those of its model, its method and of all.

    Args:
        settings: as the user gave them.
        models: model -> the settings that it has.
        methods: the methods that are asked.

    Attributes:
        shared: the settings that belong to no model or method, such as those of the protocol.
    """

    def __init__(self, settings: Mapping[str, Any], models: Mapping[str, set[str]], methods: Iterable[str]) -> None:
        self._settings, self._models = settings, models
        self._methods = {one: load_method(one, settings)[1] for one in methods}
        special = set().union(*models.values(), *self._methods.values()) - set(Protocol.model_fields)
        self.shared = {name: value for name, value in settings.items() if name not in special}

    def of(self, model: str, method: str) -> dict[str, Any]:
        """Return the settings that only this model or this method has."""
        known = (self._models[model] | self._methods[method]) - self.shared.keys()
        return {name: value for name, value in self._settings.items() if name in known}


def _condition(one: Combination, model: str, own: _OwnSettings) -> Condition:
    method = VOTES if one.votes > 1 else one.method
    settings = own.of(model, method) | ({} if one.image_size is None else {"image_size": one.image_size})
    settings |= {"votes": one.votes} if one.votes > 1 else {}
    return Condition(one.name, "combination", one.words, settings, method, model)


def _again(one: Combination, model: str, own: _OwnSettings, index: int) -> Condition:
    """Return a condition with one of the answers of which votes are the mean; nothing new is asked."""
    condition = _condition(one, model, own)
    settings = {**condition.settings, "repeat": index}
    level = f"{one.words}, answer {index + 1}"
    return replace(condition, name=f"{one.name}-answer-{index + 1}", factor="repeat", level=level, settings=settings)


def _name_of(models: Sequence[tuple[str, str]], images: StudyImages) -> str:
    rest = [f"and-{len(models) - _NAMED_MODELS}-more"] if len(models) > _NAMED_MODELS else []
    dataset = images.dataset
    return study_name("efficiency", *chain.from_iterable(models[:_NAMED_MODELS]), *rest, dataset.name, dataset.split)
