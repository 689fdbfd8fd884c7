"""What a study asks: one base, and conditions that differ from it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import Plan, RunConfig, resolve

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset
    from lvlm_ad.studies.images import StudyImages

__all__ = ["Condition", "StudyDesign", "study_name"]

_LONGEST_NAME = 100
"""Characters of a study's name: names of files within its folder need some, too."""


@dataclass(frozen=True)
class Condition:
    """One way of asking about the images of a study; what is not set is as in the base.

    Attributes:
        name: its name, unique in the study, such as "resolution-1024".
        factor: what it varies, such as "resolution"; "" for the base itself.
        level: how, in words, such as "1024 px".
        settings: settings as of ``--set``, over those of the base.
        method: another method.
        model: another model.
        dataset: other images, such as blurred copies; their ids must be those of the study.

    Example:
        >>> Condition("large", "resolution", "1024 px", {"image_size": 1024}).is_base
        False
    """

    name: str
    factor: str = ""
    level: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    method: str | None = None
    model: str | None = None
    dataset: Dataset | None = None

    @property
    def is_base(self) -> bool:
        """Whether it is the base."""
        return not self.factor


@dataclass(frozen=True)
class StudyDesign:
    """A base, the images and the conditions, in the order in which they are asked.

    Attributes:
        name: the study's name, and that of its folder.
        config: the base: one model, data set, method, settings, limits. Its runs go into ``config.out``/studies/NAME;
            answers and pictures stay in ``config.out``, so that they are shared with bench.
        images: the images.
        conditions: the base first.

    Raises:
        ConfigError: there is not exactly one model; the name is no plain name of a folder; the base is not the first
            condition; two conditions have the same name; or the images of a condition are not those of the study.
    """

    name: str
    config: RunConfig
    images: StudyImages
    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        """Refuse a definition whose study would be wrong: two models, no base, names or images that clash."""
        if len(self.config.models) != 1:
            raise ConfigError(f"A study asks exactly one model; got {len(self.config.models)}. Give one --model.")
        _check_name(self.name)
        if not self.conditions or not self.conditions[0].is_base:
            raise ConfigError(f"The study {self.name} must begin with its base.")
        name, count = Counter(one.name for one in self.conditions).most_common(1)[0]
        if count > 1:
            raise ConfigError(f"The study {self.name} has {count} conditions named {name!r}.")
        ids = [sample.id for sample in self.images.dataset]
        for one in self.conditions:
            if one.dataset is not None and [sample.id for sample in one.dataset] != ids:
                raise ConfigError(f"The condition {one.name} has other images than the study {self.name}.")

    @property
    def folder(self) -> Path:
        """The folder of the study's runs and of ``study.json``."""
        return self.config.out / "studies" / self.name

    def config_of(self, condition: Condition) -> RunConfig:
        """Return the configuration of a condition's bench."""
        return replace(
            self.config,
            models=self.config.models if condition.model is None else condition.model,
            method=self.config.method if condition.method is None else condition.method,
            settings={**self.config.settings, **condition.settings},
            # The images are chosen already, and one without an answer is left out, never scored 0.
            categories=(),
            on_failure="exclude",
            out=self.folder,
            stores=self.config.stores_folder,
            reference_rows=False,
        )

    def plan_of(self, condition: Condition) -> Plan:
        """Look up every name of a condition.

        Raises:
            ConfigError: a name or a setting is wrong, or the model is no chat model.
            PluginError: a plugin cannot be loaded.
            DataError: the images have no labels.
        """
        try:
            plan = resolve(self.config_of(condition), condition.dataset or self.images.dataset)
        except ConfigError as error:
            if condition.is_base:
                raise
            raise ConfigError(f"{condition.factor} = {condition.level}: {error}") from error
        for model in plan.models:
            if model.preset.kind != "backend":
                raise ConfigError(f"A study asks a chat model; {model.preset.name} is a baseline, which is not asked.")
        return replace(plan, whole=plan.whole and self.images.whole)


def study_name(*parts: str) -> str:
    """Return the name of a study that the user gave none, which is also that of its folder.

    Args:
        parts: what tells it from other studies; empty ones are left out.

    Example:
        >>> study_name("stability", "gpt-4o", "regions", "my set", "")
        'stability-gpt-4o-regions-my-set'
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, parts)))
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}-{digest}"


def _check_name(name: str) -> None:
    """Refuse a name that is no plain name of a folder, or that a terminal cannot show."""
    plain = name and not name.startswith(".") and not set("/\\") & set(name) and name.isprintable()
    if not plain or not name.strip() or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"--name takes the name of a folder: 1 to {_LONGEST_NAME} characters without / and \\, the first no dot; "
            f"got {name!r:.120}."
        )
