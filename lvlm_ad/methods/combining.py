"""One finding from several answers about the same image."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from lvlm_ad.regions.shapes import Region
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.text2seg.scores import Status

__all__ = ["mean_of", "with_notes"]

_MOST_NOTES = 20


def with_notes(finding: Finding, answers: Mapping[str, Finding]) -> Finding:
    """Return a finding with the problems of the answers that it combines.

    Args:
        finding: its own status, notes, flags and number of expected values are replaced.
        answers: name of each answer, for notes -> its finding.

    Returns:
        The finding: "ok" if all answers are, else "partial"; without an image score, the first answer's status.

    Example:
        >>> both = with_notes(Finding(0.7), {"Answer 1": Finding(0.7), "Answer 2": Finding(None, status="refused")})
        >>> both.status, both.notes
        ('partial', ('Answer 2: refused.',))
    """
    notes = [
        f"{name}: {note}"
        for name, answer in answers.items()
        for note in (answer.notes or ([f"{answer.status}."] if answer.status != "ok" else []))
    ]
    more = len(notes) - _MOST_NOTES
    each = list(answers.values())
    status: Status = "ok" if all(answer.status == "ok" for answer in each) else "partial"
    return replace(
        finding,
        status=status if finding.usable else each[0].status,
        notes=tuple(notes if more <= 0 else [*notes[:_MOST_NOTES], f"And {more} more."]),
        flags=tuple(sorted({flag for answer in each for flag in answer.flags})),
        expected=sum(answer.expected for answer in each if answer.usable),
    )


def mean_of(answers: Sequence[Finding]) -> Finding:
    """Average several answers about the same regions.

    Args:
        answers: in order; their shapes are ``Region``.

    Returns:
        The means over the answers that have an image score; a region that such an answer does not name scores 0 in it.
        ``spread`` is the standard deviation of their image scores (over n - 1), None if there are fewer than two.

    Example:
        >>> mean = mean_of([Finding(0.25, (Region(3, 0.5),)), Finding(0.75), Finding(None, status="unparsable")])
        >>> mean.image, mean.shapes, mean.status
        (0.5, (Region(number=3, score=0.25),), 'partial')
    """
    usable = [answer for answer in answers if answer.image is not None]
    images = [answer.image for answer in usable if answer.image is not None]
    totals: dict[int, float] = {}
    for answer in usable:
        for shape in answer.shapes:
            if isinstance(shape, Region):
                totals[shape.number] = totals.get(shape.number, 0.0) + shape.score
    mean = Finding(
        fmean(images) if images else None,
        tuple(Region(number, totals[number] / len(usable)) for number in sorted(totals)),
        spread=stdev(images) if len(images) > 1 else None,
    )
    names = {f"Answer {number} of {len(answers)}": answer for number, answer in enumerate(answers, start=1)}
    return with_notes(mean, names)
