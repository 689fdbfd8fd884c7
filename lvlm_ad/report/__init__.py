"""Pages of runs, comparisons and leaderboards, and a picture of the three steps for one image."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["heat", "overview"]

_RAMP = np.array([[0, 32, 77], [60, 77, 110], [124, 123, 120], [188, 175, 111], [255, 234, 70]], dtype=np.float64)
"""Dark blue over grey to yellow: lightness rises, and colour-blind readers see the same order."""

_SIDE, _GAP, _HEAD = 384, 16, 30
_INK = (32, 32, 32)
_ANSWER_KEPT = 4000


def heat(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour an anomaly map: 0 is dark blue, 1 is yellow.

    Args:
        values: float ``(H, W)`` in [0, 1].

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> heat(np.array([[0.0, 1.0]])).tolist()
        [[[0, 32, 77], [255, 234, 70]]]
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
        values: float ``(H, W)`` in [0, 1], the anomaly map; colours cover its own range.
        truth: bool ``(H, W)``, the ground truth; None: not shown.
        title: the heading above the answer.

    Returns:
        uint8 ``(h, w, 3)``.

    Example:
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> overview(image, image, "image anomaly score: 0.1.", np.zeros((96, 96))).shape
        (446, 1616, 3)
    """
    lowest, highest = float(values.min()), float(values.max())
    panels: list[tuple[str, NDArray[np.uint8] | str]] = [
        ("image", image),
        ("1 region division", marked),
        (f"2 {escaped(title)[:42]}", answer),
        (f"3 anomaly map, {lowest:.3g} to {highest:.3g}", heat((values - lowest) / ((highest - lowest) or 1.0))),
    ]
    if truth is not None:
        panels.append(("ground truth", heat(truth.astype(np.float64))))
    sheet = Image.new("RGB", (len(panels) * (_SIDE + _GAP) + _GAP, _HEAD + _SIDE + 2 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (head, panel) in enumerate(panels):
        left, top = _GAP + number * (_SIDE + _GAP), _GAP + _HEAD - 6
        draw.text((left, _GAP - 4), head, fill=_INK, font=ImageFont.load_default(size=18))
        if isinstance(panel, str):
            _draw_answer(draw, left, top, panel)
        else:
            sheet.paste(Image.fromarray(panel).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, top))
    return np.asarray(sheet)


def _draw_answer(draw: ImageDraw.ImageDraw, left: int, top: int, answer: str) -> None:
    """Write as much of an answer as fits into a panel."""
    draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=(244, 244, 240), outline=(200, 200, 196))
    text = escaped(" ".join(answer[:_ANSWER_KEPT].split()))
    lines = textwrap.wrap(text, width=38, max_lines=(_SIDE - 24) // 24, placeholder=" ...")
    for number, line in enumerate(lines or ["(no text)"]):
        draw.text((left + 14, top + 12 + 24 * number), line, fill=_INK, font=ImageFont.load_default(size=17))
