"""Settings of the Ray engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.presets import validated

__all__ = ["RayOptions"]


class RayOptions(BaseModel):
    """How models are spread over a Ray cluster. Each copy of a model is an actor.

    Example:
        >>> RayOptions.from_settings({"actors": 4, "shots": 2}).actors
        4
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    num_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """GPUs for each copy of a model; 0.5: two copies share one. None: 1 if the cluster has GPUs, else 0."""
    num_cpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Processors for each copy. None: the share of its GPUs on the machine with the fewest per GPU; without GPUs, all
    of the smallest machine."""
    actors: Annotated[int, Field(ge=1)] | None = None
    """Copies of a model. None: as many as the GPUs allow; without GPUs, one per machine."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RayOptions:
        """Take the fields of this class from all settings of a run.

        Raises:
            ConfigError: a value is wrong.
        """
        own = {name: value for name, value in settings.items() if name in cls.model_fields}
        return validated(cls, own, "--engine ray")
