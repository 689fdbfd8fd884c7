"""The conditions of a grounding study: methods, resolutions, corruptions, and the screen for contamination."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import image_size
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.evaluate.bench import without_key
from lvlm_ad.evaluate.views import checked_model
from lvlm_ad.plugins import build
from lvlm_ad.plugins.methods import method_class
from lvlm_ad.studies.condition import Condition, StudyDesign, study_name
from lvlm_ad.studies.copies import corrupted_copies, mirrored_copies
from lvlm_ad.studies.corruptions import CORRUPTIONS, SEVERITIES
from lvlm_ad.studies.record import LeftOut

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset
    from lvlm_ad.evaluate import Plan, RunConfig
    from lvlm_ad.log import Progress
    from lvlm_ad.studies.images import StudyImages

__all__ = ["PARTS", "SIZES", "GroundingDesign", "copies_name", "grounding_design"]

PARTS = ("methods", "losses", "resolution", "corruptions", "contamination")
"""What a grounding study can measure."""

SIZES = (384, 512, 768, 1024, 2048)
"""Sides of images in pixels, for the curve over resolution, as far as the images themselves are as large."""

_VISUALS = ("marked", "image+marked", "image")
"""Pictures of numbered regions, from marks alone to none."""

_OTHER_METHODS = ("score", "cells", "boxes", "zoom", "each")

_NEVER_ASKED = 10**9
"""The number of a repeat that no study asks, so no answer of it is stored."""

Copies = Callable[["Dataset", Path, "Progress | None"], "Dataset"]
"""Writes changed copies of images into a folder and returns them."""

OwnSettings = Callable[[str], dict[str, Any]]
"""Returns the settings that belong to a method alone."""


@dataclass(frozen=True)
class GroundingDesign:
    """A grounding study that can be run.

    Attributes:
        study: the conditions and their images; those of copied images have no data set yet, see ``with_copies``.
        parts: what is measured, of ``PARTS``.
        copies: condition -> how its images are made.
        left_out: what is not measured, with the reason.
    """

    study: StudyDesign
    parts: tuple[str, ...]
    copies: Mapping[str, Copies] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    def with_copies(self, progress: Progress | None = None) -> StudyDesign:
        """Write the changed images that are not there yet, and return the study with them."""
        conditions = [self._copied(one, progress) if one.name in self.copies else one for one in self.study.conditions]
        return replace(self.study, conditions=tuple(conditions))

    def priced_as(self, condition: Condition) -> Condition:
        """Return a condition that can be priced without writing images.

        In place of copies that are not written yet it is a repeat of the base without stored answers.

        Args:
            condition: one of the study.
        """
        if condition.name not in self.copies:
            return condition
        folder = self._folder(condition)
        if folder.is_dir() and len(list(folder.glob("*.png"))) >= len(self.study.images.dataset):
            return self._copied(condition, None)
        # A repeat asks the same, and has no answers yet.
        return replace(condition, name="copies", settings={**condition.settings, "repeat": _NEVER_ASKED})

    def first_look(self) -> str | None:
        """Return the condition that asks what closer looks, the method zoom, ask first; None if there is none."""
        names = [one.name for one in self.study.conditions]
        if self.study.config.method == "regions":
            return "base" if "zoom" in names else None
        first = f"regions-{self.study.plan_of(self.study.conditions[0]).protocol.visual}"
        return first if {"zoom", first} <= set(names) else None

    def _copied(self, condition: Condition, progress: Progress | None) -> Condition:
        copies = self.copies[condition.name](self.study.images.dataset, self._folder(condition), progress)
        return replace(condition, dataset=copies)

    def _folder(self, condition: Condition) -> Path:
        return self.study.folder / "images" / condition.name


def grounding_design(
    config: RunConfig,
    images: StudyImages,
    *,
    parts: Sequence[str] = PARTS,
    sizes: Sequence[int] = (),
    severities: Sequence[int] = SEVERITIES,
    name: str = "",
) -> GroundingDesign:
    """Design a grounding study. What the model cannot be asked is left out, with the reason.

    Options of a method and the prompt that ``config`` sets belong to the conditions with that method.

    Args:
        config: the base.
        images: the images.
        parts: what to measure, of ``PARTS``.
        sizes: sides in pixels, for "resolution"; the base's own is always there. Empty: those of ``SIZES`` up to the
            larger side of the largest image.
        severities: for "corruptions", of ``SEVERITIES``.
        name: the study's; empty: made of model, method and data set.

    Raises:
        ConfigError: a part, size, severity, name or setting is wrong.
        PluginError: the model or a method cannot be loaded.
        DataError: the images have no labels.

    Example::

        config = RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec"))
        grounding_design(config, chosen_images(config, 100), parts=("methods",)).left_out
    """
    _check(parts, sizes, severities)
    shared = _without_own(config)
    own = partial(_own_settings, config)
    base = Condition("base", "", "", own(config.method))
    study = StudyDesign(name or "grounding", shared, images, (base,))
    plan = study.plan_of(base)
    base = replace(base, level=_method_words(plan))
    wanted: list[tuple[Condition, Copies | None]] = []
    if "methods" in parts:
        wanted += [(one, None) for one in _methods(plan, own)]
    elif "losses" in parts and not _names_regions(plan):
        wanted.append((_regions(plan, "marked", own), None))
    too_large: list[LeftOut] = []
    if "resolution" in parts:
        sizes, too_large = (sizes, []) if sizes else _sizes_of(images.dataset)
        wanted += [(one, None) for one in _resolutions(plan, sizes, base.settings)]
    if "contamination" in parts:
        wanted += _contamination(base.settings)
    if "corruptions" in parts:
        wanted += _corrupted(severities, base.settings)
    conditions, left_out = _possible(study, plan, [one for one, _ in wanted])
    study = replace(study, name=name or _name_of(plan), conditions=(base, *conditions))
    copies = {one.name: how for one, how in wanted if how is not None}
    missing = [LeftOut(what=one, reason="not chosen with --part") for one in PARTS if one not in parts]
    if plan.protocol.shots and copies:
        left_out.append(LeftOut(what="changed reference images", reason="references are shown as they are"))
    return GroundingDesign(study, tuple(parts), copies, (*left_out, *too_large, *missing))


def _check(parts: Sequence[str], sizes: Sequence[int], severities: Sequence[int]) -> None:
    for one in parts:
        if one not in PARTS:
            raise ConfigError(f"A grounding study has no part {one!r}.{nearest(one, PARTS)}")
    if not parts:
        raise ConfigError(f"A grounding study needs a part: {', '.join(PARTS)}.")
    for severity in severities:
        if severity not in SEVERITIES:
            raise ConfigError(f"--severity takes a whole number from 1 to {SEVERITIES[-1]}; got {severity}.")
    if sizes and "resolution" not in parts:
        raise ConfigError(
            "--image-size names sizes for --part resolution; add that part, or leave it out. The base's own size is "
            "--set image_size=N."
        )
    if tuple(severities) != SEVERITIES and "corruptions" not in parts:
        raise ConfigError("--severity is for --part corruptions; add that part, or leave it out.")
    for size in sizes:
        if not 16 <= size <= 8192:  # noqa: PLR2004 - as of a protocol
            raise ConfigError(f"--image-size takes a number of pixels from 16 to 8192; got {size}.")


def _methods(plan: Plan, own: OwnSettings) -> Iterator[Condition]:
    """Return all methods but the base's own, at its size, so that nothing else differs."""
    for visual in _VISUALS:
        if (plan.method_name, plan.protocol.visual) != ("regions", visual):
            yield _regions(plan, visual, own)
    for name in _OTHER_METHODS:
        if name != plan.method_name:
            settings = {**own(name), "image_size": plan.protocol.image_size}
            yield Condition(name, "method", name, settings, name)


def _regions(plan: Plan, visual: str, own: OwnSettings) -> Condition:
    settings = {**own("regions"), "image_size": plan.protocol.image_size, "visual": visual}
    return Condition(f"regions-{visual}", "method", f"regions, {visual}", settings, "regions")


def _sizes_of(images: Dataset) -> tuple[list[int], list[LeftOut]]:
    """Return the usual sizes that show what the images have, and those that would only enlarge the largest image."""
    largest = max(max(image_size(sample.image_path)) for sample in images)
    reason = f"the largest image has {largest} px; ask for it with --image-size"
    too_large = [LeftOut(what=f"size-{size}", reason=reason) for size in SIZES if size > largest]
    return [size for size in SIZES if size <= largest], too_large


def _resolutions(plan: Plan, sizes: Sequence[int], own: Mapping[str, Any]) -> Iterator[Condition]:
    for size in sorted(set(sizes) - {plan.protocol.image_size}):
        yield Condition(f"size-{size}", "resolution", f"{size} px", {**own, "image_size": size})


def _contamination(own: Mapping[str, Any]) -> Iterator[tuple[Condition, Copies | None]]:
    """Return the conditions under which a model that answers from the picture alone would guess, or do as before."""
    factor = "contamination"
    yield Condition("without-image", factor, "no image", {**own, "withhold": "image"}), None
    yield Condition("without-name", factor, "no name of the object", {**own, "withhold": "name"}), None
    yield Condition("mirrored", factor, "mirrored images", own), mirrored_copies


def copies_name(kind: str, severity: int) -> str:
    """Return the name of the condition with images of one corruption and severity.

    Example:
        >>> copies_name("blur", 3)
        'blur-3'
    """
    return f"{kind}-{severity}"


def _corrupted(severities: Sequence[int], own: Mapping[str, Any]) -> Iterator[tuple[Condition, Copies | None]]:
    for kind in CORRUPTIONS:
        for severity in sorted(set(severities)):

            def copies(
                dataset: Dataset, folder: Path, progress: Progress | None, kind: str = kind, severity: int = severity
            ) -> Dataset:
                return corrupted_copies(dataset, kind, severity, folder, progress)

            yield Condition(copies_name(kind, severity), "corruption", f"{kind}, severity {severity}", own), copies


def _possible(study: StudyDesign, base: Plan, conditions: Iterable[Condition]) -> tuple[list[Condition], list[LeftOut]]:
    """Split conditions into those under which the model can be asked, and the others with the reason.

    Raises:
        ConfigError: the model cannot be asked as the base asks.
    """
    (model,) = base.models
    backend = build(without_key(model))
    try:
        checked_model(base, model, backend)
        possible, left_out = [], []
        for one in conditions:
            try:
                checked_model(study.plan_of(one), model, backend)
                possible.append(one)
            except ConfigError as error:
                left_out.append(LeftOut(what=one.name, reason=str(error).rstrip(".")))
        return possible, left_out
    finally:
        backend.close()


def _without_own(config: RunConfig) -> RunConfig:
    """Return the base without settings that belong to one method alone."""
    names = {"regions", *_OTHER_METHODS, config.method}
    own = {"prompt", "numbering"}.union(*(method_class(one)[0].Options.model_fields for one in names))
    return replace(config, settings={key: value for key, value in config.settings.items() if key not in own})


def _own_settings(config: RunConfig, method: str) -> dict[str, Any]:
    """Return the settings of ``config`` that belong to a method; the prompt also to others that ask the same."""
    cls, of_base = method_class(method)[0], method_class(config.method)[0]
    own = set(cls.Options.model_fields)
    own |= {"prompt"} if cls.prompt == of_base.prompt else set()
    own |= {"numbering"} if method == config.method else set()
    return {key: value for key, value in config.settings.items() if key in own}


def _names_regions(plan: Plan) -> bool:
    return plan.method.needs_regions and plan.method.places == "regions"


def _method_words(plan: Plan) -> str:
    return f"regions, {plan.protocol.visual}" if plan.method_name == "regions" else plan.method_name


def _name_of(plan: Plan) -> str:
    model, dataset = plan.models[0], plan.dataset
    return study_name("grounding", model.preset.name, model.label, plan.method_name, dataset.name, dataset.split)
