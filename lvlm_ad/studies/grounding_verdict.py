"""The verdict of a grounding study: what it says first in a sentence, and what else it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.studies.corruptions import CORRUPTIONS
from lvlm_ad.studies.wording import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lvlm_ad.studies.grounding_record import (
        ContaminationFigures,
        CorruptionFigures,
        GroundingFigures,
        MethodFigures,
    )
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
    """Say which corruption surely lowers image AUROC most, or that none does, and which ones were not answered."""
    if not figures.corruptions:
        return
    answered = [one for one in figures.corruptions if one.drop.value is not None]
    if not answered:
        yield "what corruptions do is unknown: too few corrupted images were answered"
        return
    sure = [one for one in answered if one.drop.interval is not None and one.drop.interval[0] > 0]
    worst = max(answered, key=lambda one: one.drop.value or 0.0)
    if worst in sure:
        said = f"of the corruptions, {worst.kind} hurts most ({_drop(worst)})"
    elif sure:
        surest = max(sure, key=lambda one: one.drop.value or 0.0)
        said = f"of the corruptions, {surest.kind} surely lowers image AUROC ({_drop(surest)})"
    elif (worst.drop.value or 0.0) <= 0:
        said = _none_lowers(answered)
    else:
        said = f"{_none_lowers(answered, 'surely ')} (the largest drop, of {worst.kind}: {_drop(worst)})"
    yield "; ".join([said, *_unanswered(figures.corruptions)])


def _none_lowers(answered: Sequence[CorruptionFigures], surely: str = "") -> str:
    """Say that none of the corruptions that were answered lowers image AUROC; they are named unless all were."""
    kinds = [one.kind for one in answered]
    if len(kinds) == 1:
        return f"{kinds[0]} does not {surely}lower image AUROC"
    subject = "no corruption" if len(kinds) == len(CORRUPTIONS) else f"none of {together(kinds)}"
    return f"{subject} {surely}lowers image AUROC"


def _unanswered(corruptions: Sequence[CorruptionFigures]) -> Iterator[str]:
    """Say which corruptions were not asked, or not at every severity, because the study ended before."""
    levels = {one.kind: _answered_levels(one) for one in corruptions}
    wanted = {point.level for one in corruptions for point in one.points if point.level}
    if missing := [kind for kind in CORRUPTIONS if not levels.get(kind)]:
        yield f"{together(missing)} {'was' if len(missing) == 1 else 'were'} not answered"
    for kind, found in levels.items():
        if found and (left := sorted(wanted - found)):
            yield f"{kind} was not answered at severity {together([str(level) for level in left])}"


def _answered_levels(one: CorruptionFigures) -> set[int]:
    """Return the severities that count in a corruption's drop: those that half of the base's images answered."""
    base = next((point.images for point in one.points if point.level == 0), 0)
    return {point.level for point in one.points if point.level and 2 * point.images >= base > 0}


def _drop(one: CorruptionFigures) -> str:
    assert one.drop.value is not None  # noqa: S101 - the callers checked it
    ends = one.drop.interval
    shown = ", without an interval" if ends is None else " [{:.1f}, {:.1f}]".format(*(100 * end for end in ends))
    return f"{100 * one.drop.value:.1f} points of image AUROC{shown}"


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
