"""The tables of an efficiency study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard.columns import UNKNOWN
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
    seconds,
    text_cell,
)

if TYPE_CHECKING:
    from lvlm_ad.studies.efficiency_record import (
        EfficiencyFigures,
        FrontFigures,
        PairFigures,
        RowFigures,
        VoteGains,
    )
    from lvlm_ad.studies.record import Number

__all__ = ["COSTS", "efficiency_tables", "numbered"]

COSTS = {"usd": "USD per image", "seconds": "Seconds per image", "tokens": "Tokens per image"}
"""Costs and their headings."""


def efficiency_tables(figures: EfficiencyFigures) -> list[StudyTable]:
    """Return the tables of an efficiency study; those without rows are left out."""
    rows = numbered(figures.rows)
    names = {one.condition: one.words for one in rows.values()}
    numbers = {one.condition: number for number, one in rows.items()}
    tables = [
        _combinations(rows, figures.images),
        *(_front(one, names, numbers) for one in figures.fronts if any(row.cost is not None for row in one.rows)),
        _steps(figures.fronts, names, numbers),
        *(_closer_looks(one, names) for one in figures.zoom),
        _votes(figures.votes, names, numbers),
    ]
    return [one for one in tables if one.rows]


def numbered(rows: Sequence[RowFigures]) -> dict[int, RowFigures]:
    """Number the combinations from 1 on, for all plots and tables of a page: the highest image AUROC first.

    Example:
        >>> numbered([])
        {}
    """
    return dict(enumerate(sorted(rows, key=lambda row: -(row.image_auroc.value or 0.0)), start=1))


def _combinations(rows: Mapping[int, RowFigures], images: int) -> StudyTable:
    heads = (
        *("Combination", "Image AUROC, %", "Pixel AP, %", "USD per image", "Seconds per image", "Median, s"),
        *("95th percentile, s", "Input tokens", "Output tokens", "Answered", "Missing"),
    )
    note = (
        f"Image AUROC (is there a defect?) and pixel AP (where is it?) on the {images} images that all combinations "
        "answered. Prices and times are of all images that were asked about, whether or not an answer was usable."
    )
    shown = tuple(
        (
            one.words,
            (
                *(percent(one.image_auroc), percent(one.pixel_ap), amount(one.usd_per_image), seconds(one.seconds)),
                *(seconds(one.median_seconds), seconds(one.p95_seconds)),
                *(decimal(one.input_tokens, 0), decimal(one.output_tokens, 0)),
                *(count(one.answered), count(one.missing)),
            ),
        )
        for one in rows.values()
    )
    return StudyTable("Combinations", note, heads, shown, tuple(rows))


def _front(front: FrontFigures, names: Mapping[str, str], numbers: Mapping[str, int]) -> StudyTable:
    quality, cost = metric_heading(front.metric), COSTS[front.cost]
    note = (
        f"The cheapest first, on {front.images} images. On the Pareto front: nothing that costs no more is better, and "
        "nothing that is as good costs less. Probability: the share of bootstrap samples of the images in which it is "
        "on the front, with costs held fixed. Possible: nothing is surely better and costs no more."
    )
    rows = tuple(
        (
            names.get(one.condition, one.condition),
            (
                Cell(in_percent(one.quality), value=one.quality),
                _cost(one.cost, front.cost, one.reason),
                text_cell(_yes(one.on_front)),
                Cell(in_percent(one.probability), value=one.probability),
                text_cell(_yes(one.possible)),
            ),
        )
        for one in front.rows
    )
    heads = ("Combination", f"{quality}, %", cost, "On the front", "Probability, %", "Possible")
    of_rows = tuple(numbers.get(one.condition, 0) for one in front.rows)
    return StudyTable(f"{quality} against {cost}", note, heads, rows, of_rows)


def _steps(fronts: list[FrontFigures], names: Mapping[str, str], numbers: Mapping[str, int]) -> StudyTable:
    rows = tuple(
        (
            f"{metric_heading(front.metric)}, {front.cost}: {names.get(one.condition, one.condition)}",
            (points(one.gain), _cost(one.extra_cost, front.cost), _cost(one.cost_per_point, front.cost)),
        )
        for front in fronts
        for one in front.steps
    )
    note = (
        "From one combination on the front to the next more expensive one; the first against chance, at no cost. A "
        "point has no price unless the gain is surely above 0. Costs are of an image."
    )
    of_rows = tuple(numbers.get(one.condition, 0) for front in fronts for one in front.steps)
    heads = ("Step", "Gain, points", "Extra cost", "Cost of a point")
    return StudyTable("What one more point costs", note, heads, rows, of_rows)


def _closer_looks(pair: PairFigures, names: Mapping[str, str]) -> StudyTable:
    rows = tuple(
        (
            {"all": "all images", "size": f"defects of {one.name} of the image"}.get(one.kind, one.name),
            (
                count(one.anomalous),
                points(one.image_auroc),
                points(one.pixel_ap),
                amount(one.extra_usd),
                amount(one.usd_per_point),
            ),
        )
        for one in pair.groups
    )
    first, second = (names.get(one, one) for one in (pair.first, pair.second))
    note = f"{first} minus {second}, on the same images: what is gained in points, and what it costs more an image."
    heads = ("Images", "Anomalous", "Image AUROC, points", "Pixel AP, points", "Extra USD", "USD of a point")
    return StudyTable(f"Gains of closer looks: {first}", note, heads, rows)


def _votes(gains: list[VoteGains], names: Mapping[str, str], numbers: Mapping[str, int]) -> StudyTable:
    rows = tuple(
        (
            f"{names.get(of.condition, of.condition)}, {f'{one.how} of {one.k}' if one.k > 1 else 'one answer'}",
            (Cell(in_percent(one.auroc), value=one.auroc), points(one.gain), amount(one.usd_per_image)),
        )
        for of in gains
        for one in of.votes
    )
    note = "What several answers about an image give together, computed from the stored answers. Gain: over one answer."
    of_rows = tuple(numbers.get(of.condition, 0) for of in gains for _ in of.votes)
    heads = ("Score", "Image AUROC, %", "Gain, points", "USD per image")
    return StudyTable("Several answers", note, heads, rows, of_rows)


def _cost(cost: Number | float | None, kind: str, reason: str = "") -> Cell:
    if cost is None:
        return Cell(UNKNOWN, reason=reason)
    if kind == "usd":
        return amount(cost)
    return decimal(cost, 2 if kind == "seconds" else 0)


def _yes(answer: bool | None) -> str:  # noqa: FBT001 - it is a value of study.json
    return UNKNOWN if answer is None else "yes" if answer else "no"
