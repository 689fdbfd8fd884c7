"""The tables of a grounding study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import UNKNOWN
from lvlm_ad.leaderboard.columns import percent as in_percent
from lvlm_ad.studies.tables import Cell, StudyTable, amount, count, metric_heading, percent, points, seconds, text_cell

if TYPE_CHECKING:
    from lvlm_ad.studies.grounding_record import (
        ContaminationFigures,
        CorruptionFigures,
        GroundingFigures,
        LossFigures,
        MethodFigures,
        PointFigures,
    )

__all__ = ["RESOLUTION_ALONE", "SCREENS", "STEPS", "grounding_tables"]

STEPS = {
    "ideal": "the truth itself",
    "division": "the truth in regions",
    "naming": "only in regions that are named",
    "score": "with the model's scores",
}
"""Steps of a loss, as tables name the maps."""

SCREENS = {"without-image": "without the image", "without-name": "without the name", "mirrored": "mirrored"}
"""Conditions of the screen for contamination."""


RESOLUTION_ALONE = (
    "Pixel AP is measured at each size, with the mask resized to it: it may change for reasons of resolution alone."
)
"""What pixel AP does not say across sizes."""


def grounding_tables(figures: GroundingFigures) -> list[StudyTable]:
    """Return the tables of a grounding study; those without rows are left out."""
    tables = [
        _methods(figures.methods),
        _hits(figures.methods),
        _marks(figures),
        _losses(figures.losses),
        _resolution(figures.resolution),
        _corruptions(figures.corruptions),
        _severities(figures.corruptions),
        _contamination(figures.contamination),
    ]
    return [one for one in tables if one.rows]


def _methods(methods: list[MethodFigures]) -> StudyTable:
    rows = tuple(
        (
            one.method,
            (
                *(percent(one.auroc), percent(one.pixel_ap), percent(one.pixel_aupro)),
                Cell(in_percent(one.false_share), value=one.false_share),
                *(amount(one.usd_per_image), seconds(one.seconds), count(one.images), count(one.missing)),
            ),
        )
        for one in methods
    )
    note = (
        "Each method on the same images. Image AUROC: is there a defect? Pixel AP and AUPRO: where is it? "
        "Normal area named: the fraction of normal pixels in named places; an answer that names everything hits every "
        "defect."
    )
    heads = (
        *("Method", "Image AUROC, %", "Pixel AP, %", "AUPRO, %", "Normal area named, %"),
        *("USD per image", "Seconds per image", "Answered", "Missing"),
    )
    return StudyTable("Methods", note, heads, rows)


def _hits(methods: list[MethodFigures]) -> StudyTable:
    rows = tuple(
        (f"{one.method}: {hit.size}", (count(hit.defects), count(hit.images), percent(hit.rate)))
        for one in methods
        for hit in one.hits
    )
    note = (
        "A defect is hit if a place that the answer names holds at least one of its pixels. Sizes are shares of the "
        "image's area."
    )
    return StudyTable("Defects hit, by size", note, ("Method: size", "Defects", "Images", "Hit, %"), rows)


def _marks(figures: GroundingFigures) -> StudyTable:
    names = {one.condition: one.method for one in figures.methods}
    rows = tuple(
        (
            f"{names.get(one.condition, one.condition)} against {names.get(one.against, one.against)}",
            (points(one.good), points(one.anomalous), points(one.auroc)),
        )
        for one in figures.marks
    )
    note = (
        "The first minus the second, image by image: mean change of the score (points of 0 to 100) for good and for "
        "anomalous images, and change of image AUROC. Against the score alone, the question differs, too."
    )
    heads = ("Marked regions against", "Score, good", "Score, anomalous", "Image AUROC")
    return StudyTable("Marked regions against other questions", note, heads, rows)


def _losses(losses: list[LossFigures]) -> StudyTable:
    rows = tuple(
        (f"{one.method}, {metric_heading(one.metric)}: {STEPS[step.step]}", (percent(step.value), points(step.lost)))
        for one in losses
        for step in one.steps
    )
    note = (
        "From the truth to the model's own map, step by step: the truth itself, the truth as far as regions can show "
        "it, the same in the named regions only, and these with the model's scores, where wrong regions count, too. "
        "Lost: against the step before."
    )
    return StudyTable("Where quality is lost", note, ("Map", "Value, %", "Lost, points"), rows)


def _point(one: PointFigures) -> tuple[Cell, ...]:
    everything = next((hit for hit in one.hits if hit.size == "all"), None)
    return (
        percent(one.auroc),
        text_cell("base") if one.condition == "base" else points(one.change),
        percent(one.pixel_ap),
        Cell(UNKNOWN) if everything is None else percent(everything.rate),
        count(one.images),
    )


_POINT_HEADS = ("Image AUROC, %", "Change", "Pixel AP, %", "Hit, %", "Answered")


def _resolution(curve: list[PointFigures]) -> StudyTable:
    rows = tuple((f"{one.level} px", (*_point(one), amount(one.usd_per_image), seconds(one.seconds))) for one in curve)
    note = (
        "The same images at other sizes. Change: of image AUROC against the base, in points, on the same images. "
        f"{RESOLUTION_ALONE}"
    )
    heads = ("Side of the image", *_POINT_HEADS, "USD per image", "Seconds per image")
    return StudyTable("Resolution", note, heads, rows)


def _corruptions(corruptions: list[CorruptionFigures]) -> StudyTable:
    rows = tuple((one.kind, (points(one.drop), _step(one))) for one in corruptions)
    note = (
        "Drop: image AUROC of the base minus its mean over all severities, in points. Change per severity: its change "
        "from one severity to the next."
    )
    return StudyTable("Corruptions", note, ("Corruption", "Drop", "Change per severity"), rows)


def _step(one: CorruptionFigures) -> Cell:
    """Show the slope with its interval; without one it says nothing."""
    return points(one.slope) if one.slope.interval else Cell(UNKNOWN, reason=one.slope.reason)


def _severities(corruptions: list[CorruptionFigures]) -> StudyTable:
    rows = tuple((f"{one.kind}, severity {point.level}", _point(point)) for one in corruptions for point in one.points)
    note = "Severity 0 is the image itself, 5 the strongest. Change: against the base, in points, on the same images."
    return StudyTable("Corruptions by severity", note, ("Corruption", *_POINT_HEADS), rows)


def _contamination(screen: list[ContaminationFigures]) -> StudyTable:
    rows = tuple(
        (
            SCREENS[one.condition],
            (
                *(percent(one.auroc), points(one.change)),
                text_cell(UNKNOWN if one.suspicious is None else "yes" if one.suspicious else "no"),
                count(one.images),
            ),
        )
        for one in screen
    )
    note = (
        "Do answers come from somewhere else than the picture? A model that answers from the picture alone "
        "guesses without the image (50 %), and does as well with mirrored images."
    )
    heads = ("Asked", "Image AUROC, %", "Change, points", "Suspicious", "Answered")
    return StudyTable("Contamination", note, heads, rows)
