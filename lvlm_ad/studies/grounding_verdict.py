"""The verdict of a grounding study: what it says first in a sentence, and what else it found.

All changes that these sentences choose from have intervals that hold together, see ``lvlm_ad.studies.changes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.metrics.front import CHANCE
from lvlm_ad.metrics.stability.measured import ALIKE
from lvlm_ad.studies.changes import Change, changed_points, simultaneous
from lvlm_ad.studies.corruptions import CORRUPTIONS
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.wording import bracketed, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lvlm_ad.studies.grounding_record import (
        CorruptionFigures,
        GroundingFigures,
        MethodFigures,
    )

__all__ = ["findings", "verdict"]

_STEPS = {
    "division": "cutting the image into regions",
    "naming": "defective regions that are not named",
    "score": "the scores of the named regions, wrong ones included",
}


def verdict(figures: GroundingFigures) -> str:
    """Say in a sentence how many defects are hit and what loses most, or else what the study found first.

    Example:
        >>> from lvlm_ad.studies.grounding_record import GroundingFigures
        >>> verdict(GroundingFigures(
        ...     methods=[], marks=[], losses=[], resolution=[], corruptions=[], contamination=[], undefined=[]))
        'Nothing can be said yet: too few images were answered.'
    """
    first, _ = _first_and_others(figures)
    return _sentence("; ".join(first) or "nothing can be said yet: too few images were answered")


def findings(figures: GroundingFigures) -> list[str]:
    """Say in a sentence each what a grounding study found besides its verdict.

    Example:
        >>> from lvlm_ad.studies.grounding_record import GroundingFigures
        >>> findings(GroundingFigures(
        ...     methods=[], marks=[], losses=[], resolution=[], corruptions=[], contamination=[], undefined=[]))
        []
    """
    _, others = _first_and_others(figures)
    return [_sentence(one) for one in others]


@dataclass(frozen=True)
class _Changes:
    """What the sentences choose from, with intervals that hold together.

    Attributes:
        marks: of image AUROC, of the score of good and of anomalous images by marked regions, against the same without
            marks, or else against the score alone.
        sizes: of image AUROC at other sizes.
        drops: of image AUROC by corruptions.
        blind: image AUROC without the image, minus 0.5.
        mirrored: of image AUROC on mirrored images.
    """

    marks: tuple[Change, ...]
    sizes: tuple[Change, ...]
    drops: tuple[Change, ...]
    blind: tuple[Change, ...]
    mirrored: tuple[Change, ...]

    @classmethod
    def of(cls, figures: GroundingFigures) -> _Changes:
        screen = {one.condition: one for one in figures.contamination}
        blind, mirrored = screen.get("without-image"), screen.get("mirrored")
        groups = (
            _mark_changes(figures),
            [
                Change(f"{one.level} px", one.change, one.images)
                for one in figures.resolution
                if one.condition != "base"
            ],
            [Change(one.kind, one.drop, _images_of(one)) for one in figures.corruptions],
            [] if blind is None else [Change("without the image", _above_chance(blind.auroc), blind.images)],
            [] if mirrored is None else [Change("mirrored images", mirrored.change, mirrored.images)],
        )
        found = iter(simultaneous([one for group in groups for one in group]))
        return cls(*(tuple(next(found) for _ in group) for group in groups))


def _mark_changes(figures: GroundingFigures) -> list[Change]:
    """Return what marks change, all else being the same if that was asked."""
    images = {one.condition: one.images for one in figures.methods}
    scores = {one.condition for one in figures.methods if one.method == "score"}
    found = [one for one in figures.marks if one.auroc.value is not None]
    alike = [one for one in found if one.against not in scores]
    words = "marks on the picture" if alike else "a question about marked regions instead of one for a score alone"
    return [
        Change(words, number, images.get(one.condition, 0))
        for one in (alike or found)[:1]
        for number in (one.auroc, one.good, one.anomalous)
    ]


def _images_of(one: CorruptionFigures) -> int:
    """Return how many images a corruption's drop comes from at most."""
    return min((point.images for point in one.points if point.level in _answered_levels(one)), default=0)


def _above_chance(auroc: Number) -> Number:
    if auroc.value is None or auroc.interval is None:
        return auroc
    low, high = auroc.interval
    return Number(value=auroc.value - CHANCE, interval=(low - CHANCE, high - CHANCE))


def _first_and_others(figures: GroundingFigures) -> tuple[list[str], list[str]]:
    """Return what the verdict says, and what remains for the findings."""
    changes = _Changes.of(figures)
    first = [*_places(figures), *_losses(figures)]
    others = [*_smallest(figures), *_marks(changes), *_resolution(figures, changes)]
    others += [*_corruptions(figures, changes), *_contamination(changes)]
    return (first, others) if first else (others[:1], others[1:])


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _places(figures: GroundingFigures) -> Iterator[str]:
    """Say how many defects are hit, and how much of the normal area is named for that."""
    if (one := _naming(figures)) is not None:
        named = "" if one.false_share is None else f" and {_share(one.false_share)} of the normal area is named"
        yield f"{_percent(one.hits[-1].rate)} of the defects are hit{named} ({one.method})"


def _smallest(figures: GroundingFigures) -> Iterator[str]:
    """Say how many of the smallest defects are hit, if defects have several sizes."""
    one = _naming(figures)
    if one is not None and len(one.hits) > 2:  # noqa: PLR2004 - one size and all sizes
        rate = _percent(one.hits[0].rate)
        yield f"{rate} of the defects that cover {one.hits[0].size} of the image are hit ({one.method})"


def _naming(figures: GroundingFigures) -> MethodFigures | None:
    """Return the base if it names places, or else the first method that does."""
    return next((one for one in figures.methods if one.hits and one.hits[-1].rate.value is not None), None)


def _marks(changes: _Changes) -> Iterator[str]:
    """Say what marks do to image AUROC, and to scores where that is sure."""
    if not changes.marks:
        return
    auroc, *scores = changes.marks
    if auroc.sure:
        yield f"image AUROC surely changes by {changed_points(auroc.number)} with {auroc.words}"
    else:
        yield f"no sure change of image AUROC with {auroc.words} ({changed_points(auroc.number)})"
    shifts = [
        f"that of {name} images by {changed_points(one.number)}"
        for name, one in zip(("good", "anomalous"), scores, strict=True)
        if one.sure
    ]
    if shifts:
        yield f"the mean score (0 to 100) surely changes with {auroc.words}: {joined(shifts)}"


def _losses(figures: GroundingFigures) -> Iterator[str]:
    """Say where the base, or else the first method, loses most pixel AP."""
    found = next((one for one in figures.losses if one.metric == "pixel_ap"), None)
    if found is None:
        return
    worst = max(found.steps[1:], key=lambda one: one.lost.value or 0.0)
    total = 1 - (found.steps[-1].value.value or 0.0)
    if total > 0:
        ends = bracketed(worst.lost.interval, 0)
        lost = f"{_of_hundred(worst.lost.value or 0.0)}{ends} of {_of_hundred(total)} points lost"
        yield f"the largest loss of pixel AP is by {_STEPS[worst.step]} ({lost})"


def _resolution(figures: GroundingFigures, changes: _Changes) -> Iterator[str]:
    """Say which size is surely better than the base, or that none is."""
    base = next((one.level for one in figures.resolution if one.condition == "base"), None)
    tried = [one for one in changes.sizes if one.number.value is not None]
    if base is None or not tried:
        return
    better = [one for one in tried if one.sure and (one.number.value or 0.0) > 0]
    best = max(better or tried, key=lambda one: one.number.value or 0.0)
    points = changed_points(best.number)
    if better:
        yield f"{best.words} surely changes image AUROC by {points} against {base} px"
    else:
        yield f"no size tried is surely better than {base} px (the best change, at {best.words}: {points})"


def _corruptions(figures: GroundingFigures, changes: _Changes) -> Iterator[str]:
    """Say which corruption surely lowers image AUROC most, or that none does, and which ones were not answered."""
    if not figures.corruptions:
        return
    answered = [one for one in changes.drops if one.number.value is not None]
    if not answered:
        yield "what corruptions do is unknown: too few corrupted images were answered"
        return
    sure = [one for one in answered if one.sure and (one.number.value or 0.0) > 0]
    worst = max(sure or answered, key=lambda one: one.number.value or 0.0)
    if sure:
        several = f", the largest sure drop of {len(answered)}" if len(answered) > 1 else ""
        said = f"{worst.words} surely lowers image AUROC by {_drop(worst.number)}{several}"
    else:
        none = _none_lowers([one.words for one in answered])
        said = f"{none} (the largest drop, by {worst.words}: {_drop(worst.number)})"
    yield "; ".join([said, *_unanswered(figures.corruptions)])


def _none_lowers(kinds: Sequence[str]) -> str:
    """Say that none of the corruptions that were answered surely lowers image AUROC; they are named unless all were."""
    if len(kinds) == 1:
        return f"{kinds[0]} does not surely lower image AUROC"
    subject = "no corruption" if len(kinds) == len(CORRUPTIONS) else f"none of {joined(kinds)}"
    return f"{subject} surely lowers image AUROC"


def _unanswered(corruptions: Sequence[CorruptionFigures]) -> Iterator[str]:
    """Say which corruptions were not asked, or not at every severity, because the study ended before."""
    levels = {one.kind: _answered_levels(one) for one in corruptions}
    wanted = {point.level for one in corruptions for point in one.points if point.level}
    if missing := [kind for kind in CORRUPTIONS if not levels.get(kind)]:
        yield f"{joined(missing)} {'was' if len(missing) == 1 else 'were'} not answered"
    for kind, found in levels.items():
        if found and (others := sorted(wanted - found)):
            yield f"{kind} was not answered at severity {joined([str(level) for level in others])}"


def _answered_levels(one: CorruptionFigures) -> set[int]:
    """Return the severities that count in a corruption's drop: those that half of the base's images answered."""
    base = next((point.images for point in one.points if point.level == 0), 0)
    return {point.level for point in one.points if point.level and 2 * point.images >= base > 0}


def _contamination(changes: _Changes) -> Iterator[str]:
    """Say what points to answers from somewhere else than the picture, or what was measured without such a sign."""
    signs, quiet = [], []
    for one in changes.blind:
        if one.number.interval is None:
            quiet.append("without the image: too few answers")
            continue
        low, high = one.number.interval
        ends = bracketed((low + CHANCE, high + CHANCE), 0)
        auroc = f"without the image, image AUROC is {_of_hundred((one.number.value or 0.0) + CHANCE)} %{ends}"
        if one.sure:
            signs.append(f"{auroc}, not 50 %: something other than the picture tells good from anomalous images")
        else:
            quiet.append(auroc)
    for one in changes.mirrored:
        if one.number.interval is None:
            quiet.append("mirrored images: too few answers")
            continue
        said = f"mirrored images change image AUROC by {changed_points(one.number)}"
        if one.sure and (one.number.value or 0.0) < 0:
            signs.append(
                f"{said}: images that are remembered would explain it, and so would text or parts with a left "
                "and a right"
            )
        else:
            quiet.append(said)
    yield from signs
    if not signs and any(one.number.interval for one in (*changes.blind, *changes.mirrored)):
        yield f"no sure sign that images are remembered ({'; '.join(quiet)})"


def _drop(one: Number) -> str:
    if one.interval is None and one.reason == ALIKE:
        ends = f" ({ALIKE})"
    elif one.interval is None:
        ends = f", without an interval: {one.reason or 'too few images'}"
    else:
        ends = bracketed(one.interval)
    return f"{100 * (one.value or 0.0):z.1f} points{ends}"


def _percent(one: Number) -> str:
    return f"{_of_hundred(one.value or 0.0)} %{bracketed(one.interval, 0)}"


def _share(value: float) -> str:
    """Write a share in whole percent; a small one is not called 0."""
    return "below 1 %" if 0 < value < 0.005 else f"{_of_hundred(value)} %"  # noqa: PLR2004 - rounds to 0


def _of_hundred(value: float) -> str:
    return f"{100 * value:z.0f}"
