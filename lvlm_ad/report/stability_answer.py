"""The answer of a stability study: what can make two versions of a model seem to differ that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.studies.stability_changes import OtherWays
from lvlm_ad.studies.stability_verdict import (
    WANTED,
    asked_twice,
    difference_half_width,
    images_for_asking,
    lost_answers,
)

if TYPE_CHECKING:
    from lvlm_ad.studies import StabilityFigures
    from lvlm_ad.studies.stability_record import AurocNoise, RepeatFigures

__all__ = ["Check", "stability_checks"]

_NO_INTERVAL = "too few images for an interval"


@dataclass(frozen=True)
class Check:
    """A reason why two versions may seem to differ.

    Attributes:
        reason: the reason.
        passed: whether it is too small to cause the difference that is to be told; None: unknown.
        words: how large a difference of image AUROC it can cause, or why that is unknown.
        advice: what to do if it can cause that difference.
    """

    reason: str
    passed: bool | None
    words: str
    advice: str


def stability_checks(figures: StabilityFigures) -> list[Check]:
    """Compare each reason with the difference that is to be told, by the limits of the study's verdict."""
    lacking = _lacking(figures)
    return [
        _again(figures.auroc, figures.repeats.get("all"), lacking),
        _otherwise(figures.auroc, OtherWays.of(figures), lacking),
        _other_images(figures.auroc, lacking),
    ]


def _lacking(figures: StabilityFigures) -> str:
    """Say which kind of image was not answered twice, where the other one was; image AUROC needs both."""
    good, anomalous = (bool(one and one.images) for one in map(figures.repeats.get, ("good", "anomalous")))
    return "" if good == anomalous else f"no {'anomalous' if good else 'good'} image was answered twice"


def _again(noise: AurocNoise, repeats: RepeatFigures | None, lacking: str) -> Check:
    answering = None if repeats is None else repeats.answering
    passed: bool | None = None
    more = ""
    if noise.asking is None:
        words = lacking or "the base was not answered twice"
    else:
        words = asked_twice(noise.asking)
        if noise.asking >= WANTED:
            passed = False
            if repeats is not None and repeats.images:
                words = f"{words}, with {repeats.images} images"
                more = f"ask about more images (about {images_for_asking(noise.asking, repeats.images)}), "
        elif noise.sampling is None:
            words = f"{words}; {_NO_INTERVAL}"
        elif not noise.asking and not _enough(noise):
            words = f"{words}, but these images are too few to show that it never does"
        else:
            passed = True
    if answering is not None and answering.words:
        words = f"{answering.words}; of those answered every time, {words}"
        passed = False if lost_answers(answering) else passed
    advice = f"{more}average several answers about each image, or lower the temperature."
    return Check("Asked again, the same question", passed, words, f"{advice[0].upper()}{advice[1:]}")


def _otherwise(noise: AurocNoise, ways: OtherWays, lacking: str) -> Check:
    passed: bool | None = None
    words = ways.words or lacking or "nothing else was varied and answered"
    if ways.least >= WANTED:
        passed = False
    elif (farthest := ways.farthest) is not None and farthest.most < WANTED and _enough(noise):
        passed = True
    return Check("Asked in another way", passed, words, "Ask both versions in exactly the same way.")


def _other_images(noise: AurocNoise, lacking: str) -> Check:
    half = difference_half_width(noise)
    if half is None or noise.sampling is None:
        passed, words = None, lacking or _NO_INTERVAL
    else:
        passed = half <= WANTED
        words = (
            f"image AUROC of one version is known to ±{100 * noise.sampling:.1f} points, the difference of two that "
            f"are asked about different images to ±{100 * half:.1f}"
        )
    advice = "Ask about more images, and ask both versions about the same ones."
    return Check("Asked about other images", passed, words, advice)


def _enough(noise: AurocNoise) -> bool:
    """Whether the images suffice to show that a change is small."""
    half = difference_half_width(noise)
    return half is not None and half <= WANTED
