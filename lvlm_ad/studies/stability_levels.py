"""The factors of a stability study and their levels: what can be changed about the base that should change nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.presets import preset_names
from lvlm_ad.prompts import reference_sets

if TYPE_CHECKING:
    from lvlm_ad.evaluate import Plan

__all__ = ["CROSSED", "FACTORS", "Levels", "factor_levels"]

FACTORS = ("paraphrase", "numbering", "marks", "resolution", "references")
"""What a study of stability varies, besides asking again; the most important first."""

CROSSED = {factor: f"{factor} again" for factor in FACTORS}
"""Factor -> the factor of the conditions that ask its levels again."""

Levels = Sequence[tuple[str, Mapping[str, Any]]]
"""Of each level what it is in words, and its settings."""


def factor_levels(factor: str, plan: Plan) -> Levels:
    """Return the levels of a factor besides the base.

    Args:
        factor: one of ``FACTORS``.
        plan: the base.

    Raises:
        ConfigError: the factor cannot be varied; the message says why in part of a sentence.
    """
    return _LEVELS[factor](plan)


def _paraphrases(plan: Plan) -> Levels:
    if plan.method_name != "regions":
        raise ConfigError(
            f"the paraphrases ask about numbered regions, and the method {plan.method_name} has its own question"
        )
    prompt = plan.prompt_of(plan.models[0]).name
    if prompt != "class":
        raise ConfigError(f"the paraphrases are those of the prompt class, and this study asks {prompt}")
    numbers = [int(one[6:]) for one in preset_names("prompts") if re.fullmatch(r"class-\d+", one)]
    # class-3 also gives examples of defects, so it differs by more than its words.
    return [(f"prompt class-{one}", {"prompt": f"class-{one}"}) for one in sorted(numbers) if one != 3]  # noqa: PLR2004


def _numberings(plan: Plan) -> Levels:
    if plan.method_name != "regions":
        raise ConfigError(
            f"only the method regions shows numbers that can be changed, and this study uses {plan.method_name}"
        )
    if plan.protocol.visual == "image":
        raise ConfigError("with visual=image no numbers are drawn")
    return [(f"other numbers, no. {index}", {"numbering": index}) for index in range(1, 65)]


def _marks(plan: Plan) -> Levels:
    protocol = plan.protocol
    if not plan.method.needs_regions or protocol.visual == "image":
        raise ConfigError("no marks are drawn")
    style = "grey" if protocol.number_style == "contrast" else "contrast"
    width, size = min(32, 2 * protocol.border_width or 2), min(128, round(1.5 * protocol.number_size))
    return [
        (f"numbers in the style {style}", {"number_style": style}),
        (f"borders of {width} px", {"border_width": width}),
        (f"numbers of {size} px", {"number_size": size}),
        (f"borders of {width} px, numbers of {size} px", {"border_width": width, "number_size": size}),
    ]


def _resolutions(plan: Plan) -> Levels:
    side = plan.protocol.image_size
    sizes = [16 * round(side * factor / 16) for factor in (2 / 3, 4 / 3, 1 / 2, 2)]
    return [(f"{one} px", {"image_size": one}) for one in sizes if 16 <= one <= 8192]  # noqa: PLR2004 - a protocol's


def _references(plan: Plan) -> Levels:
    if not plan.protocol.shots:
        raise ConfigError("no normal images are shown; --set shots=N shows some")
    if any(sample.references for sample in plan.dataset):
        raise ConfigError("this data set has reference images of its own for each image")
    count = reference_sets(plan.dataset, plan.protocol.shots)
    if count < 2:  # noqa: PLR2004 - the base and another one
        raise ConfigError(f"there are too few normal training images for a second set of {plan.protocol.shots}")
    return [(f"reference set {index}", {"reference_set": index}) for index in range(1, count)]


_LEVELS = dict(zip(FACTORS, (_paraphrases, _numberings, _marks, _resolutions, _references), strict=True))
