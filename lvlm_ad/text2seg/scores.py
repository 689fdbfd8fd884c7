"""Turn the statements of an answer into scores.

A statement gives one number to the image or to regions. An answer may hold several verdicts, such as a draft and a
final one: an image score and the region scores that belong to it. The last complete verdict counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from lvlm_ad.text2seg.numbers import BEYOND, Number, Span
from lvlm_ad.text2seg.scale import UNIT, Scale, scale_of

if TYPE_CHECKING:
    from lvlm_ad.text2seg.expected import Expected

Status = Literal["ok", "partial", "refused", "unparsable", "truncated", "failed", "unasked"]

UNANSWERED: tuple[Status, ...] = ("failed", "unasked")
"""There is no answer; the same command asks again."""

_MOST_NOTES = 20
_LONGEST_QUOTE = 40
_NO_FINAL_IMAGE = "The final statement gives no image score; the one before it counts."
_REGIONS_BEFORE = "The list of regions before the last image score was not read."


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
    """A number that an answer gives to the image or to regions, or a mark between such numbers."""

    score: Number | None  # None: there is only a note or a mark
    regions: tuple[Span, ...] = ()  # whose score it is; empty: it is the image score
    complete: bool = False  # it is part of a JSON object that names all its regions itself
    note: str = ""  # what is wrong, if anything
    unread: bool = False  # the note quotes a number that may be a score and was not read
    mark: str = ""  # no number, but what stands between numbers, see ``drafts``
    picture: int | None = None  # which one it is about: a number, ``REFERENCE``, or None: the one under inspection


REFERENCE = -1
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
    draft: int | None = None  # how many of its regions were named before something was taken back
    none: bool = False  # no region is anomalous

    @property
    def numbers(self) -> list[Number]:
        scores = [self.image, *(statement.score for statement in self.regions)]
        return [score for score in scores if score is not None]

    def note(self, text: str) -> None:
        if text:
            self.notes[text] = None

    def take_back(self, statement: Statement) -> None:
        """Remove regions that the text takes back: after "wait", "none of the regions" means all that were named."""
        taken_back = self.draft is not None
        if statement.mark == "revised":
            self.draft = len(self.regions)
        elif statement.mark == "none" or (statement.mark == "passing" and taken_back):
            self.none = True
            if self.draft and self.image is not None:
                self.note(_NO_FINAL_IMAGE)
            del self.regions[: self.draft or 0]
        elif statement.mark == "cleared" and taken_back:
            self.regions = [
                replace(each, regions=left)
                for each in self.regions
                if (left := tuple(span for span in each.regions if span not in statement.regions))
            ]

    def repeats(self, other: _Verdict) -> bool:
        """Return whether this only repeats the image score of another verdict, without regions."""
        if self.image is None or other.image is None or self.regions or self.complete or self.none:
            return False
        return self.image.value == other.image.value


@dataclass(slots=True)
class _Reading:
    """A verdict's scores in [0, 1]; its notes say what is wrong with the others."""

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
                # Beside a score above 1, the meaning of a 1 is unknown.
                verdict.note(f"{quoted(score.written)} as {name} may be on another scale; it is left out.")
                return None
            if score.in_range:
                return score
            wrong = (
                "is no single number"
                if math.isnan(score.value)
                else f"is outside {scale or f'{UNIT}, and no scale is stated'}"
            )
            verdict.note(f"{quoted(score.written)} as {name} {wrong}; it is left out.")
            return None

        reading.image = checked(verdict.image, "the image score")
        for statement in verdict.regions:
            reading._add(statement.regions, checked(statement.score, "the score of a region"), n_regions)
        return reading

    @property
    def usable(self) -> bool:
        return self.image is not None or bool(self.regions)

    def may_sum_up(self, before: _Reading) -> bool:
        """Return whether this is only an image score that no earlier region exceeds: it may sum up these regions."""
        if self.image is None or self.verdict.regions or self.verdict.complete or self.verdict.none:
            return False
        highest = max((score.value for score in before.regions.values()), default=math.inf)
        return self.image.value >= highest

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
    ``stated`` map them to [0, 1], and ``expected`` replaces them.

    Returns:
        Scores with the status "ok" or "partial"; "unparsable", with an ``image`` of None, if nothing is usable.
    """
    sections = [_Section()]
    for statement in _of_our_picture(list(statements)):
        if statement.mark in {"final", "answer"}:
            sections.append(_Section(enclosed=statement.mark == "answer", before=_Verdict(draft=0)))
        sections[-1].add(statement)
    return _with_values(_last(_verdicts(sections), n_regions, stated), expected)


@dataclass(slots=True)
class _Section:
    """A part of an answer: up to its final statement, or after it."""

    enclosed: bool = False  # in a tag for the answer
    before: _Verdict = field(default_factory=_Verdict)  # what comes before the first image score
    opened: list[_Verdict] = field(default_factory=list)

    def add(self, statement: Statement) -> None:
        current = self.opened[-1] if self.opened else self.before
        if statement.score is not None and not statement.regions:
            draft = None if current.draft is None else 0
            none = current.none and draft is not None
            self.opened.append(current := _Verdict(statement.complete, statement.score, draft=draft, none=none))
        if statement.mark:
            current.take_back(statement)
        elif statement.regions and (statement.complete or not current.complete):
            current.regions.append(statement)
        if not statement.unread:
            current.note(statement.note)
        elif not current.complete:
            current.unread[statement.note] = None


def _verdicts(sections: Iterable[_Section]) -> list[_Verdict]:
    """Return the verdicts of all sections; the regions of a final statement replace those before it."""
    verdicts: list[_Verdict] = []
    before = _Verdict()
    for section in sections:
        head = section.before
        if not (head.regions or head.none or (section.enclosed and section.opened)):
            before.notes |= head.notes
            before.unread |= head.unread
            before.draft = head.draft if before.draft is None else before.draft
            head = before
        if section.opened:
            verdicts += _with_regions_before(head, section.opened)
        before = _Verdict() if section.opened else head
    if not verdicts:
        return [before]
    if before.regions or before.none:
        before.image = verdicts[-1].image
        before.note(_NO_FINAL_IMAGE)
    return [*verdicts, before]


def _of_our_picture(statements: list[Statement]) -> Iterable[Statement]:
    """Yield the statements on the picture under inspection."""
    # A question shows it last, after the references. So of numbered pictures the last one counts, where no score
    # stands for "the image" itself.
    pictures = [each.picture for each in statements if each.score is not None and not each.regions]
    numbered = [picture for picture in pictures if picture is not None]
    last = max(numbered, default=REFERENCE)
    ours = None if None in pictures or last == REFERENCE else last
    picture, left_out = ours, False
    of_reference: set[tuple[Span, ...]] = set()
    for statement in statements:
        if not statement.regions and statement.score is not None:
            picture = statement.picture
        if (picture if statement.picture is None else statement.picture) in {ours, None}:
            left_out = False
            of_reference.discard(statement.regions)
            yield statement
        elif statement.regions and statement.picture is not None:
            of_reference.add(statement.regions)
        else:
            left_out |= bool(statement.regions)
    if left_out or of_reference:
        yield Statement(None, note="Scores of regions of another picture are left out.")
    if ours is not None and len(set(pictures)) > 1:
        yield Statement(None, note=f"Several pictures are scored; the last one, {ours}, counts.")


def _with_regions_before(before: _Verdict, verdicts: list[_Verdict]) -> list[_Verdict]:
    """Give the regions that were named before the first image score to its verdict, if that names none."""
    first = verdicts[0]
    taken_back = first.none and before.draft is not None
    if first.regions or first.complete or taken_back:
        first.notes = first.notes if before.regions else before.notes | first.notes
        return verdicts
    before.image, before.none = first.image, before.none or first.none
    before.notes |= first.notes
    before.unread |= first.unread
    return [before, *verdicts[1:]]


def _last(verdicts: Iterable[_Verdict], n_regions: int, stated: Sequence[Scale]) -> _Reading:
    """Read the last usable verdict, with the notes on later ones; if none is usable, return only notes."""
    chosen = _Reading(_Verdict())
    unread: dict[str, None] = {}
    for verdict in verdicts:
        if verdict.repeats(chosen.verdict):
            chosen.verdict.unread |= verdict.unread
            continue
        reading = _Reading.of(verdict, n_regions, stated)
        if reading.may_sum_up(chosen):
            verdict.unread[_REGIONS_BEFORE] = None
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
