"""From the scores found in an answer, in their order, to its last complete statement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.notes import Notes, quoted
from lvlm_ad.text2seg.numbers import BEYOND, Number
from lvlm_ad.text2seg.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Finding", "Span", "settle"]

Span = tuple[int, int]
"""Region numbers from the first to the second, both included, as written: perhaps not drawn."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in an answer.

    Attributes:
        score: the number written; None: there is only a note.
        regions: which regions it is the score of; empty: it is the image score.
        complete: part of a JSON object that names all its regions itself.
        note: what is wrong, if anything.
    """

    score: Number | None
    regions: tuple[Span, ...] = ()
    complete: bool = False
    note: str = ""


@dataclass(slots=True)
class _Statement:
    """An image score and the regions that belong to it."""

    n_regions: int
    image: Number | None = None
    opened: bool = False
    complete: bool = False
    regions: dict[int, Number] = field(default_factory=dict)
    named: bool = False
    notes: Notes = field(default_factory=Notes)
    before: _Statement | None = None

    @property
    def usable(self) -> bool:
        return self.image is not None or bool(self.regions)

    def add_image(self, finding: Finding) -> None:
        self.opened, self.complete = True, finding.complete
        self.image = self._checked(finding.score, "the image score")

    def add_regions(self, finding: Finding) -> None:
        self.named = True
        score = self._checked(finding.score, "the score of a region")
        if score is None:
            return
        for number in self._drawn(finding.regions):
            earlier = self.regions.get(number, score)
            if earlier.value != score.value:
                self.notes.add(f"Region {number} has two scores; the last one, {_value(score):g}, is kept.")
            self.regions[number] = score

    def _checked(self, score: Number | None, name: str) -> Number | None:
        if score is None or score.in_range:
            return score
        wrong = "is no single number" if math.isnan(score.value) else "is outside [0, 1]"
        self.notes.add(f"{quoted(score.written)} as {name} {wrong}; it is left out.")
        return None

    def _drawn(self, spans: Iterable[Span]) -> list[int]:
        drawn: dict[int, None] = {}
        for first, last in dict.fromkeys(spans):
            low, high = max(first, 1), min(last, self.n_regions)
            drawn.update(dict.fromkeys(range(low, high + 1)))
            if first < 1 or last > self.n_regions:
                one = f"Region {_named(first)} was"
                several = f"Some of the regions {first} to {_named(last)} were"
                self.notes.add(f"{one if first == last else several} not drawn; there are {self.n_regions}.")
        return list(drawn)

    def settled(self) -> _Statement:
        """Return the statement with the regions that were named before its image score, if none was named after."""
        if self.before is None or self.named or self.complete:
            return self
        self.before.image = self.image
        self.before.notes.extend(self.notes)
        return self.before


def settle(
    findings: Iterable[Finding], n_regions: int, expected: Callable[[Number], float | None] = lambda _: None
) -> Scores:
    """Return the last complete statement.

    An image score opens a statement, and the regions after it belong to it. Regions before the first image score belong
    to it where none come after it. An image score that repeats the one before and names no regions is a remark on that
    statement, not another one.

    Args:
        findings: what was found, in the answer's order.
        n_regions: how many regions were drawn.
        expected: gives the expected value that stands for a number; None: the number is taken as written. What is found
            is settled as written: an expected value decides nothing but a score.

    Returns:
        Scores with the status "ok" or "partial"; with an ``image`` of None and the status "unparsable" if nothing is
        usable.
    """
    statements = [_Statement(n_regions)]
    for finding in findings:
        current = statements[-1]
        if finding.score is not None and not finding.regions:
            opened = _Statement(n_regions)
            if not current.opened and current.named:
                opened.before = statements.pop()
            elif not current.opened:
                opened.notes = statements.pop().notes
            statements.append(opened)
            opened.add_image(finding)
        elif finding.score is not None and (finding.complete or not current.complete):
            current.add_regions(finding)
        if finding.note:
            statements[-1].notes.add(finding.note)
    return _scores(_last(statements), expected)


def _named(region: int) -> str:
    return str(region) if region < BEYOND else "with a very large number"


def _value(score: Number) -> float:
    # A written "-0" is 0.
    return abs(score.value)


def _last(statements: list[_Statement]) -> _Statement:
    """Choose the last usable statement; where none is, return one that holds only notes."""
    chosen: _Statement | None = None
    unread = Notes()
    for opened in statements:
        statement = opened.settled()
        remark = (
            chosen is not None
            and chosen.image is not None
            and statement.image is not None
            and statement.image.value == chosen.image.value
            and not statement.named
            and not statement.complete
        )
        if remark:
            continue
        if statement.usable:
            chosen, unread = statement, Notes()
        else:
            unread.extend(statement.notes)
    if chosen is None:
        return _Statement(0, notes=unread)
    chosen.notes.extend(unread)
    return chosen


def _scores(statement: _Statement, expected: Callable[[Number], float | None]) -> Scores:
    if not statement.usable:
        return Scores(None, {}, "unparsable", statement.notes.listed())
    count = 0

    def score(number: Number) -> float:
        nonlocal count
        value = expected(number)
        count += value is not None
        return _value(number) if value is None else value

    image = None if statement.image is None else score(statement.image)
    regions = {number: score(statement.regions[number]) for number in sorted(statement.regions)}
    if image is None:
        image = score(statement.regions[max(regions, key=lambda number: regions[number])])
        statement.notes.add("There is no image score; the highest score of a region stands for it.")
    listed = statement.notes.listed()
    return Scores(image, regions, "partial" if listed else "ok", listed, expected=count)
