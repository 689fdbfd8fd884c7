"""The figures of two studies that a comparison shows, and their differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lvlm_ad.metrics.differences import square_and_add
from lvlm_ad.studies.changes import Change
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.stability_levels import CROSSED

if TYPE_CHECKING:
    from lvlm_ad.studies.paired_answers import Paired, PairedAnswers
    from lvlm_ad.studies.record import Study
    from lvlm_ad.studies.values import StudyValue

__all__ = ["AUROC", "COMPARED", "FLIPS", "StudyDifference", "StudyPair"]

AUROC, FLIPS = "Image AUROC", "Flip rate"

Unit = Literal["percent", "score", "usd", "seconds"]


@dataclass(frozen=True)
class StudyDifference:
    """A figure of two studies.

    Attributes:
        name: what it is.
        part: of what: a condition, or some of the images.
        unit: "percent": a fraction in 0..1, shown in percent; "score": in 0..1; "usd" and "seconds": of an image.
        first: the first study's; None where it is undefined.
        second: the second study's.
        difference: first minus second, with its 95 % interval over the choice of images.
        paired: whether images were compared one by one. Otherwise the interval treats the studies as independent,
            and is usually too wide.
        images: how many images the difference comes from; of hits: how many defects.
    """

    name: str
    part: str
    unit: Unit
    first: float | None
    second: float | None
    difference: Number
    paired: bool
    images: int

    @property
    def sure(self) -> bool:
        """Whether the interval of the difference excludes 0, or the difference is the same for 10 images or more."""
        return self._change.sure

    @property
    def equal(self) -> bool:
        """Whether the difference is the same for each of several images, and not 0."""
        return self._change.equal

    @property
    def _change(self) -> Change:
        return Change(self.name, self.difference, self.images)


@dataclass(frozen=True, eq=False)
class StudyPair:
    """Two studies of one kind on the same images.

    Attributes:
        studies: both.
        names: of both; they differ.
        answers: what they answered.
        values: of each study its numbers, by figure and part.
    """

    studies: tuple[Study, Study]
    names: tuple[str, str]
    answers: PairedAnswers
    values: tuple[Mapping[tuple[str, str], StudyValue], Mapping[tuple[str, str], StudyValue]]


def _of_stability(pair: StudyPair) -> Iterator[StudyDifference]:
    """List the accuracy of the base, how often decisions flip, how far scores and maps spread, and the price."""
    yield from _aurocs(pair, ["base"])
    again = [
        [one.name for one in study.conditions if one.run and one.factor in {"", "repeat"}] for study in pair.studies
    ]
    thresholds = [values["threshold", ""].value or 0.0 for values in pair.values]
    for part, label in (("all images", None), ("good images", False), ("anomalous images", True)):
        yield _paired(FLIPS, part, "percent", pair.answers.flips(again, thresholds, label=label))
    yield from _unpaired(pair, "repeats.answering.rate", "Answered one time and not another", _every_image)
    yield _paired("SD of score", "asked again", "score", pair.answers.spread(again))
    for factor, levels in _levels(pair).items():
        yield _paired("SD of score", factor, "score", pair.answers.spread([levels, levels]))
    yield from _unpaired(pair, "map_test_retest", "Map difference", lambda _: "asked again", "score")
    yield from _prices(pair, ["base"])


def _of_grounding(pair: StudyPair) -> Iterator[StudyDifference]:
    """List the accuracy of each way of asking, hits, where quality is lost, corruptions, and the price."""
    common = set(pair.answers.common)
    asked = [one.name for one in pair.studies[0].conditions if one.name in common and one.factor != "corruption"]
    yield from _aurocs(pair, asked)
    yield from _unpaired(pair, "methods.hits.rate", "Defects hit", _hit)
    yield from _unpaired(pair, "methods.pixel_ap", "Pixel AP", lambda part: part[1])
    yield from _unpaired(pair, "losses.steps.lost", "Pixel AP lost", _lost)
    yield from _unpaired(pair, "corruptions.drop", "Drop by corruption", lambda part: part[0])
    yield from _prices(pair, asked)


def _of_efficiency(pair: StudyPair) -> Iterator[StudyDifference]:
    """List accuracy, pixel AP and price of each combination."""
    common = set(pair.answers.common)
    asked = [one.name for one in pair.studies[0].conditions if one.name in common and one.factor != "repeat"]
    yield from _aurocs(pair, asked)
    yield from _unpaired(pair, "rows.pixel_ap", "Pixel AP", lambda part: _level(pair, part[0]))
    yield from _prices(pair, asked)


def _levels(pair: StudyPair) -> dict[str, list[str]]:
    """Return the factors of which both studies asked the same levels, two or more, each once."""
    levels: dict[str, list[str]] = {}
    for one in pair.studies[0].conditions:
        if one.name in pair.answers.common and one.factor not in {"", "repeat", *CROSSED.values()}:
            levels.setdefault(one.factor, []).append(one.name)
    return {factor: names for factor, names in levels.items() if len(names) > 1}


def _aurocs(pair: StudyPair, conditions: Iterable[str]) -> Iterator[StudyDifference]:
    for name in conditions:
        yield _paired(AUROC, _level(pair, name), "percent", pair.answers.auroc(name))


def _prices(pair: StudyPair, conditions: Iterable[str]) -> Iterator[StudyDifference]:
    """Compare what an image cost and how long it took; where this is unknown there is no row."""
    fields: tuple[tuple[str, str, Unit], ...] = (
        ("cost_usd", "USD per image", "usd"),
        ("seconds", "Seconds per image", "seconds"),
    )
    for field, title, unit in fields:
        for name in conditions:
            found = pair.answers.mean(name, field)
            if found.images:
                yield _paired(title, _level(pair, name), unit, found)


def _level(pair: StudyPair, condition: str) -> str:
    """Return what a condition is, in words; the base of a study of stability has none but its name."""
    return next(one.level for one in pair.studies[0].conditions if one.name == condition) or condition


def _paired(name: str, part: str, unit: Unit, found: Paired) -> StudyDifference:
    return StudyDifference(
        name, part, unit, found.first, found.second, found.difference, paired=True, images=found.images
    )


def _every_image(part: list[str]) -> str | None:
    """Name a figure of all images; those of good and of anomalous ones are left out."""
    return "all images" if part == ["all"] else None


def _hit(part: list[str]) -> str | None:
    """Name a hit rate: that of all defects, and of the base that of each size."""
    condition, method, size = part
    if size == "all":
        return method
    return f"{method}, {size} of the image" if condition == "base" else None


def _lost(part: list[str]) -> str | None:
    """Name a loss of pixel AP against the step before."""
    metric, _, method, step = part
    return f"{method}, by {step}" if metric == "pixel_ap" and step != "ideal" else None


def _unpaired(
    pair: StudyPair, figure: str, name: str, part_of: Callable[[list[str]], str | None], unit: Unit = "percent"
) -> Iterator[StudyDifference]:
    """Compare a figure of ``study.json`` that both studies have, as if it came from independent images.

    The interval of the difference is from those of the two figures by square-and-add (Newcombe, Stat. Med. 17:873-890,
    1998, method 10), with a correlation of 0.

    ``part_of`` names a part of the figure in words from what names it in ``StudyValue``; None leaves it out.
    """
    for (path, part), one in pair.values[0].items():
        other = pair.values[1].get((path, part))
        if path != figure or other is None or one.value is None or other.value is None:
            continue
        if (words := part_of(part.split("; "))) is None:
            continue
        ends, interval = (one.interval, other.interval), None
        if ends[0] is not None and ends[1] is not None:
            interval = square_and_add(one.value, ends[0], other.value, ends[1], 0.0)
        reason = "" if interval else "one of the two has no interval"
        found = Number(value=one.value - other.value, interval=interval, reason=reason)
        images = min(one.n or 0, other.n or 0)
        yield StudyDifference(name, words, unit, one.value, other.value, found, paired=False, images=images)


COMPARED: Mapping[str, Callable[[StudyPair], Iterator[StudyDifference]]] = {
    "efficiency": _of_efficiency,
    "grounding": _of_grounding,
    "stability": _of_stability,
}
"""Kind of study -> the figures that are compared, the most important first."""
