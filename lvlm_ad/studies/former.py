"""Compares a study with what its folder holds: it may continue or extend that, and never replaces another one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, listed
from lvlm_ad.evaluate.bench import without_key
from lvlm_ad.plugins import build
from lvlm_ad.presets.models import Price
from lvlm_ad.runs import read_run
from lvlm_ad.studies.recommend_record import RECOMMEND_FILE, Recommendation
from lvlm_ad.studies.record import STUDY_FILE, Study

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvlm_ad.backend import Backend
    from lvlm_ad.datasets import Dataset
    from lvlm_ad.evaluate import Plan
    from lvlm_ad.plugins import Model
    from lvlm_ad.runs import Run
    from lvlm_ad.studies.condition import StudyDesign

__all__ = ["RECOMMENDATION", "refuse_other_study"]


RECOMMENDATION = "recommendation"
"""The kind of a folder that ``recommend`` wrote."""


@dataclass(frozen=True)
class _Former:
    """What the folder of a study holds.

    Attributes:
        kind: which study, or ``RECOMMENDATION``.
        seed: that of its images.
        runs: condition -> the folder of its run; conditions that were not asked are left out.
        settings: condition -> its settings; empty where they are not recorded.
        base: the condition that was asked about all images of the study.
    """

    kind: str
    seed: int
    runs: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]]
    base: str

    @classmethod
    def read(cls, folder: Path) -> _Former | None:
        """Read a folder; None if it holds neither a study nor a recommendation."""
        if (folder / STUDY_FILE).exists():
            study = Study.read(folder)
            asked = {one.name: one for one in study.conditions if one.run is not None}
            runs = {name: str(one.run) for name, one in asked.items()}
            settings = {name: one.settings for name, one in asked.items()}
            base = next((name for name, one in asked.items() if not one.factor), "")
            return cls(study.kind, study.seed, runs, settings, base)
        if (folder / RECOMMEND_FILE).exists():
            found = Recommendation.read(folder)
            runs = {one.name: one.run for one in found.candidates if one.run is not None}
            longest = max(found.candidates, key=lambda one: one.images, default=None)
            return cls(RECOMMENDATION, found.seed, runs, {}, "" if longest is None else longest.name)
        return None


def refuse_other_study(kind: str, design: StudyDesign) -> frozenset[str]:
    """Refuse a study or a recommendation whose folder holds another one, before anything is asked.

    The same one is continued. More images and more conditions extend it; prices may change.

    Args:
        kind: which study, such as "stability", or ``RECOMMENDATION``.
        design: the study that is to be run.

    Returns:
        The names of the conditions that the folder has a run of.

    Raises:
        ConfigError: the folder holds a study of another kind; or one of this kind with another model, other settings,
            or with conditions or images that this one does not have.
        RunError: what the folder holds is damaged.
    """
    former = _Former.read(design.folder)
    if former is not None and (why := _difference(kind, design, former)):
        held = RECOMMENDATION if former.kind == RECOMMENDATION else "study"
        raise ConfigError(
            f"{design.folder} holds another {held}: {why}. Give this one a name of its own (--name; from Python, the "
            "option name)."
        )
    return frozenset(() if former is None else former.runs)


def _difference(kind: str, design: StudyDesign, former: _Former) -> str:
    """Return in what a study differs from the one that its folder holds; empty if it continues or extends that."""
    if former.kind != kind:
        return f"its kind is {former.kind!r:.60}, not {kind!r}"
    if former.seed != design.config.seed:
        return f"its seed is {former.seed}, not {design.config.seed}"
    ours = {one.name: one.settings for one in design.conditions}
    if lost := [name for name in former.runs if name not in ours]:
        what = "candidates" if kind == RECOMMENDATION else "conditions"
        return f"it has {what} that this one does not have ({listed(lost)})"
    if other := [name for name, settings in former.settings.items() if _decides(settings) != _decides(ours[name])]:
        return f"it has other settings under {listed(other)}"
    runs = _runs(former, design.folder)
    for condition in design.conditions:
        if condition.name in runs and (why := _other_run(design.plan_of(condition), runs[condition.name])):
            return f"{why} ({condition.name})" if len(design.conditions) > 1 else why
    return _other_images(design.images.dataset, runs.get(former.base))


def _decides(settings: Mapping[str, Any]) -> str:
    """Return the settings that decide answers in a form in which they can be compared; prices may change."""
    return json.dumps({key: settings[key] for key in sorted(settings.keys() - Price.model_fields.keys())}, default=str)


def _runs(former: _Former, folder: Path) -> dict[str, Run]:
    """Read the base's run with its images, and of the other conditions what they asked; a deleted run is left out."""
    there = {name: run for name, run in former.runs.items() if Path(run).name == run}
    return {
        name: read_run(folder / run, predictions=name == former.base)
        for name, run in there.items()
        if (folder / run / "run.json").exists()
    }


def _other_run(plan: Plan, run: Run) -> str:
    """Return in what a condition differs from its run in the folder: the model or a setting; empty if in nothing."""
    manifest, model, protocol = run.manifest, plan.models[0], plan.protocol.model_dump(mode="json")
    if (manifest.model.name, manifest.model.plugin) != (model.preset.name, model.preset.plugin):
        return f"its model is {manifest.model.name}, not {model.preset.name}"
    if manifest.method.name != plan.method_name:
        return f"its method is {manifest.method.name}, not {plan.method_name}"
    before = {name: value for name, value in manifest.protocol.items() if name in protocol}
    now = {name: protocol[name] for name in before.keys() | plan.protocol.newer_settings()}
    pairs = [(before, now)]
    if plan.method_name != "regions":
        pairs.append((manifest.method.options, plan.method.identity()))
    if plan.method.needs_regions:
        divided = {"division": plan.protocol.division, **plan.division.identity()}
        pairs.append(({"division": manifest.division.method, **manifest.division.options}, divided))
    if plan.config.engine == "local":
        pairs.append((manifest.model.identity, _identity(model)))
    return next(filter(None, (_other_value(*one) for one in pairs)), "")


def _identity(model: Model) -> dict[str, Any]:
    """Return the options that decide a model's answers."""
    backend: Backend = build(without_key(model))
    try:
        return backend.identity()
    finally:
        backend.close()


def _other_value(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which setting is the first with another value now; empty if there is none."""
    for name in sorted(now):
        if name not in before or before[name] != now[name]:
            return f"its {name} is {before.get(name)!r:.60}, not {now[name]!r:.60}"
    return ""


def _other_images(images: Dataset, base: Run | None) -> str:
    """Return in what images differ from those of the study in the folder; empty if they contain them unchanged.

    Without the base's run nothing is known of its images.
    """
    if base is None:
        return ""
    before = {record.id for record in base.predictions}
    kept = replace(images, samples=tuple(sample for sample in images if sample.id in before))
    if len(kept) < len(before):
        lost = len(before) - len(kept)
        share = f"{lost} of its {len(before)} images" if kept.samples else f"all of its {len(before)} images"
        return f"it is about other images, this one lacks {share}"
    if kept.fingerprint != base.manifest.dataset.fingerprint:
        return "its images, labels or masks are others, or have changed since"
    return ""
