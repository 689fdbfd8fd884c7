"""The plots of a grounding study's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.report.plots import DASHED, DEFECT, GOOD, INK, MUTED, as_plot, new_axes
from lvlm_ad.report.study_plots import SERIES, Bar, Explained, bars, in_words, points, tick
from lvlm_ad.studies.grounding_tables import RESOLUTION_ALONE, SCREENS
from lvlm_ad.studies.tables import metric_heading

if TYPE_CHECKING:
    from lvlm_ad.studies import GroundingFigures
    from lvlm_ad.studies.grounding_record import (
        ContaminationFigures,
        CorruptionFigures,
        LossFigures,
        MethodFigures,
        PointFigures,
    )

__all__ = ["grounding_plots"]

_LOSSES = {
    "score": ("by the scores", SERIES[4]),
    "naming": ("by regions not named", SERIES[1]),
    "division": ("by the division", SERIES[3]),
}
"""Step -> what loses, and its colour."""


def grounding_plots(figures: GroundingFigures) -> list[Explained]:
    """Draw the plots of a grounding study; a plot without data is left out."""
    plots = [
        _hits(figures.methods),
        _methods(figures.methods),
        *(_losses(figures.losses, metric) for metric in ("pixel_ap", "pixel_aupro")),
        _marks(figures),
        _resolution(figures.resolution),
        _corruptions(figures.corruptions),
        _contamination(figures.contamination),
    ]
    return [one for one in plots if one is not None]


def _hits(methods: Sequence[MethodFigures]) -> Explained | None:
    """Draw the hit rate over the size of the defect, a line for each of the first methods that name places."""
    shown = [one for one in methods if one.hits][: len(SERIES)]
    sizes = [size for size in dict.fromkeys(hit.size for one in shown for hit in one.hits) if size != "all"]
    figure, axes = new_axes(
        "size of the defect, share of the image", "defects hit, %", size=(4.0, 3.0 + 0.12 * len(shown))
    )
    said = []
    for place, one in enumerate(shown):
        drawn = [
            (sizes.index(hit.size), bar)
            for hit in one.hits
            if hit.size in sizes and (bar := Bar.of(f"{one.method}, {hit.size}", hit.rate)) is not None
        ]
        shift = 0.09 * (place - (len(shown) - 1) / 2)
        points(axes, drawn, SERIES[place], tick(one.method), shift)
        said += [bar for _, bar in drawn]
    if not said:
        return None
    most = {size: max(hit.defects for one in shown for hit in one.hits if hit.size == size) for size in sizes}
    axes.set_xticks(range(len(sizes)), [f"{tick(size)}\nn = {most[size]}" for size in sizes], rotation=25)
    axes.set_ylim(-3, 103)
    words = (
        "A defect is hit if a place that the answer names holds a part of it. Small defects are at the left; n: "
        "defects. Where a line falls, the answers miss them."
    )
    if (left := sum(bool(one.hits) for one in methods) - len(shown)) > 0:
        words += f" Only in the table: {left} more."
    alt = f"Defects hit by their size, in percent: {in_words(said)}."
    return Explained(as_plot("hits", "Which defects are hit", alt, figure), words)


def _methods(methods: Sequence[MethodFigures]) -> Explained | None:
    entries = [bar for one in methods if (bar := Bar.of(one.method, one.auroc)) is not None]
    if not entries:
        return None
    figure, axes = bars(entries, "image AUROC, %")
    axes.axvline(50, **DASHED)
    axes.set_xlim(0, 101)
    words = "How well each method tells anomalous from good images: 100 % is perfect, and 50 % (dotted) is guessing."
    alt = f"Image AUROC of each method, in percent: {in_words(entries)}."
    return Explained(as_plot("methods", "Methods", alt, figure), words)


def _losses(losses: Sequence[LossFigures], metric: str) -> Explained | None:
    """Draw what is reached and what each step loses, stacked to 100 %."""
    shown = [(one, steps) for one in losses if one.metric == metric and (steps := _known(one)) is not None]
    if not shown:
        return None
    name = metric_heading(metric)
    lower = name if name.isupper() else f"{name[0].lower()}{name[1:]}"
    figure, axes = new_axes(f"{name}, %", "", size=(4.0, 1.5 + 0.4 * len(shown)))
    said = []
    for row, (one, (reached, lost)) in enumerate(shown):
        axes.barh([row], [reached.value], height=0.6, color=GOOD, alpha=0.55, label="reached" if row == 0 else None)
        left = reached.value
        for step, (loser, colour) in _LOSSES.items():
            width = max(0.0, lost[step])
            axes.barh([row], [width], left=left, height=0.6, color=colour, alpha=0.75, label=None if row else loser)
            left += width
        if reached.interval is not None:
            axes.plot(reached.interval, [row] * 2, color=INK, linewidth=1.4, solid_capstyle="butt")
        parts = ", ".join(f"{lost[step]:z.1f} lost {loser}" for step, (loser, _) in _LOSSES.items())
        said.append(f"{one.method}: {in_words([reached])} reached, {parts}")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 101)
    axes.set_yticks(range(len(shown)), [tick(one.method) for one, _ in shown])
    axes.grid(visible=False, axis="y")
    words = (
        "Of a perfect map (100 %): what the model reaches, and what is lost because regions are coarser than defects, "
        "because defective regions are not named, and by the scores of the named regions, wrong ones included."
    )
    alt = f"{name}, in points: {'; '.join(said)}."
    return Explained(as_plot(f"losses-{metric}".replace("_", "-"), f"Where {lower} is lost", alt, figure), words)


def _known(one: LossFigures) -> tuple[Bar, dict[str, float]] | None:
    """Return what is reached and what each step loses, in points; None if a step is undefined."""
    reached = Bar.of("", one.steps[-1].value) if one.steps else None
    lost: dict[str, float] = {step.step: 100 * step.lost.value for step in one.steps if step.lost.value is not None}
    return None if reached is None or not set(_LOSSES) <= set(lost) else (reached, lost)


def _marks(figures: GroundingFigures) -> Explained | None:
    """Draw the change of the score of good and of anomalous images, side by side for each comparison."""
    names = {one.condition: one.method for one in figures.methods}
    pairs = [(names.get(one.condition, one.condition), names.get(one.against, one.against)) for one in figures.marks]
    figure, axes = new_axes("change of the score, points", "", size=(4.0, 1.4 + 0.55 * len(pairs)))
    said = []
    for name, colour, shift in (("good", GOOD, -0.19), ("anomalous", DEFECT, 0.19)):
        drawn = [
            (row + shift, bar)
            for row, (one, (marked, unmarked)) in enumerate(zip(figures.marks, pairs, strict=True))
            if (bar := Bar.of(f"{marked} against {unmarked}, {name} images", getattr(one, name))) is not None
        ]
        axes.barh(
            [at for at, _ in drawn],
            [bar.value for _, bar in drawn],
            height=0.36,
            color=colour,
            alpha=0.55,
            label=f"{name} images",
        )
        for at, bar in drawn:
            if bar.interval is not None:
                axes.plot(bar.interval, [at] * 2, color=INK, linewidth=1.4, solid_capstyle="butt")
        said += [bar for _, bar in drawn]
    if not said:
        return None
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_yticks(range(len(pairs)), [f"{tick(marked)}\nagainst {tick(unmarked)}" for marked, unmarked in pairs])
    axes.grid(visible=False, axis="y")
    axes.axvline(0, **DASHED)
    words = (
        "The score (0 to 100) with borders and numbers on the picture, minus that without; against a question for a "
        "score alone, the question differs, too. Where good images (blue) score higher, marks may cause false alarms."
    )
    alt = f"Change of the image score by marks, in points: {in_words(said)}."
    return Explained(as_plot("marks", "Scores with marks on the picture", alt, figure), words)


def _resolution(curve: Sequence[PointFigures]) -> Explained | None:
    figure, axes = new_axes("side of the image, px", "%")
    said = []
    for name, field, colour in (("image AUROC", "auroc", GOOD), ("pixel AP", "pixel_ap", DEFECT)):
        drawn = [
            (one.level, bar)
            for one in curve
            if (bar := Bar.of(f"{name} at {one.level} px", getattr(one, field))) is not None
        ]
        points(axes, drawn, colour, name)
        said += [bar for _, bar in drawn]
    if len({one.level for one in curve}) < 2 or not said:  # noqa: PLR2004 - one point is no curve
        return None
    words = (
        "The same images, shown larger or smaller. Where the line rises no further than its intervals, a larger "
        "picture is unlikely to be worth its price. "
        f"{RESOLUTION_ALONE}"
    )
    alt = f"Image AUROC and pixel AP by the image's side, in percent: {in_words(said)}."
    return Explained(as_plot("resolution", "How large must the picture be?", alt, figure), words)


def _corruptions(corruptions: Sequence[CorruptionFigures]) -> Explained | None:
    figure, axes = new_axes("severity", "image AUROC, %", size=(4.0, 3.4))
    said = []
    for place, one in enumerate(corruptions[: len(SERIES)]):
        drawn = [
            (point.level, bar)
            for point in one.points
            if (bar := Bar.of(f"{one.kind} {point.level}", point.auroc)) is not None
        ]
        shift = 0.07 * (place - (len(corruptions) - 1) / 2)
        points(axes, drawn, SERIES[place], tick(one.kind), shift)
        said += [bar for _, bar in drawn]
    if not said:
        return None
    axes.axhline(50, **DASHED)
    axes.xaxis.get_major_locator().set_params(integer=True)
    words = (
        "The same images, made worse in steps; 0 is the image itself. The steeper a line falls, the less the model "
        "bears it. Dotted: guessing."
    )
    alt = f"Image AUROC by kind and severity of the corruption, in percent: {in_words(said)}."
    return Explained(as_plot("corruptions", "What worse pictures do", alt, figure), words)


def _contamination(screen: Sequence[ContaminationFigures]) -> Explained | None:
    entries = [
        bar
        for one in screen
        if (bar := Bar.of(SCREENS[one.condition], one.auroc, colour=DEFECT if one.suspicious else MUTED)) is not None
    ]
    if not entries:
        return None
    figure, axes = bars(entries, "image AUROC, %")
    axes.axvline(50, **DASHED)
    axes.set_xlim(0, 101)
    words = (
        "Does the model answer from somewhere else than the picture? Without the image only guessing is honest (50 %, "
        "dotted). Orange: suspicious by its own interval, as 1 in 20 is by chance."
    )
    alt = f"Image AUROC where the model should know nothing, or as much as ever, in percent: {in_words(entries)}."
    return Explained(as_plot("contamination", "Is something remembered?", alt, figure), words)
