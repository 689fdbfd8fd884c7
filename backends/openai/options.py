"""Options of an OpenAI-compatible endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from lvlm_ad.backend import BackendOptions, Transport

__all__ = ["OpenAIOptions"]

Feature = Literal["temperature", "seed", "logprobs", "schema", "batch"]


class OpenAIOptions(BackendOptions):
    """Options of an OpenAI-compatible endpoint.

    Example:
        >>> OpenAIOptions(model="qwen", base_url="http://127.0.0.1:8000/v1/").base_url
        'http://127.0.0.1:8000/v1'
    """

    priced_by: ClassVar[tuple[str, ...]] = ("model", "base_url")

    model: str = ""
    """The model's name at the endpoint. If it is missing, the error lists the models that the endpoint serves."""
    base_url: str = "https://api.openai.com/v1"
    """Address of the endpoint, including its version, such as http://127.0.0.1:8000/v1."""
    api_version: str | None = None
    """Value of the query parameter ``api-version``, for older addresses of Azure."""
    api_key_env: Annotated[str, Transport] = "OPENAI_API_KEY"
    """Environment variable that holds the key; empty: no key is needed."""
    api_key_file: Annotated[Path | None, Transport] = None
    """File that holds the key, instead of the variable."""
    key_header: Annotated[Literal["authorization", "api-key"], Transport] = "authorization"
    """Header that carries the key; Azure requires "api-key"."""
    takes: Annotated[tuple[Feature, ...], Transport] = ("temperature", "seed", "logprobs", "schema", "batch")
    """Features that the endpoint supports; others are never sent."""
    detail: Literal["auto", "low", "high", "none"] = "high"
    """Resolution at which the model sees pictures; "none" sends no such field."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Sampling temperature. Default: 0 if the endpoint supports a temperature. "none": the endpoint decides."""
    seed: int | None = None
    """Sampling seed."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Most tokens of an answer, including reasoning."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105 - no secret
    """The endpoint's name of this limit."""
    reasoning_effort: str | None = None
    """How long a reasoning model thinks, in the endpoint's words."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of alternatives per token for which to request log-probabilities."""
    timeout: Annotated[float, Field(gt=0), Transport] = 120.0
    """Seconds to wait for the begin of an answer, and again for its end."""

    @model_validator(mode="before")
    @classmethod
    def _default_temperature(cls, values: Any) -> Any:
        """Ask for the most likely answer if the endpoint supports a temperature."""
        if isinstance(values, dict):
            takes = values.get("takes", cls.model_fields["takes"].default)
            return {"temperature": 0.0 if "temperature" in takes else None, **values}
        return values

    @field_validator(
        "temperature", "seed", "reasoning_effort", "logprobs", "api_version", "api_key_file", mode="before"
    )
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("api_key_env")
    @classmethod
    def _variable_name(cls, value: str) -> str:
        """Refuse a key in place of its variable's name, without quoting it."""
        if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value):
            raise ValueError("give the name of an environment variable, such as OPENAI_API_KEY, not the key itself")
        return value

    @field_validator("base_url")
    @classmethod
    def _address_without_secrets(cls, value: str) -> str:
        """Refuse an address that would write a secret into the run's manifest."""
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("give an address up to its version, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address must not hold a user, password, query or fragment; api_key_env names the key's variable"
            )
        return value.rstrip("/")

    @model_validator(mode="after")
    def _only_supported_features(self) -> OpenAIOptions:
        for name in ("temperature", "seed", "logprobs"):
            if getattr(self, name) is not None and name not in self.takes:
                raise ValueError(
                    f"this endpoint takes no {name} (takes = {list(self.takes)}); leave it out, or set takes if it does"
                )
        return self
