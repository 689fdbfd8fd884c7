"""What all presets have."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Preset"]


class Preset(BaseModel):
    """A preset: an unknown field is an error, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    name: str = ""
    """The preset's name: its file's name without ".toml"."""
    description: str = ""
    """One line for listings."""
