"""A model that its provider removes: until when it is asked, and which one is asked afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from lvlm_ad.presets import ModelPreset, load_model

if TYPE_CHECKING:
    from lvlm_ad.plugins import Model

__all__ = ["end_in_words", "is_followed", "successor_of", "utc_today", "whom_it_asks"]


def utc_today() -> date:
    """Return the day in UTC."""
    return datetime.now(UTC).date()


def is_followed(preset: ModelPreset, day: date) -> bool:
    """Return whether the preset's successor is asked on a day."""
    return bool(preset.successor) and preset.end_of_life is not None and preset.end_of_life <= day


def successor_of(preset: ModelPreset) -> ModelPreset:
    """Return the successor's preset under the name of the preset that it follows.

    Example:
        >>> successor_of(load_model("gpt-4v")).options["model"]
        'gpt-6-luna'
    """
    return load_model(preset.successor).model_copy(update={"name": preset.name})


def end_in_words(model: Model, day: date) -> str:
    """Say on which day the provider removes the model, and what is asked then; empty if no day is known.

    Args:
        model: a chat model.
        day: the day on which it is asked.

    Example:
        >>> from lvlm_ad.plugins import find_model
        >>> day = date(2027, 1, 13)
        >>> end_in_words(find_model("gpt-4v", {}, today=day)[0], day)
        'the provider removes this model on 2027-01-14, and gpt-4v then asks gpt-6-luna'
    """
    preset, former = model.preset, model.former
    if former is not None:
        was = former.options.get("model")
        return f"the provider removed {was} on {former.end_of_life} (its stored answers: --set model={was})"
    if preset.end_of_life is None:
        return ""
    if preset.end_of_life <= day:
        return f"the provider removed this model on {preset.end_of_life}"
    then = f", and {preset.name} then asks {successor_of(preset).options.get('model')}" if preset.successor else ""
    return f"the provider removes this model on {preset.end_of_life}{then}"


def whom_it_asks(model: Model, day: date) -> str:
    """Say which model is asked, where, and when its provider removes it.

    Args:
        model: a chat model.
        day: the day on which it is asked.

    Returns:
        A sentence; empty if the backend has no option ``model``.

    Example:
        >>> from lvlm_ad.plugins import find_model
        >>> day = date(2027, 1, 14)
        >>> whom_it_asks(find_model("gpt-4.1", {}, today=day)[0], day)
        'asks gpt-4.1 at https://api.openai.com/v1; the provider removed this model on 2027-01-14.'
    """
    asked, where = model.preset.options.get("model"), model.preset.options.get("base_url")
    if not asked:
        return ""
    end = end_in_words(model, day)
    return f"asks {asked}{f' at {where}' if where else ''}{f'; {end}' if end else ''}."
