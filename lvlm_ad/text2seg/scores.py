"""What Text2Segmentation returns: how the statements of an answer become scores, and the scores a map.

A statement gives one number to the image or to regions. An answer may hold several verdicts, such as a draft and a
final one: an image score and the region scores that belong to it. The last complete verdict counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.text2seg.numbers import BEYOND, Number, Span
from lvlm_ad.text2seg.scale import UNIT, Scale, scale_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg.expected import Expected

Status = Literal["ok", "partial", "refused", "unparsable", "truncated", "failed", "unasked"]

UNANSWERED: tuple[Status, ...] = ("failed", "unasked")
"""There is no answer; the same command asks again."""

_MOST_NOTES = 20
_LONGEST_QUOTE = 40


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores in one answer.

    Attributes:
        image: image anomaly score in [0, 1], higher is more anomalous; None if the answer gives none.
        regions: region number (from 1) -> score in [0, 1]; regions not named are absent.
        status: "ok"; "partial" (usable, but something was wrong or missing, see notes); "refused"; "unparsable";
            "truncated" (cut off; the scores before the cut are kept); "failed" (no answer came);
            "unasked" (the question was not asked, because of the budget or because it waits in a batch).
        notes: what was wrong, one short sentence each.
        expected: how many of these scores are expected values; the others are as written.

    Example:
        >>> Scores(0.9, {3: 0.7}).usable
        True
    """

    image: float | None
    regions: Mapping[int, float] = field(default_factory=dict)
    status: Status = "ok"
    notes: tuple[str, ...] = ()
    expected: int = 0

    @property
    def usable(self) -> bool:
        """Whether there is an image score, so that the image can be measured."""
        return self.image is not None


@dataclass(frozen=True, slots=True)
class Statement:
    """A number that an answer gives to the image or to regions."""

    score: Number | None  # None: there is only a note
    regions: tuple[Span, ...] = ()  # whose score it is; empty: it is the image score
    complete: bool = False  # it is part of a JSON object that names all its regions itself
    note: str = ""  # what is wrong, if anything
    unread: bool = False  # the note quotes a number that may be a score and was not read
    picture: int | None = None  # which one it is about: a number, ``REFERENCE``, or None: the one under inspection


REFERENCE = 0
"""The picture of a flawless product, shown for comparison."""


def quoted(text: str) -> str:
    """Quote a piece of an answer: at most 40 characters, none of which can act on a terminal."""
    # Cut first: the piece may be the whole answer.
    shown = "".join(c if c.isprintable() else " " for c in text[: _LONGEST_QUOTE + 1])
    return f"'{shown}'" if len(text) <= _LONGEST_QUOTE else f"'{shown[: _LONGEST_QUOTE - 3]}...'"


@dataclass(slots=True)
class _Verdict:
    """An image score and the region scores that belong to it, as the answer writes them."""

    complete: bool = False  # it is a JSON object that names all its regions itself
    image: Number | None = None
    regions: list[Statement] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # without values: each note once, in order
    unread: dict[str, None] = field(default_factory=dict)  # notes on numbers that were not read, likewise

    @property
    def numbers(self) -> list[Number]:
        scores = [self.image, *(statement.score for statement in self.regions)]
        return [score for score in scores if score is not None]

    def note(self, text: str) -> None:
        if text:
            self.notes[text] = None

    def repeats(self, other: _Verdict) -> bool:
        """Tell whether this is a remark on another verdict: its image score again, and no regions."""
        if self.image is None or other.image is None or self.regions or self.complete:
            return False
        return self.image.value == other.image.value


@dataclass(slots=True)
class _Reading:
    """A verdict's scores in [0, 1]; what is wrong with the others is noted."""

    verdict: _Verdict
    image: Number | None = None
    regions: dict[int, Number] = field(default_factory=dict)
    unknown_scale: bool = False

    @classmethod
    def of(cls, verdict: _Verdict, n_regions: int, stated: Sequence[Scale]) -> _Reading:
        reading = cls(verdict)
        numbers = verdict.numbers
        scale, note = scale_of(numbers, stated)
        verdict.note(note)
        reading.unknown_scale = scale is None and len(numbers) > 1
        too_large = any(number.value > 1 for number in numbers)

        def checked(score: Number | None, name: str) -> Number | None:
            if score is None or (score.total is None and scale is None and score.in_range):
                return None
            if score.total is None and scale not in {UNIT, None}:
                score = replace(score, value=scale(score.value), rescaled=True)
            elif score.total is None and score.value == 1 and too_large:
                # Beside a score above 1, nobody knows what a 1 means.
                verdict.note(f"{quoted(score.written)} as {name} may be on another scale; it is left out.")
                return None
            if score.in_range:
                return score
            wrong = "is no single number" if math.isnan(score.value) else f"is outside {scale or UNIT}"
            verdict.note(f"{quoted(score.written)} as {name} {wrong}; it is left out.")
            return None

        reading.image = checked(verdict.image, "the image score")
        for statement in verdict.regions:
            reading._add(statement.regions, checked(statement.score, "the score of a region"), n_regions)
        return reading

    @property
    def usable(self) -> bool:
        return self.image is not None or bool(self.regions)

    def _add(self, spans: Iterable[Span], score: Number | None, n_regions: int) -> None:
        if score is None:
            return
        for number in self._drawn(spans, n_regions):
            if self.regions.get(number, score).value != score.value:
                self.verdict.note(f"Region {number} has two scores; the last one, {abs(score.value):g}, is kept.")
            self.regions[number] = score

    def _drawn(self, spans: Iterable[Span], n_regions: int) -> Iterable[int]:
        drawn: dict[int, None] = {}
        for first, last in dict.fromkeys(spans):
            drawn |= dict.fromkeys(range(max(first, 1), min(last, n_regions) + 1))
            if first < 1 or last > n_regions:
                one = f"Region {first if first < BEYOND else 'with a very large number'} was"
                several = f"Some of the regions {first} to {last if last < BEYOND else 'a very large number'} were"
                self.verdict.note(f"{one if first == last else several} not drawn; there are {n_regions}.")
        return drawn


def scores_of(
    statements: Iterable[Statement], n_regions: int, expected: Expected, stated: Sequence[Scale] = ()
) -> Scores:
    """Return the scores of the last complete verdict.

    An image score opens a verdict, and the regions after it belong to it. Regions before the first image score belong
    to it if none come after it. An image score that repeats the one before and names no regions is a remark on that
    verdict, not another one. The numbers as written decide which verdict counts; then the scales that the answer
    ``stated`` bring them to [0, 1], and ``expected`` replaces them.

    Returns:
        Scores with the status "ok" or "partial"; "unparsable", with an ``image`` of None, if nothing is usable.
    """
    before, verdicts = _Verdict(), list[_Verdict]()
    for statement in _of_our_picture(list(statements)):
        if statement.score is not None and not statement.regions:
            verdicts.append(_Verdict(statement.complete, statement.score))
        current = verdicts[-1] if verdicts else before
        if statement.regions and (statement.complete or not current.complete):
            current.regions.append(statement)
        if not statement.unread:
            current.note(statement.note)
        elif not current.complete:
            current.unread[statement.note] = None
    verdicts = _with_regions_before(before, verdicts)
    return _with_values(_last(verdicts, n_regions, stated), expected)


def _of_our_picture(statements: list[Statement]) -> Iterable[Statement]:
    """Yield the statements on the picture under inspection.

    A question shows it last, after the references. So of numbered pictures the last one counts, where no score stands
    for "the image" itself.
    """
    pictures = [each.picture for each in statements if each.score is not None and not each.regions]
    numbered = [picture for picture in pictures if picture is not None]
    ours = None if None in pictures else max(numbered, default=REFERENCE) or None
    picture, left_out = ours, False
    for statement in statements:
        if not statement.regions and statement.score is not None:
            picture = statement.picture
        if (picture if statement.picture is None else statement.picture) in {ours, None}:
            left_out = False
            yield statement
        else:
            left_out |= bool(statement.regions) and statement.picture is None
    if left_out:
        yield Statement(None, note="Scores of regions that follow the score of another picture are left out.")
    if ours is not None and len(set(pictures)) > 1:
        yield Statement(None, note=f"Several pictures are scored; the last one, {ours}, counts.")


def _with_regions_before(before: _Verdict, verdicts: list[_Verdict]) -> list[_Verdict]:
    """Give the regions that were named before the first image score to its verdict, if that names none."""
    if not verdicts:
        return [before]
    first = verdicts[0]
    if first.regions or first.complete:
        first.notes = first.notes if before.regions else before.notes | first.notes
        return verdicts
    before.image = first.image
    before.notes |= first.notes
    before.unread |= first.unread
    return [before, *verdicts[1:]]


def _last(verdicts: Iterable[_Verdict], n_regions: int, stated: Sequence[Scale]) -> _Reading:
    """Read the last usable verdict, with the notes on what came after it; where none is usable, notes alone."""
    chosen = _Reading(_Verdict())
    unread: dict[str, None] = {}
    for verdict in verdicts:
        if verdict.repeats(chosen.verdict):
            chosen.verdict.unread |= verdict.unread
            continue
        reading = _Reading.of(verdict, n_regions, stated)
        if reading.usable or reading.unknown_scale:
            chosen, unread = reading, {}
        else:
            unread |= verdict.notes
    chosen.verdict.notes |= unread
    return chosen


def _with_values(reading: _Reading, expected: Expected) -> Scores:
    image, verdict = reading.image, reading.verdict
    if image is None and not reading.regions:
        return Scores(None, status="unparsable", notes=_listed(verdict.notes))
    verdict.notes |= verdict.unread
    expectations = {number: expected(score) for number, score in sorted(reading.regions.items())}
    # A written "-0" is 0.
    regions = {
        number: abs(reading.regions[number].value) if value is None else value for number, value in expectations.items()
    }
    if image is None:
        image = reading.regions[max(regions, key=lambda number: regions[number])]
        verdict.note("There is no image score; the highest score of a region stands for it.")
    expectation = expected(image)
    return Scores(
        image=abs(image.value) if expectation is None else expectation,
        regions=regions,
        status="partial" if verdict.notes else "ok",
        notes=_listed(verdict.notes),
        expected=sum(value is not None for value in (expectation, *expectations.values())),
    )


def _listed(notes: Iterable[str]) -> tuple[str, ...]:
    """Return the first notes, and how many more there were."""
    listed = tuple(notes)
    more = len(listed) - _MOST_NOTES
    return listed if more <= 0 else (*listed[:_MOST_NOTES], f"And {more} more.")


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """An anomaly map that is constant on cells.

    Attributes:
        values: float64 ``(C,)`` in [0, 1], the score of each cell; higher is more anomalous.
        regions: the division whose cells these are.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.array([[1, 1, 2]]))
        >>> ScoreMap(values=np.array([0.2, 0.7]), regions=regions).dense()
        array([[0.2, 0.2, 0.7]])
    """

    values: NDArray[np.float64]
    regions: Regions

    def dense(self) -> NDArray[np.float64]:
        """Return the map as float64 ``(H, W)``."""
        return self.values[self.regions.cells]


def paint(scores: Mapping[int, float], regions: Regions, *, binary: bool = False) -> ScoreMap:
    """Give each cell the highest score among the regions that cover it; 0 where none does.

    Args:
        scores: region number (from 1) -> score in [0, 1]; other regions score 0.
        regions: the division.
        binary: paint 1 for every region with a score above 0, as the published code does.

    Returns:
        The map.

    Raises:
        IndexError: the division has no region of that number; ``parse`` never returns such a number.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.array([[1, 1, 2, 0]]))
        >>> paint({2: 0.7}, regions).dense()
        array([[0. , 0. , 0.7, 0. ]])
    """
    values = np.zeros(regions.n_cells)
    for number, score in scores.items():
        if not 1 <= number <= regions.count:
            raise IndexError(f"There is no region {number}; the division has {regions.count}.")
        value = float(score > 0) if binary else score
        np.maximum(values, np.where(regions.membership[number - 1], value, 0.0), out=values)
    return ScoreMap(values=values, regions=regions)
