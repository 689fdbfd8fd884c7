"""The verdict of a grounding study: what it says first in a sentence, and what else it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lvlm_ad.studies.grounding_record import ContaminationFigures, GroundingFigures, MethodFigures
    from lvlm_ad.studies.record import Number

__all__ = ["findings", "verdict"]

_STEPS = {
    "division": "cutting the image into regions",
    "naming": "naming the wrong regions or none",
    "score": "the scores of named regions",
}


def verdict(figures: GroundingFigures) -> str:
    """Say in a sentence how many defects are hit and what loses most, or else what the study found first.

    Example:
        >>> from lvlm_ad.studies.grounding_record import GroundingFigures
        >>> verdict(GroundingFigures(
        ...     methods=[], marks=[], losses=[], resolution=[], corruptions=[], contamination=[], undefined=[]))
        'Nothing can be said yet: too few images were answered.'
    """
    first, _ = _said(figures)
    return _sentence(", and ".join(first) or "nothing can be said yet: too few images were answered")


def findings(figures: GroundingFigures) -> list[str]:
    """Say in a sentence each what a grounding study found besides its verdict.

    Example:
        >>> from lvlm_ad.studies.grounding_record import GroundingFigures
        >>> findings(GroundingFigures(
        ...     methods=[], marks=[], losses=[], resolution=[], corruptions=[], contamination=[], undefined=[]))
        []
    """
    _, others = _said(figures)
    return [_sentence(one) for one in others]


def _said(figures: GroundingFigures) -> tuple[list[str], list[str]]:
    """Return what the verdict says, and what remains for the findings."""
    first = [*_places(figures), *_losses(figures)]
    others = [*_smallest(figures), *_marks(figures), *_resolution(figures)]
    others += [*_corruptions(figures), *_contamination(figures.contamination)]
    return (first, others) if first else (others[:1], others[1:])


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _places(figures: GroundingFigures) -> Iterator[str]:
    """Say how many defects are hit."""
    if (one := _naming(figures)) is not None:
        yield f"{_percent(one.hits[-1].rate.value or 0.0)} of the defects are hit ({one.method})"


def _smallest(figures: GroundingFigures) -> Iterator[str]:
    """Say how many of the smallest defects are hit, if defects have several sizes."""
    one = _naming(figures)
    if one is not None and len(one.hits) > 2:  # noqa: PLR2004 - one size and all sizes
        smallest = one.hits[0]
        rate = _percent(smallest.rate.value or 0.0)
        yield f"{rate} of the defects that cover {smallest.size} of the image are hit ({one.method})"


def _naming(figures: GroundingFigures) -> MethodFigures | None:
    """Return the base if it names places, or else the first method that does."""
    return next((one for one in figures.methods if one.hits and one.hits[-1].rate.value is not None), None)


def _marks(figures: GroundingFigures) -> Iterator[str]:
    """Say what marks do to image AUROC, all else being the same if that was asked."""
    found = [one for one in figures.marks if one.auroc.value is not None]
    alike = [one for one in found if one.against.startswith("regions") or one.against == "base"]
    if chosen := next(iter((*alike, *found)), None):
        against = "an unmarked picture" if chosen in alike else "asking for the score alone"
        yield f"marks change image AUROC by {_points(chosen.auroc)} against {against}"


def _losses(figures: GroundingFigures) -> Iterator[str]:
    """Say where the base, or else the first method, loses most pixel AP."""
    found = next((one for one in figures.losses if one.metric == "pixel_ap"), None)
    if found is None:
        return
    worst = max(found.steps[1:], key=lambda one: one.lost.value or 0.0)
    total = 1 - (found.steps[-1].value.value or 0.0)
    if total > 0:
        lost = 100 * (worst.lost.value or 0.0)
        yield f"pixel AP loses most by {_STEPS[worst.step]} ({lost:.0f} of {100 * total:.0f} points lost)"


def _resolution(figures: GroundingFigures) -> Iterator[str]:
    """Say at which size image AUROC is highest, and whether that is surely better than the base."""
    points = [one for one in figures.resolution if one.auroc.value is not None]
    base = next((one for one in points if one.condition == "base"), None)
    if base is None or len(points) == 1:
        return
    best = max(points, key=lambda one: one.auroc.value or 0.0)
    if best.change.interval is not None and best.change.interval[0] > 0:
        yield f"{best.level} px change image AUROC by {_points(best.change)} against {base.level} px"
    else:
        yield f"no other size than {base.level} px is surely better"


def _corruptions(figures: GroundingFigures) -> Iterator[str]:
    if not figures.corruptions:
        return
    worst = next((one for one in figures.corruptions if one.kind == figures.worst_corruption), None)
    if worst is None or worst.drop.value is None:
        yield "no corruption lowers image AUROC"
    else:
        yield f"of the corruptions, {worst.kind} hurts most ({100 * worst.drop.value:.1f} points of image AUROC)"


def _contamination(screen: list[ContaminationFigures]) -> Iterator[str]:
    """Say what is suspicious, or that nothing is."""
    suspects = [one for one in screen if one.suspicious]
    for one in suspects:
        if one.condition == "without-image":
            yield f"without the image its AUROC is still {one.auroc.value:.2f}, so the text gives answers away"
        else:
            yield f"mirrored images change image AUROC by {_points(one.change)}, as if images were remembered"
    if not suspects and any(one.suspicious is False for one in screen):
        yield "nothing suggests that images are remembered"


def _points(one: Number) -> str:
    assert one.value is not None  # noqa: S101 - the callers checked it
    low, high = (f"{100 * end:+z.1f}" for end in one.interval or (0.0, 0.0))
    return f"{100 * one.value:+z.1f} points" + ("" if low == high else f" [{low}, {high}]")


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
