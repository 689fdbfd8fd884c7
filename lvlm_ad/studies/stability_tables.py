"""The tables of a stability study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import percent as in_percent
from lvlm_ad.studies.tables import (
    Cell,
    StudyTable,
    amount,
    count,
    decimal,
    metric_heading,
    percent,
    points,
    text_cell,
    variance,
)

if TYPE_CHECKING:
    from lvlm_ad.studies.stability_record import (
        AnsweringFigures,
        ComponentFigures,
        FactorFigures,
        PositionFigures,
        Spread,
        StabilityFigures,
        VoteFigures,
    )

__all__ = ["stability_tables"]


def stability_tables(figures: StabilityFigures) -> list[StudyTable]:
    """Return the tables of a stability study; those without rows are left out."""
    tables = [
        _repeats(figures),
        _factors(figures.factors),
        _levels(figures.factors),
        *([_components(figures.components)] if figures.components else []),
        _votes(figures.votes),
        _spreads(figures.metrics),
        *(_positions(figures.positions) if figures.positions else ()),
    ]
    return [one for one in tables if one.rows]


def _repeats(figures: StabilityFigures) -> StudyTable:
    rows = tuple(
        (
            "both kinds" if name == "all" else f"{name} images",
            (
                count(one.images),
                percent(one.flip_rate),
                Cell(in_percent(one.unstable_fraction), value=one.unstable_fraction),
                decimal(one.within_sd),
                decimal(one.icc),
                _sometimes(one.answering),
            ),
        )
        for name, one in figures.repeats.items()
    )
    most = max((one.answers for one in figures.repeats.values()), default=0)
    note = (
        f"The same question, asked {most} times. Images: those with two answers or more. Flip rate: how often two "
        "answers about an image disagree on whether it is "
        f"anomalous, at the threshold {figures.threshold:g}. Unstable: images whose answers do not all agree. SD of "
        "score: standard deviation of an image's scores. ICC: 1 if an image always gets the same score, 0 if scores "
        "say nothing about the image. Answered sometimes: images that were answered one time, and refused, unreadable, "
        "cut off or failed another time."
    )
    heads = ("Asked again", "Images", "Flip rate, %", "Unstable, %", "SD of score", "ICC", "Answered sometimes, %")
    return StudyTable("The same question again", note, heads, rows)


def _sometimes(answering: AnsweringFigures | None) -> Cell:
    """Show which part of the images was answered one time and not another; a study.json may lack it."""
    return decimal(None) if answering is None else percent(answering.rate)


def _factors(factors: list[FactorFigures]) -> StudyTable:
    rows = tuple(
        (
            one.factor,
            (
                count(len(one.answered)),
                variance(one.total),
                variance(one.excess),
                percent(one.share),
                decimal(one.shift_variance, 5),
            ),
        )
        for one in factors
    )
    note = (
        "Levels: those with an answer. Variances of an image's score. Total: over the levels, which includes the "
        "variance of asking again. Added: total minus that. Share: added / (added + asking again). Between levels: "
        "variance of the levels' mean scores."
    )
    heads = ("Varied", "Levels", "Total variance", "Added variance", "Share, %", "Between levels")
    return StudyTable("Where scores vary", note, heads, rows)


def _levels(factors: list[FactorFigures]) -> StudyTable:
    rows = tuple(
        (
            f"{factor.factor}: {one.level}",
            (
                count(one.images),
                points(one.auroc_difference or one.auroc_change),
                percent(one.flip_rate),
                points(one.shift_good),
                points(one.shift_anomalous),
                decimal(one.map_difference),
                _sometimes(one.answering),
            ),
        )
        for factor in factors
        for one in factor.levels
    )
    note = (
        "Each level against the base. Image AUROC: its change in points. Flip rate: how often both disagree on "
        "whether an image is anomalous; the base asked again flips, too. Shifts: mean change of the score, in points "
        "of 0 to 100. Map difference: mean change of a pixel's score, 0 to 1. All are compared with one base: if its "
        "image AUROC is high or low by chance, all changes share that. One interval in 20 excludes 0 by chance. "
        "Answered once: images that the base or this level answered, but not both."
    )
    shifts = ("Shift, good", "Shift, anomalous", "Map difference")
    heads = ("Level", "Images", "Image AUROC", "Flip rate, %", *shifts, "Answered once, %")
    return StudyTable("Each level", note, heads, rows)


def _components(parts: ComponentFigures) -> StudyTable:
    named = {
        "images": parts.image,
        parts.factor: parts.condition,
        f"images and {parts.factor} together": parts.interaction,
        "asking again": parts.repeat,
    }
    note = (
        f"Variance of scores by where it comes from: {parts.images} images, each asked {parts.answers} times in every "
        "way. A stable model has all of it in the first row."
    )
    rows = tuple((name, (variance(one),)) for name, one in named.items())
    return StudyTable("Components of variance", note, ("Source", "Variance"), rows)


def _votes(votes: list[VoteFigures]) -> StudyTable:
    rows = tuple(
        (
            f"{one.how} of {one.k}" if one.k > 1 else "one answer",
            (Cell(in_percent(one.auroc), value=one.auroc), points(one.gain), amount(one.usd_per_image)),
        )
        for one in votes
        if one.k > 1 or one.how == "mean"
    )
    note = "What several answers about an image give together, computed from the stored answers. Gain: over one answer."
    return StudyTable("Several answers", note, ("Score", "Image AUROC, %", "Gain, points", "USD per image"), rows)


def _spreads(metrics: dict[str, Spread]) -> StudyTable:
    rows = tuple(
        (
            metric_heading(name),
            (
                text_cell(", ".join(map(in_percent, one.each))),
                Cell(in_percent(one.sd), value=one.sd),
                Cell(in_percent(one.range), value=one.range),
            ),
        )
        for name, one in metrics.items()
    )
    note = "Each metric every time that the base was asked; standard deviation and range of these values."
    return StudyTable("Metrics each time", note, ("Metric", "Each time, %", "SD, points", "Range, points"), rows)


def _positions(place: PositionFigures) -> tuple[StudyTable, StudyTable]:
    """Return how much numbers matter, and the numbers one by one."""
    p = place.chance and f" If numbers did not matter, such differences would have a probability of {place.chance}."
    note = (
        f"{place.images} images under {place.numberings} numberings of the same regions. Preference: how much more "
        f"often a region is named when it bears a number than on average, in points.{p}"
    )
    differences = (
        ("largest difference", (points(place.range),)),
        ("from one number to the next", (points(place.slope),)),
    )
    each = tuple(
        (str(number), (Cell(in_percent(frequency), value=frequency), points(effect)))
        for number, frequency, effect in zip(place.numbers, place.frequency, place.effect, strict=True)
    )
    return (
        StudyTable("Numbers of regions", note, ("Between numbers", "Preference"), differences),
        StudyTable("Numbers of regions, one by one", note, ("Number", "Named, %", "Preference"), each),
    )
