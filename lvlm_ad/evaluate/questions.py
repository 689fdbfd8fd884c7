"""The questions of one chat model: the object that writes them, and all of them in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import resize_image
from lvlm_ad.engines.engine import in_order
from lvlm_ad.errors import ConfigError
from lvlm_ad.prompts import Questioner
from lvlm_ad.text2seg import read

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, Request
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.session import Session

__all__ = ["all_requests", "is_unusable", "make_questioner"]


def make_questioner(plan: Plan, backend: Backend) -> Questioner:
    """Make the object that writes the questions.

    Raises:
        ConfigError: the prompt is wrong, reference images are missing, the backend takes fewer pictures, or it gives no
            probabilities where ``scoring=expected`` needs them.
    """
    able, name = backend.capabilities, backend.implementation.__name__
    questioner = Questioner(plan.dataset, plan.protocol, plan.prompt, seed=plan.config.seed, schema=able.schema)
    if able.max_images is not None and questioner.n_images > able.max_images:
        raise ConfigError(
            f"A question shows {questioner.n_images} pictures; {name} takes at most {able.max_images}. "
            "Set fewer shots, or visual=marked."
        )
    if plan.protocol.scoring == "expected" and not able.probabilities:
        hint = "; ask for them with --set logprobs=20" if "logprobs" in backend.Options.model_fields else ""
        raise ConfigError(
            f"scoring=expected needs the probabilities of tokens; the answers of {name} come without{hint}."
        )
    return questioner


def all_requests(session: Session, questioner: Questioner) -> Iterator[Request]:
    """Write the question about each sample, several at a time but never many ahead, since they hold pictures."""
    side = session.plan.protocol.image_size

    def request(sample: Sample) -> Request:
        image = resize_image(sample.image, (side, side))
        return questioner.request(sample, image, session.divisions.regions(sample))

    return (written for _, written in in_order(request, session.plan.dataset, os.cpu_count() or 1))


def is_unusable(answer: Answer, n_regions: int) -> bool:
    """Return whether ``--retry-failed`` asks again: the answer gives no scores, or was cut off."""
    scores = read(answer, n_regions)
    return not scores.usable or scores.status == "truncated"
