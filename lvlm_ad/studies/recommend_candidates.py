"""The candidates of a recommendation: models, each with every method. Without named models, a few that can be asked."""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import find_model
from lvlm_ad.plugins.methods import load_method
from lvlm_ad.plugins.own import title_of
from lvlm_ad.presets import Protocol

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig

__all__ = ["HOSTED", "SERVERS", "AtHand", "Candidate", "candidates_of", "models_at_hand", "served_models"]

HOSTED = ("gpt-6-luna", "claude-haiku", "gemini", "qwen", "mistral")
"""A model of each maker whose answers are cheap enough for a first look."""

SERVERS = ("vllm", "ollama", "llama.cpp", "lmstudio", "sglang")
"""Servers of this machine, at their usual addresses."""

_WAIT = 2.0
"""Seconds for a server of this machine to say what it serves."""

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class AtHand:
    """A model that can be asked without further settings.

    Attributes:
        model: its preset's name.
        why: why it can be asked, such as "OPENAI_API_KEY is set".
        settings: what must be set for it.
    """

    model: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A model with a method.

    Attributes:
        model: the model, as ``find_model`` takes it.
        title: the model's name in tables.
        method: the method's name, or file.
        settings: those that only this model or this method has.
        label: which of the preset's models is asked, as in ``Model``; empty: its own.
    """

    model: str
    title: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.title}-{title_of(self.method)}"

    @property
    def words(self) -> str:
        """What it is, for sentences.

        Example:
            >>> Candidate("gpt-4o", "gpt-4o", "regions").words
            'gpt-4o with method regions'
        """
        asked = f" ({self.label})" if self.label else ""
        return f"{self.title}{asked} with method {title_of(self.method)}"


def candidates_of(
    config: RunConfig, methods: Sequence[str], at_hand: Sequence[AtHand]
) -> tuple[tuple[Candidate, ...], dict[str, Any]]:
    """Return the candidates, and the settings that all of them share.

    Args:
        config: the models, and settings of which each holds for the models and methods that have it.
        methods: how images are inspected; empty: as ``config`` says.
        at_hand: what is asked if ``config`` names no model.

    Returns:
        Every model with every method, and the settings that belong to none of them alone.

    Raises:
        ConfigError: there are fewer than two candidates, or two of the same name.
        PluginError: a model or a method cannot be loaded.
    """
    given: Mapping[str, Mapping[str, Any]] = {one: {} for one in config.models} or {
        one.model: one.settings for one in at_hand
    }
    by_method = {one: load_method(one, config.settings)[1] for one in dict.fromkeys(methods or (config.method,))}
    models = {one: find_model(one, {**config.settings, **own}) for one, own in given.items()}
    special = set().union(*(known for _, known in models.values()), *by_method.values()) - set(Protocol.model_fields)
    found = []
    for (one, (model, known)), (method, of_method) in product(models.items(), by_method.items()):
        own = {key: value for key, value in config.settings.items() if key in special & (known | of_method)}
        found.append(Candidate(one, model.preset.name, method, {**own, **given[one]}, model.label))
    if len(found) < 2:  # noqa: PLR2004 - one cannot be compared
        one = f"only one, {found[0].words}" if found else "none"
        raise ConfigError(
            f"A recommendation needs two candidates and has {one}. Name another --model or --method, or set a key, "
            "such as OPENAI_API_KEY or GEMINI_API_KEY; lvlm-ad models lists all models."
        )
    name, count = Counter(one.name for one in found).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{count} candidates are named {name}; give the preset files other names.")
    return tuple(found), {key: value for key, value in config.settings.items() if key not in special}


def models_at_hand() -> list[AtHand]:
    """Return the models of a short list whose key is set, or whose server on this machine serves exactly one model."""
    found = []
    for name in HOSTED:
        variable = str(find_model(name, {})[0].preset.options["api_key_env"])
        if os.environ.get(variable, "").strip():
            found.append(AtHand(name, f"{variable} is set"))
    for name in SERVERS:
        url = str(find_model(name, {})[0].preset.options["base_url"])
        served = served_models(url)
        if len(served) == 1:
            found.append(AtHand(name, f"{url} serves {served[0]}", {"model": served[0]}))
    return found


def served_models(url: str) -> list[str]:
    """Return the names of the models that an OpenAI-compatible server lists; none if no server answers.

    Args:
        url: its address over HTTP, including the version, such as http://127.0.0.1:8000/v1.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_WAIT)
    try:
        connection.request("GET", f"{parts.path}/models")
        reply = json.loads(connection.getresponse().read(_MOST_BYTES))
        return sorted({str(one["id"]) for one in reply["data"]})
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        # Whatever else listens there is no server of models.
        return []
    finally:
        connection.close()
