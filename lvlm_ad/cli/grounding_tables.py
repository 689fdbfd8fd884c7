"""The figures of a grounding study in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.cli.study_tables import NONE, ends, missing_lines, percent, show_study, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.table import Table

    from lvlm_ad.studies import GroundingFigures, Number, Study
    from lvlm_ad.studies.grounding_record import HitFigures, PointFigures

_LOST = {
    "ideal": "the ground truth",
    "division": "division",
    "naming": "regions not named",
    "score": "scores and wrong regions",
}
_SUSPICIOUS = {True: "suspicious", False: "not suspicious", None: ""}


def show_grounding(found: Study, folder: Path, *, json: bool) -> None:
    """Print the verdict and the figures of a grounding study."""
    from lvlm_ad.studies import GroundingFigures

    figures = GroundingFigures.model_validate(found.figures)
    undefined = [f"Undefined: {one.what} ({one.reason})." for one in figures.undefined]
    parts = [*_methods(figures), *_losses(figures), *_curves(figures), *_screen(figures)]
    show_study(found, folder, [*parts, *missing_lines(found), *undefined], json=json)


def _methods(figures: GroundingFigures) -> Iterator[Table | str]:
    """Return a row for each method, its hits by size of defect, and what marks do."""
    rows = table("method", "image AUROC", "pixel AP", "defects hit", "normal area named")
    for one in figures.methods:
        named = NONE if one.false_share is None else f"{100 * one.false_share:.1f} %"
        hits = percent(one.hits[-1].rate) if one.hits else NONE
        rows.add_row(one.method, percent(one.auroc), percent(one.pixel_ap), hits, named)
    yield rows
    yield "A defect is hit if a named place holds one of its pixels."
    yield ""
    yield _hits("hits by size of defect", [(one.method, one.hits) for one in figures.methods if one.hits])
    if figures.marks:
        yield ""
        rows = table("marked", "against", "score of good, points", "score of anomalous, points", "image AUROC, points")
        words = {one.condition: one.method for one in figures.methods}
        for effect in figures.marks:
            changes = (_points(effect.good), _points(effect.anomalous), _points(effect.auroc))
            rows.add_row(words[effect.condition], words[effect.against], *changes)
        yield rows


def _losses(figures: GroundingFigures) -> Iterator[Table | str]:
    """Return a row for each method and metric: what each step loses."""
    if not figures.losses:
        return
    steps = [one.step for one in figures.losses[0].steps[1:]]
    yield ""
    rows = table("lost of 100 points", "metric", *(f"by {_LOST[step]}" for step in steps), "remaining")
    for one in figures.losses:
        lost = [_plain_points(step.lost) for step in one.steps[1:]]
        left = one.steps[-1].value.value
        name = "pixel AP" if one.metric == "pixel_ap" else "AUPRO"
        rows.add_row(one.method, name, *lost, NONE if left is None else f"{100 * left:.1f}")
    yield rows


def _curves(figures: GroundingFigures) -> Iterator[Table | str]:
    """Return the curves over the size of the image, and over the severity of each corruption."""
    from lvlm_ad.studies.grounding_tables import RESOLUTION_ALONE

    if figures.resolution:
        yield ""
        rows = table("size", "image AUROC", "change", "pixel AP", "USD", "s")
        for point in figures.resolution:
            cells = (
                percent(point.auroc),
                "base" if point.condition == "base" else _points(point.change),
                percent(point.pixel_ap),
            )
            rows.add_row(f"{point.level} px", *cells, *_price(point))
        yield rows
        yield RESOLUTION_ALONE
        yield ""
        yield _hits("hits by size of defect and image", [(f"{one.level} px", one.hits) for one in figures.resolution])
    if figures.corruptions:
        yield ""
        levels = sorted({point.level for one in figures.corruptions for point in one.points})
        rows = table("image AUROC", *(f"severity {level}" for level in levels), "a step", "drop")
        for one in figures.corruptions:
            of = {point.level: point.auroc.value for point in one.points}
            values = [of.get(level) for level in levels]
            shown = [NONE if value is None else f"{100 * value:.1f} %" for value in values]
            step = NONE if one.slope.interval is None else _points(one.slope)
            rows.add_row(one.kind, *shown, step, _plain_points(one.drop))
        yield rows


def _screen(figures: GroundingFigures) -> Iterator[Table | str]:
    """Return the conditions under which a model that answers from the picture alone would guess, or do as before."""
    if not figures.contamination:
        return
    yield ""
    rows = table("contamination screen", "image AUROC", "change", "verdict")
    for one in figures.contamination:
        name = one.condition.replace("-", " ")
        rows.add_row(name, percent(one.auroc), _points(one.change), _SUSPICIOUS[one.suspicious])
    yield rows


def _hits(head: str, rows: Sequence[tuple[str, Sequence[HitFigures]]]) -> Table:
    """Return the hit rates of each size of defect, in whole percent."""
    sizes = list(dict.fromkeys(one.size for _, hits in rows for one in hits if one.size != "all"))
    shown = table(head, *(f"{size}" for size in sizes))
    for words, hits in rows:
        rates = {one.size: one.rate for one in hits}
        found = [rates.get(size) for size in sizes]
        shown.add_row(words, *(NONE if one is None or one.value is None else _whole(one) for one in found))
    return shown


def _whole(one: Number) -> str:
    return f"{100 * (one.value or 0.0):.0f} %{ends(one, 100, 0)}"


def _price(point: PointFigures) -> tuple[str, str]:
    usd = NONE if point.usd_per_image is None else f"{point.usd_per_image:.3g}"
    return usd, NONE if point.seconds is None else f"{point.seconds:.2f}"


def _points(one: Number) -> str:
    return NONE if one.value is None else f"{100 * one.value:+z.1f}{ends(one, 100)}"


def _plain_points(one: Number) -> str:
    return NONE if one.value is None else f"{100 * one.value:z.1f}{ends(one, 100)}"
