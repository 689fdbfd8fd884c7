"""What a method sees of each image of a plan."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from lvlm_ad.conventions import load_convention
from lvlm_ad.deferred import deferred
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods import AskedModel, View
from lvlm_ad.prompts import Questioner

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Backend, Capabilities, Picture
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.methods import Method
    from lvlm_ad.plugins import Model
    from lvlm_ad.presets import PromptPreset, Protocol
    from lvlm_ad.prompts.drawing import Drawing, Images
    from lvlm_ad.regions import Regions

__all__ = ["Views", "asked_model", "checked_model", "view_of"]


class Views:
    """Makes the views of a plan's images for one model.

    Args:
        session: the plan with the conditions and the method, and what looks up or draws pictures.
        model: the model that is asked.
        asked: the same, as a method may know it.

    Raises:
        ConfigError: there are too few reference images, or the prompt has an unknown placeholder.
    """

    def __init__(self, session: Session, model: Model, asked: AskedModel) -> None:
        plan = session.plan
        self._session, self._plan, self._model = session, plan, asked
        self.prompt = plan.prompt_of(model)
        self._questioner = Questioner(
            plan.dataset,
            plan.protocol,
            self.prompt,
            seed=plan.config.seed,
            placeholders=plan.method.placeholders,
            pooled=plan.method.needs_pool,
            pictures_of=session.pictures_of,
        )

    @property
    def prompt_hash(self) -> str:
        """SHA-256 (hex) over everything that a question depends on besides the image and the method."""
        return self._questioner.hash

    def view(self, sample: Sample, regions: Regions | None) -> View:
        """Return what a method may see of a sample.

        Args:
            sample: the image.
            regions: its division; left out if the method needs none.
        """
        plan = self._plan
        pictures = self._session.pictures_of(sample.image_path, sample.depth, plan.protocol.image_size)
        return view_of(
            sample.id,
            sample.category,
            pictures.image,
            regions,
            method=plan.method,
            protocol=plan.protocol,
            prompt=self.prompt,
            questioner=self._questioner,
            seed=plan.config.seed,
            model=self._model,
            pictures=pictures.picture,
            sample=sample,
        )


def view_of(
    sample_id: str,
    category: str,
    images: Images,
    regions: Regions | None,
    *,
    method: Method,
    protocol: Protocol,
    prompt: PromptPreset | None,
    questioner: Questioner | None,
    seed: int,
    model: AskedModel,
    has_texts: bool = True,
    pictures: Callable[[Drawing], Picture] | None = None,
    sample: Sample | None = None,
) -> View:
    """Return what a method may see of an image.

    Args:
        sample_id: the image's name, which the view does not tell.
        category: the kind of object.
        images: its pixels.
        regions: its division; left out if the method needs none.
        method: the method.
        protocol: the conditions.
        prompt: the prompt; None: unknown.
        questioner: fills the prompt and reads reference images; None: texts are empty and there are no such images.
        seed: the run's.
        model: the model that is asked.
        has_texts: False: texts are empty although there is a questioner.
        pictures: see ``View``.
        sample: the image in its data set, for its own reference images and questions; None: it has none.
    """
    is_named = protocol.withhold != "name"
    return View(
        image=deferred(lambda: images.image),
        original=deferred(lambda: images.original),
        category=questioner.class_name(category) if questioner and not is_named else category,
        class_name=questioner.class_name(category) if questioner else category,
        regions=regions if method.needs_regions else None,
        # A hash, because the sample's name says what is wrong with it.
        seed=hashlib.sha256(f"{seed}/{sample_id}".encode()).hexdigest(),
        protocol=protocol,
        fill=partial(questioner.text, category) if questioner and has_texts else lambda _: "",
        references=questioner.references(category, sample) if questioner else (),
        pool=questioner.pool(category) if questioner and method.needs_pool else (),
        model=model,
        format=prompt.format if prompt else "text",
        pictures=pictures,
        questions=tuple(one.without_answer() for one in sample.questions) if sample and is_named else (),
        knowledge=questioner.knowledge(category) if questioner else "",
    )


def asked_model(model: Model, capabilities: Capabilities) -> AskedModel:
    """Return what a method may know of a model.

    Raises:
        ConfigError: the model's preset names a convention that does not exist.
    """
    preset = model.preset
    convention = load_convention(preset.convention) if preset.convention else None
    return AskedModel(preset.name, capabilities, convention, preset.state_convention)


def checked_model(plan: Plan, model: Model, backend: Backend) -> AskedModel:
    """Return what a plan's method may know of a model.

    Raises:
        ConfigError: the model cannot be inspected by the method, or cannot follow the plan otherwise.
    """
    able, name, method = backend.capabilities, backend.implementation.__name__, plan.method
    asked = asked_model(model, able)
    if reason := method.why_not(asked):
        raise ConfigError(f"{asked.name} cannot be inspected with --method {plan.method_name}, because {reason}.")
    pictures = method.most_pictures(plan.protocol)
    if able.max_images is not None and pictures > able.max_images:
        raise ConfigError(
            f"A question shows {pictures} pictures; {name} takes at most {able.max_images}. "
            "Set fewer shots, or visual=marked."
        )
    if plan.protocol.scoring == "expected" and not able.probabilities:
        hint = "; ask for them with --set logprobs=20" if "logprobs" in backend.Options.model_fields else ""
        raise ConfigError(f"scoring=expected needs the probabilities of tokens, which {name} does not return{hint}.")
    return asked
