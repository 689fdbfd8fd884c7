"""The verdict on two studies: which model is more stable, and which is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard import signed
from lvlm_ad.studies.comparison_figures import AUROC, FLIPS
from lvlm_ad.studies.stability_record import StabilityFigures
from lvlm_ad.studies.stability_verdict import WANTED
from lvlm_ad.studies.values import figures_of

if TYPE_CHECKING:
    from lvlm_ad.studies.comparison_figures import StudyDifference, StudyPair
    from lvlm_ad.studies.record import Number

__all__ = ["comparison_verdict"]


def comparison_verdict(pair: StudyPair, differences: Sequence[StudyDifference]) -> str:
    """Say in a few sentences which of two models is better, and of studies of stability which is more stable.

    A model is surely better or more stable if the 95 % interval of the difference excludes 0.
    """
    return " ".join([*_accuracy(pair, differences), *_stability(pair, differences), *_others(differences)])


def _accuracy(pair: StudyPair, differences: Sequence[StudyDifference]) -> Iterator[str]:
    found = next((one for one in differences if one.name == AUROC), None)
    if found is None or found.difference.value is None:
        yield "Which one is better is unknown: image AUROC is undefined."
        return
    what, ends = f"image AUROC ({found.part})", found.difference.interval
    first, second = pair.names
    said = f"{what} of {first} minus that of {second} is {_signed(found.difference)}"
    if found.sure:
        yield f"{first if found.difference.value > 0 else second} is surely better: {said}."
        yield from _asked_otherwise(pair, abs(found.difference.value))
    elif ends is not None and max(-ends[0], ends[1]) < WANTED:
        yield f"Neither is better by {100 * WANTED:g} points: {said}."
    else:
        yield f"Which one is better is not decided: {said}."


def _asked_otherwise(pair: StudyPair, difference: float) -> Iterator[str]:
    """Warn where another way of asking changes as much as the models differ."""
    for study, name in zip(pair.studies, pair.names, strict=True):
        figures = figures_of(study)
        if isinstance(figures, StabilityFigures) and (figures.auroc.proven or 0.0) >= difference:
            change = f"{100 * (figures.auroc.proven or 0.0):.1f} points"
            yield f"That holds for the question of the base: {figures.auroc.proven_level} changes {name} by {change}."


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
        f"{100 * found.second:.1f} % (difference {_signed(found.difference)})"
    )
    if found.sure:
        yield f"{first if found.difference.value < 0 else second} is surely more stable: {said}."
    else:
        yield f"Neither is surely more stable: {said}."


def _others(differences: Sequence[StudyDifference]) -> Iterator[str]:
    """Name what else surely differs, prices left out; of each figure the first part that does."""
    sure: dict[str, str] = {}
    for one in differences:
        if one.sure and one.unit == "percent" and one.name not in {AUROC, FLIPS}:
            sure.setdefault(one.name, f"{one.name} ({one.part}), {_signed(one.difference)}")
    if sure:
        yield f"Surely different, too: {'; '.join(sure.values())}."


def _signed(number: Number) -> str:
    ends = "" if number.interval is None else f" [{', '.join(map(signed, number.interval))}]"
    return f"{signed(number.value)} points{ends}"
