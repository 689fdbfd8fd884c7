"""What Text2Segmentation returns: how the statements of an answer become scores, and the scores a map.

A statement gives one number to the image or to regions. An answer may hold several verdicts, such as a draft and a
final one: an image score and the region scores that belong to it. The last complete verdict counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.text2seg.numbers import BEYOND, Number, Span

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


def quoted(text: str) -> str:
    """Quote a piece of an answer: at most 40 characters, none of which can act on a terminal."""
    # Cut first: the piece may be the whole answer.
    shown = "".join(c if c.isprintable() else " " for c in text[: _LONGEST_QUOTE + 1])
    return f"'{shown}'" if len(text) <= _LONGEST_QUOTE else f"'{shown[: _LONGEST_QUOTE - 3]}...'"


@dataclass(slots=True)
class _Verdict:
    """An image score and the region scores that belong to it."""

    complete: bool = False  # it is a JSON object that names all its regions itself
    image: Number | None = None
    regions: dict[int, Number] = field(default_factory=dict)
    named: bool = False  # regions were named, drawn or not
    notes: dict[str, None] = field(default_factory=dict)  # without values: each note once, in order

    def note(self, text: str) -> None:
        self.notes[text] = None

    def add_regions(self, statement: Statement, n_regions: int) -> None:
        self.named = True
        score = self.checked(statement.score, "the score of a region")
        if score is None:
            return
        for number in self._drawn(statement.regions, n_regions):
            if self.regions.get(number, score).value != score.value:
                self.note(f"Region {number} has two scores; the last one, {abs(score.value):g}, is kept.")
            self.regions[number] = score

    def checked(self, score: Number | None, name: str) -> Number | None:
        if score is None or score.in_range:
            return score
        wrong = "is no single number" if math.isnan(score.value) else "is outside [0, 1]"
        self.note(f"{quoted(score.written)} as {name} {wrong}; it is left out.")
        return None

    def _drawn(self, spans: Iterable[Span], n_regions: int) -> Iterable[int]:
        drawn: dict[int, None] = {}
        for first, last in dict.fromkeys(spans):
            drawn |= dict.fromkeys(range(max(first, 1), min(last, n_regions) + 1))
            if first < 1 or last > n_regions:
                one = f"Region {first if first < BEYOND else 'with a very large number'} was"
                several = f"Some of the regions {first} to {last if last < BEYOND else 'a very large number'} were"
                self.note(f"{one if first == last else several} not drawn; there are {n_regions}.")
        return drawn

    def repeats(self, other: _Verdict) -> bool:
        """Tell whether this is a remark on another verdict: its image score again, and no regions."""
        if self.image is None or other.image is None or self.named or self.complete:
            return False
        return self.image.value == other.image.value


def scores_of(statements: Iterable[Statement], n_regions: int, expected: Expected) -> Scores:
    """Return the scores of the last complete verdict.

    An image score opens a verdict, and the regions after it belong to it. Regions before the first image score belong
    to it if none come after it. An image score that repeats the one before and names no regions is a remark on that
    verdict, not another one. The numbers as written decide which verdict counts; then ``expected`` replaces them.

    Returns:
        Scores with the status "ok" or "partial"; "unparsable", with an ``image`` of None, if nothing is usable.
    """
    before, verdicts = _Verdict(), list[_Verdict]()
    for statement in statements:
        if statement.score is not None and not statement.regions:
            verdicts.append(_Verdict(statement.complete))
            verdicts[-1].image = verdicts[-1].checked(statement.score, "the image score")
        current = verdicts[-1] if verdicts else before
        if statement.regions and (statement.complete or not current.complete):
            current.add_regions(statement, n_regions)
        if statement.note:
            current.note(statement.note)
    return _with_values(_last(_with_regions_before(before, verdicts)), expected)


def _with_regions_before(before: _Verdict, verdicts: list[_Verdict]) -> list[_Verdict]:
    """Give the regions that were named before the first image score to its verdict, if that names none."""
    if not verdicts:
        return [before]
    first = verdicts[0]
    if first.named or first.complete:
        first.notes = first.notes if before.named else before.notes | first.notes
        return verdicts
    before.image = first.image
    before.notes |= first.notes
    return [before, *verdicts[1:]]


def _last(verdicts: Iterable[_Verdict]) -> _Verdict:
    """Return the last usable verdict, with the notes on what came after it; where none is usable, notes alone."""
    chosen = _Verdict()
    unread: dict[str, None] = {}
    for verdict in verdicts:
        if verdict.repeats(chosen):
            continue
        if verdict.image is not None or verdict.regions:
            chosen, unread = verdict, {}
        else:
            unread |= verdict.notes
    chosen.notes |= unread
    return chosen


def _with_values(verdict: _Verdict, expected: Expected) -> Scores:
    image = verdict.image
    if image is None and not verdict.regions:
        return Scores(None, status="unparsable", notes=_listed(verdict.notes))
    expectations = {number: expected(score) for number, score in sorted(verdict.regions.items())}
    # A written "-0" is 0.
    regions = {
        number: abs(verdict.regions[number].value) if value is None else value for number, value in expectations.items()
    }
    if image is None:
        image = verdict.regions[max(regions, key=lambda number: regions[number])]
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
