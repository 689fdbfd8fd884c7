"""The verdict on two studies: which model is more stable, and which is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.studies.changes import Change, changed_points, simultaneous
from lvlm_ad.studies.comparison_figures import AUROC, FLIPS
from lvlm_ad.studies.stability_changes import OtherWays
from lvlm_ad.studies.stability_record import StabilityFigures
from lvlm_ad.studies.stability_verdict import WANTED
from lvlm_ad.studies.values import figures_of

if TYPE_CHECKING:
    from lvlm_ad.studies.comparison_figures import StudyDifference, StudyPair

__all__ = ["comparison_verdict"]


def comparison_verdict(pair: StudyPair, differences: Sequence[StudyDifference]) -> str:
    """Say in a few sentences which of two models is better, and of studies of stability which is more stable.

    A model is surely better or more stable if the 95 % interval of the difference excludes 0. These are one question
    each, asked of the base. What else surely differs is chosen from many differences, whose intervals hold together.
    """
    return " ".join([*_accuracy(pair, differences), *_stability(pair, differences), *_others(differences)])


def _names(pair: StudyPair) -> tuple[str, str]:
    """Name both models; a study of efficiency has several of them."""
    return ("the first study", "the second study") if pair.studies[0].kind == "efficiency" else pair.names


def _accuracy(pair: StudyPair, differences: Sequence[StudyDifference]) -> Iterator[str]:
    found = next((one for one in differences if one.name == AUROC), None)
    if found is None or found.difference.value is None:
        yield "Which one is better is unknown: image AUROC is undefined."
        return
    ends, (first, second) = found.difference.interval, _names(pair)
    place = "the base" if found.part == "base" else found.part
    said = f"image AUROC of {first} minus that of {second} is {changed_points(found.difference)}"
    if found.sure:
        yield f"With {place}, {first if found.difference.value > 0 else second} is surely better: {said}."
        yield from _asked_otherwise(pair, abs(found.difference.value))
    elif ends is not None and max(-ends[0], ends[1]) < WANTED:
        yield f"With {place}, neither is better by {100 * WANTED:g} points: {said}."
    else:
        yield f"With {place}, which one is better is not decided: {said}."


def _asked_otherwise(pair: StudyPair, difference: float) -> Iterator[str]:
    """Warn where another way of asking surely changes a model, and as much as the models differ."""
    for study, name in zip(pair.studies, pair.names, strict=True):
        figures = figures_of(study)
        sure = OtherWays.of(figures).sure if isinstance(figures, StabilityFigures) else None
        if sure is not None and sure.size >= difference:
            change = f"{sure.words} changes image AUROC of {name} by {changed_points(sure.number)}"
            yield f"That holds for the question of the base only: {change}."


def _stability(pair: StudyPair, differences: Sequence[StudyDifference]) -> Iterator[str]:
    found = next((one for one in differences if one.name == FLIPS), None)
    if found is None:
        return
    if found.difference.value is None or found.first is None or found.second is None:
        yield "Which one is more stable is unknown: no image was answered twice in both studies."
        return
    first, second = pair.names
    said = (
        f"decisions of {first} flip in {100 * found.first:.1f} % of pairs of answers, those of {second} in "
        f"{100 * found.second:.1f} % (difference {changed_points(found.difference)})"
    )
    if found.sure:
        yield f"{first if found.difference.value < 0 else second} is surely more stable: {said}."
    else:
        yield f"Neither is surely more stable: {said}."


def _others(differences: Sequence[StudyDifference]) -> Iterator[str]:
    """Name what else surely differs, prices left out; of each figure the first part that does."""
    others = [one for one in differences if one.unit == "percent" and one.name not in {AUROC, FLIPS}]
    changes = simultaneous([Change(one.name, one.difference, one.images) for one in others])
    sure: dict[str, str] = {}
    for one, change in zip(others, changes, strict=True):
        if change.sure:
            sure.setdefault(one.name, f"{one.name} ({one.part}), {changed_points(change.number)}")
    if sure:
        yield f"Of {len(others)} other differences, these are sure: {'; '.join(sure.values())}."
