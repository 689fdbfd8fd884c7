"""The answer of a stability study: what can make two versions of a model seem to differ that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.studies.stability_verdict import WANTED

if TYPE_CHECKING:
    from lvlm_ad.studies import StabilityFigures
    from lvlm_ad.studies.stability_record import AurocNoise

__all__ = ["Check", "stability_checks"]

_NO_INTERVAL = "too few images for an interval"


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
    sampling, lacking = figures.auroc.sampling, _lacking(figures)
    return [
        _again(figures.auroc, lacking),
        _otherwise(figures.auroc, lacking),
        Check(
            "Asked about other images",
            _in_points(sampling),
            None if sampling is None else sampling <= WANTED,
            lacking or _NO_INTERVAL if sampling is None else "up or down, by the 95 % interval",
            "Ask about more images, and ask both versions about the same ones.",
        ),
    ]


def _lacking(figures: StabilityFigures) -> str:
    """Say which kind of image was not answered twice, where the other one was; image AUROC needs both."""
    good, anomalous = (bool(one and one.images) for one in map(figures.repeats.get, ("good", "anomalous")))
    return "" if good == anomalous else f"no {'anomalous' if good else 'good'} image was answered twice"


def _again(noise: AurocNoise, lacking: str) -> Check:
    size, passed, meaning = noise.asking, None, "95 of 100 differences between two times are smaller"
    if size is None:
        meaning = lacking or "the base was not answered twice"
    elif size >= WANTED:
        passed = False
    elif noise.sampling is None:
        meaning = _NO_INTERVAL
    elif not size and not _enough(noise):
        meaning = "no answer changed, but these images are too few to show that none does"
    else:
        passed = True
    advice = "Join several answers about each image, or lower the temperature."
    return Check("Asked again, the same question", _in_points(size), passed, meaning, advice)


def _otherwise(noise: AurocNoise, lacking: str) -> Check:
    size, passed = (noise.factor if noise.proven is None else noise.proven), None
    if size is None:
        meaning = lacking or "nothing else was varied and answered"
    elif noise.proven is not None:
        meaning = f"the most of what was tried: {noise.proven_level}"
        passed = False if size >= WANTED else (True if _enough(noise) else None)
    elif _enough(noise) and size < WANTED:
        meaning, passed = "the most of what was tried", True
    else:
        meaning = "the most of what was tried, which may be chance; more images would tell"
    return Check(
        "Asked in another way", _in_points(size), passed, meaning, "Ask both versions in exactly the same way."
    )


def _enough(noise: AurocNoise) -> bool:
    """Whether the images suffice to show that a change is small."""
    return noise.sampling is not None and noise.sampling <= WANTED


def _in_points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
