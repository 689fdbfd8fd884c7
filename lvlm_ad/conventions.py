"""How models write coordinates: the conventions of ``configs/conventions.toml``.

A convention belongs to a model. It is never inferred from what the model writes.
"""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.presets import validated

__all__ = ["Convention", "SeenSize", "convention_names", "load_convention", "seen_size"]


class SeenSize(BaseModel):
    """How a model resizes the picture that it is sent; its numbers are about the result."""

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


def seen_size(seen: SeenSize | None, sent: tuple[int, int]) -> tuple[float, float]:
    """Return the size of the picture that a model's numbers are about, in pixels.

    Args:
        seen: the model's own resizing; None: it has none.
        sent: width and height of the picture as sent.

    Returns:
        Width and height. ``smart_resize``: as in QwenLM/Qwen3-VL, qwen-vl-utils/src/qwen_vl_utils/vision_process.py.
        ``patches``: the largest size of the same aspect that keeps both limits, as in Anthropic's vision documentation;
        never larger than the picture. ``pad_square``: the square around the picture.

    Example:
        >>> seen_size(load_convention("qwen25_seen").seen, (768, 768))
        (756.0, 756.0)
        >>> seen_size(load_convention("claude_1568").seen, (1920, 1080))
        (1456.0, 819.0)
    """
    width, height = sent
    if seen is None:
        return float(width), float(height)
    if seen.rule == "pad_square":
        return float(max(sent)), float(max(sent))
    if seen.rule == "patches":
        return _within_patches(seen, width, height)
    # Python rounds halves to even, as the makers' code does: 434 becomes 448.
    sides = [max(seen.factor, round(side / seen.factor) * seen.factor) for side in sent]
    if sides[0] * sides[1] > seen.max_pixels:
        # Divided in the makers' order: rounding decides where the limit is met exactly.
        shrink = math.sqrt(width * height / seen.max_pixels)
        sides = [max(seen.factor, math.floor(side / shrink / seen.factor) * seen.factor) for side in sent]
    elif sides[0] * sides[1] < seen.min_pixels:
        grow = math.sqrt(seen.min_pixels / (width * height))
        sides = [math.ceil(side * grow / seen.factor) * seen.factor for side in sent]
    return float(sides[0]), float(sides[1])


def _within_patches(seen: SeenSize, width: int, height: int) -> tuple[float, float]:
    longer, shorter = max(width, height), min(width, height)

    def other(side: int) -> int:
        return max(1, round(side * shorter / longer))

    def fits(side: int) -> bool:
        patches = math.ceil(side / seen.patch), math.ceil(other(side) / seen.patch)
        return patches[0] * seen.patch <= seen.max_edge and patches[0] * patches[1] <= seen.max_patches

    low, high = 1, longer  # the longest side that fits lies between them
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    sides = (low, other(low))
    return (float(sides[0]), float(sides[1])) if width >= height else (float(sides[1]), float(sides[0]))


class Convention(BaseModel):
    """How a model writes places.

    Example:
        >>> load_convention("gemini_1000").order
        'yxyx'
        >>> load_convention("gemini_1000").to_pixels(200, 100, sent=(1000, 500))
        (200.0, 50.0)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    """Its name in ``conventions.toml``."""
    families: str = ""
    """The models that write so."""
    order: Literal["xyxy", "yxyx", "xywh", "cxcywh", "patches"] = "xyxy"
    """Order of a box's numbers."""
    range: Annotated[int, Field(gt=0)] | Literal["sent", "seen"] = "sent"
    """The coordinate of the far edge: a number, or the pixels of the picture as sent or as the model sees it."""
    seen: SeenSize | None = None
    """How the seen size follows from the sent one."""
    centre: bool = False
    """Whether numbers are bins, whose centres are meant."""
    forms: tuple[Literal["json", "tag", "loc", "loc_", "patch", "molmo", "molmo2"], ...] = ()
    """How places are written."""
    key: Literal["box_2d", "bbox_2d"] = "box_2d"
    """The key of a box in JSON that a question asks for; readers accept any."""
    points: Literal["xy", "yx"] | None = None
    """Order of a point's numbers; None: points are not documented."""
    polygons: Literal["xy", "yx"] | None = None
    """Order of a polygon's numbers; None: masks and polygons are not documented."""

    def sides(self, sent: tuple[int, int]) -> tuple[float, float]:
        """Return the model's coordinates of the right and lower edge of a picture of ``sent`` pixels."""
        if self.range == "sent":
            return float(sent[0]), float(sent[1])
        return seen_size(self.seen, sent) if self.range == "seen" else (float(self.range), float(self.range))

    def to_pixels(self, x: float, y: float, sent: tuple[int, int]) -> tuple[float, float]:
        """Return where a place is in the picture as sent, in pixels, not rounded.

        Args:
            x: the model's number to the right.
            y: the model's number downwards.
            sent: width and height of the picture as sent.
        """
        across, down = self.sides(sent)
        if self.centre:
            x, y = x + 0.5, y + 0.5
        if self.seen is None or self.seen.rule != "pad_square":
            return x * sent[0] / across, y * sent[1] / down
        side = max(sent)
        return x * side / across - (side - sent[0]) // 2, y * side / down - (side - sent[1]) // 2


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
        ConfigError: there is none of this name; all are named.
    """
    if name not in _table():
        raise ConfigError(
            f"There is no convention {name!r:.60} for coordinates.{nearest(name, _table())} All of them: "
            f"{', '.join(convention_names())}."
        )
    return validated(Convention, {"name": name, **_table()[name]}, f"convention {name}")
