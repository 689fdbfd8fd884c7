"""One picture of the whole path: image, marked image, answer, anomaly map, and the ground truth where there is one."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["heat", "overview"]

_RAMP = np.array([[0, 32, 77], [60, 77, 110], [124, 123, 120], [188, 175, 111], [255, 234, 70]], dtype=np.float64)
"""Dark blue over grey to yellow: rising in lightness, and the same to the eye with and without colour blindness."""

_SIDE = 384
_GAP = 16
_HEAD = 30
_INK = (32, 32, 32)


def heat(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour an anomaly map; 0 is dark blue, 1 is yellow.

    Args:
        values: float ``(H, W)`` in [0, 1].

    Returns:
        uint8 ``(H, W, 3)``.
    """
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, stops, channel) for channel in _RAMP.T], axis=-1).round().astype(np.uint8)


def overview(
    image: NDArray[np.uint8],
    marked: NDArray[np.uint8],
    answer: str,
    values: NDArray[np.floating],
    truth: NDArray[np.bool_] | None = None,
    title: str = "answer",
) -> NDArray[np.uint8]:
    """Put the steps of the method side by side.

    Args:
        image: uint8 ``(H, W, 3)``.
        marked: uint8 ``(H, W, 3)``, the image with borders and numbers.
        answer: the model's answer; its first lines are shown.
        values: float ``(H, W)`` in [0, 1], the anomaly map; drawn from its lowest score to its highest.
        truth: bool ``(H, W)``, the ground truth; None: not shown.
        title: what stands above the answer.

    Returns:
        uint8 ``(h, w, 3)``.
    """
    lowest, highest = float(values.min()), float(values.max())
    panels: list[tuple[str, NDArray[np.uint8] | str]] = [
        ("image", image),
        ("1 region division", marked),
        (f"2 {_printable(title)[:42]}", answer),
        (f"3 anomaly map, {lowest:.3g} to {highest:.3g}", heat((values - lowest) / ((highest - lowest) or 1.0))),
    ]
    if truth is not None:
        panels.append(("ground truth", heat(truth.astype(np.float64))))
    width = len(panels) * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _HEAD + _SIDE + 2 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for at, (head, panel) in enumerate(panels):
        left = _GAP + at * (_SIDE + _GAP)
        draw.text((left, _GAP - 4), head, fill=_INK, font=ImageFont.load_default(size=18))
        top = _GAP + _HEAD - 6
        if isinstance(panel, str):
            _write(draw, (left, top), panel)
        else:
            sheet.paste(Image.fromarray(panel).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, top))
    return np.asarray(sheet)


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], answer: str) -> None:
    """Write as much of an answer as fits into a panel."""
    left, top = corner
    draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=(244, 244, 240), outline=(200, 200, 196))
    # An answer can hold anything; the font has printable characters only.
    lines = textwrap.wrap(_printable(answer[:4000]), width=38) or ["(no text)"]
    fits = (_SIDE - 24) // 24
    if len(lines) > fits:
        lines = [*lines[: fits - 1], "..."]
    for at, line in enumerate(lines):
        draw.text((left + 14, top + 12 + 24 * at), line, fill=_INK, font=ImageFont.load_default(size=17))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
