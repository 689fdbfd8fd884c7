"""The verdict of a grounding study: one sentence on what it found in each of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lvlm_ad.studies.grounding_record import ContaminationFigures, GroundingFigures, MethodFigures
    from lvlm_ad.studies.record import Number

__all__ = ["verdict"]

_STEPS = {
    "division": "cutting it into regions",
    "naming": "naming the wrong regions or none",
    "score": "the scores of named regions",
}


def verdict(figures: GroundingFigures) -> str:
    """Say in a sentence what a grounding study found.

    Example:
        >>> from lvlm_ad.studies.grounding_record import GroundingFigures
        >>> verdict(GroundingFigures(
        ...     methods=[], marks=[], losses=[], resolution=[], corruptions=[], contamination=[], undefined=[]))
        'Nothing can be said yet: too few images were answered.'
    """
    said = [*_places(figures), *_marks(figures), *_losses(figures), *_resolution(figures)]
    said += [*_corruptions(figures), *_contamination(figures.contamination)]
    if not said:
        return "Nothing can be said yet: too few images were answered."
    sentence = "; ".join(said) + "."
    return sentence[0].upper() + sentence[1:]


def _places(figures: GroundingFigures) -> Iterator[str]:
    """Say how many defects the base hits, or else the first method that names places; and how many of the smallest."""
    rates = [(rate, one) for one in figures.methods if (rate := _of_all(one)) is not None]
    if not rates:
        return
    rate, base = rates[0]
    smallest = base.hits[0]
    small = f", {_percent(smallest.rate.value or 0.0)} of those that cover {smallest.size} of the image"
    yield f"{_percent(rate)} of the defects are hit ({base.method}){small if len(base.hits) > 2 else ''}"  # noqa: PLR2004


def _of_all(one: MethodFigures) -> float | None:
    return one.hits[-1].rate.value if one.hits else None


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
    lost = 100 * (worst.lost.value or 0.0)
    yield f"of {100 * total:.0f} points of pixel AP that are lost, {lost:.0f} are lost by {_STEPS[worst.step]}"


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
    ends = "" if one.interval is None else " [{:+.1f}, {:+.1f}]".format(*(100 * end for end in one.interval))
    return f"{100 * one.value:+.1f} points{ends}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
