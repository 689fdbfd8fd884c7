"""How models write coordinates: the conventions of ``configs/conventions.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.presets import validated

__all__ = ["Convention", "SeenSize", "convention_names", "load_convention"]


class SeenSize(BaseModel):
    """How a model's own resizing changes the picture that it is sent, where its numbers are pixels of the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["smart_resize", "patches", "pad_square"]
    factor: int = 28
    """smart_resize: each side becomes a multiple of this."""
    min_pixels: int = 3136
    """smart_resize: a smaller picture is enlarged."""
    max_pixels: int = 12845056
    """smart_resize: a larger picture is shrunk."""
    patch: int = 28
    """patches: side of a patch."""
    max_edge: int = 1568
    """patches: the longer side is at most this."""
    max_patches: int = 1568
    """patches: the picture has at most this many."""


class Convention(BaseModel):
    """How a model writes places.

    Example:
        >>> load_convention("gemini_1000").order
        'yxyx'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    """Its name in ``conventions.toml``."""
    families: str = ""
    """The models that write so."""
    order: Literal["xyxy", "yxyx", "xywh", "cxcywh", "patches"] = "xyxy"
    """Order of a box's numbers."""
    range: Annotated[int, Field(gt=0)] | Literal["sent", "seen"] = "sent"
    """What the whole side counts: a number, or the pixels of the picture as sent or as the model sees it."""
    seen: SeenSize | None = None
    """How the seen size follows from the sent one."""
    centre: bool = False
    """Numbers are bins, whose centres are meant."""
    forms: tuple[Literal["json", "tag", "loc", "loc_", "patch", "molmo", "molmo2"], ...] = ()
    """How places are written."""
    key: Literal["box_2d", "bbox_2d"] = "box_2d"
    """The key of a box in JSON, as a question asks for it; a reader takes any."""
    points: Literal["xy", "yx"] | None = None
    """Order of a point's numbers; None: points are not documented."""
    polygons: Literal["xy", "yx"] | None = None
    """Order of a polygon's numbers; None: masks and polygons are not documented."""


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = (files("lvlm_ad_configs") / "conventions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def convention_names() -> list[str]:
    """Return the names of all conventions, sorted."""
    return sorted(_table())


@cache
def load_convention(name: str) -> Convention:
    """Return a convention by its name.

    Raises:
        ConfigError: there is none of this name; the nearest are named.
    """
    if name not in _table():
        raise ConfigError(
            f"There is no convention {name!r:.60} for coordinates.{nearest(name, _table())} It is one of "
            f"{', '.join(convention_names())}."
        )
    return validated(Convention, {"name": name, **_table()[name]}, f"convention {name}")
