"""The method of a plan, and the conditions and prompts that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.plugins.methods import load_method, method_names
from lvlm_ad.plugins.own import is_own
from lvlm_ad.presets import load_prompt, preset_names
from lvlm_ad.prompts import check_prompt

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset
    from lvlm_ad.evaluate.run_config import RunConfig
    from lvlm_ad.methods import Method
    from lvlm_ad.plugins import Model
    from lvlm_ad.presets import PromptPreset, Protocol

__all__ = [
    "check_protocol",
    "check_questions",
    "check_references",
    "measurable",
    "prompts_of",
    "with_method",
    "without_name",
]


def with_method(protocol: Protocol, method: Method, settings: Mapping[str, Any]) -> Protocol:
    """Return a protocol with a method's own image size and prompt, where the user set none."""
    own: dict[str, Any] = {}
    if method.image_size is not None and "image_size" not in protocol.model_fields_set:
        own["image_size"] = method.image_size
    if method.prompt and "prompt" not in settings:
        own["prompt"] = method.prompt
    return protocol.model_copy(update=own)


def check_protocol(protocol: Protocol, method: Method, name: str) -> None:
    """Refuse conditions that exclude each other, or that a method cannot be asked under.

    Args:
        protocol: the conditions.
        method: how chat models inspect an image.
        name: its name.

    Raises:
        ConfigError: ``numbering`` with another method than regions, or without numbers on the picture;
            ``reference_set`` without reference images; names are withheld, but the method asks a data set's questions.
    """
    if protocol.numbering and name != "regions":
        raise ConfigError(
            f"numbering={protocol.numbering} gives the regions of --method regions other numbers; --method {name} has "
            "no such numbers. Leave numbering out."
        )
    if protocol.numbering and protocol.visual == "image":
        raise ConfigError(
            f"numbering={protocol.numbering} gives regions other numbers, but visual=image draws none. Leave one out."
        )
    if protocol.reference_set and not protocol.shots:
        raise ConfigError(
            f"reference_set={protocol.reference_set} chooses reference images, but shots=0 shows none. Set shots, or "
            "leave reference_set out."
        )
    if protocol.withhold == "name" and method.needs_questions:
        raise ConfigError(
            f"withhold=name cannot be used with --method {name}: it asks the data set's own questions, which may name "
            "the object. Use another method, or leave withhold out."
        )


def check_references(protocol: Protocol, dataset: Dataset) -> None:
    """Refuse another set of reference images where each image has its own.

    Raises:
        ConfigError: an image has.
    """
    if protocol.reference_set and any(sample.references for sample in dataset):
        raise ConfigError(
            f"reference_set={protocol.reference_set} chooses among a category's training images, but in {dataset.name} "
            "each image has reference images of its own. Leave reference_set out."
        )


def check_questions(method: Method, name: str, dataset: Dataset) -> None:
    """Refuse a method that asks a data set's questions, if the data set has none.

    Raises:
        ConfigError: it has none.
    """
    if method.needs_questions and not any(sample.questions for sample in dataset):
        raise ConfigError(
            f"The method {name} asks the questions of a data set, and {dataset.name} in {shown(dataset.root)} has "
            "none. Give a data set with questions, such as --dataset mmad, or another method."
        )


def measurable(models: Iterable[Model], named: Iterable[str], method: Method, title: str) -> list[Model]:
    """Leave out the row "oracle" if the method defines no ``best_finding``.

    Args:
        models: the models, reference rows among them.
        named: those that the user named.
        method: how chat models inspect an image.
        title: its name, for the message.

    Raises:
        ConfigError: the user named the row.
    """
    models = list(models)
    through = [model for model in models if getattr(model.plugin.cls, "through_method", False)]
    if method.has_best_finding or not through:
        return models
    if asked := next((model.preset.name for model in through if model.preset.name in set(named)), ""):
        raise ConfigError(f"The method {title} defines no best_finding, so it has no row {asked}; leave {asked} out.")
    return [model for model in models if model not in through]


def prompts_of(
    protocol: Protocol, method: Method, name: str, models: Iterable[Model], settings: Mapping[str, Any]
) -> tuple[PromptPreset, dict[str, PromptPreset]]:
    """Return the prompt of a plan, and by the model's name those of models whose presets name another.

    Args:
        protocol: the conditions.
        method: how chat models inspect an image.
        name: its name.
        models: the models.
        settings: the user's; a prompt that they name holds for every model.

    Raises:
        ConfigError: a prompt does not exist, or has a placeholder that nothing fills; or a model's preset names a
            prompt for a method that does not exist.
    """
    prompt = load_prompt(protocol.prompt)
    presets = [model.preset for model in models]
    # With scores, boxes have another prompt, for which the makers of models have no words of their own.
    key = method.prompt or name
    known = {key, *method_names(), *preset_names("prompts")}
    for preset in presets:
        if wrong := next((one for one in preset.prompts if one not in known and not is_own(one)), ""):
            raise ConfigError(f"model {preset.name}: prompts names no method {wrong!r}.{nearest(wrong, known)}")
    own = {
        preset.name: load_prompt(preset.prompts[key])
        for preset in presets
        if "prompt" not in settings and key in preset.prompts and not preset.state_convention
    }
    for one in (prompt, *own.values()):
        check_prompt(one, method.placeholders)
    return prompt, own


def without_name(config: RunConfig) -> RunConfig:
    """Let the question name no object, if the method asks with the protocol's prompt and the user gave no other.

    Other methods' prompts then call it a product.
    """
    if load_method(config.method, config.settings)[0].prompt:
        return config
    return replace(config, settings={"prompt": "general", **config.settings})
