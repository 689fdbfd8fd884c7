"""The answer of a stability study: what can make two versions of a model seem to differ that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.studies.stability_verdict import WANTED

if TYPE_CHECKING:
    from lvlm_ad.studies import StabilityFigures

__all__ = ["Check", "stability_checks"]


@dataclass(frozen=True)
class Check:
    """A reason why two versions may seem to differ.

    Attributes:
        reason: the reason.
        points: how large a difference of image AUROC it can cause, in percentage points; None: unknown.
        passed: whether that is too small to cause the difference that is to be told; None: unknown.
        meaning: what the number of points means, or why there is none.
        advice: what to do if it can cause that difference.
    """

    reason: str
    points: float | None
    passed: bool | None
    meaning: str
    advice: str


def stability_checks(figures: StabilityFigures) -> list[Check]:
    """Compare each reason with the difference that is to be told, by the limits of the study's verdict."""
    noise = figures.auroc
    asking, factor, sampling = noise.asking, noise.factor, noise.sampling
    return [
        Check(
            "Asked again, the same question",
            _in_points(asking),
            None if asking is None else asking < WANTED,
            "the base was not answered twice"
            if asking is None
            else "95 of 100 differences between two times are smaller",
            "Join several answers about each image, or lower the temperature.",
        ),
        Check(
            "Asked in another way",
            _in_points(factor),
            None if factor is None else factor < WANTED,
            "nothing else was varied" if factor is None else f"the most of what was tried: {noise.level}",
            "Ask both versions in exactly the same way.",
        ),
        Check(
            "Asked about other images",
            _in_points(sampling),
            None if sampling is None else sampling <= WANTED,
            "too few images for an interval" if sampling is None else "up or down, by the 95 % interval",
            "Ask about more images, and ask both versions about the same ones.",
        ),
    ]


def _in_points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
