"""The figures of a stability study in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.cli.study_tables import NONE, missing_lines, number, percent, show_study, table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from lvlm_ad.studies import FactorFigures, StabilityFigures, Study
    from lvlm_ad.studies.stability_record import PositionFigures, RepeatFigures


def show_stability(found: Study, folder: Path, *, json: bool) -> None:
    """Print the verdict and the figures of a stability study."""
    from lvlm_ad.studies import StabilityFigures

    figures = StabilityFigures.model_validate(found.figures)
    undefined = [f"Undefined: {one.what} ({one.reason})." for one in figures.undefined]
    lines = [*_other_figures(figures), *missing_lines(found), *undefined]
    show_study(found, folder, [_stability_table(figures), *lines], json=json)


def _stability_table(figures: StabilityFigures) -> Table:
    """Return a row for asking again and one for each factor."""
    rows = table("varied", "flip rate", "SD of score", "share of variance", "map difference", "image AUROC, points")
    again, noise = figures.repeats["all"], figures.auroc
    rows.add_row(
        "asking again",
        percent(again.flip_rate),
        NONE if again.within_sd is None else f"{again.within_sd:.3f}",
        "",
        number(figures.map_test_retest),
        NONE if noise.asking is None else f"±{100 * noise.asking:.1f}",
    )
    for one in figures.factors:
        rows.add_row(*_factor_row(one))
    return rows


def _factor_row(one: FactorFigures) -> tuple[str, ...]:
    flips = [level.flip_rate for level in one.levels if level.flip_rate.value is not None]
    maps = [level.map_difference for level in one.levels if level.map_difference.value is not None]
    changes = [level.auroc_change for level in one.levels if level.auroc_change is not None]
    total = one.total.value
    return (
        _levels_of(one),
        percent(max(flips, key=lambda flip: flip.value or 0.0)) if flips else NONE,
        NONE if total is None else f"{max(total, 0.0) ** 0.5:.3f}",
        percent(one.share),
        number(max(maps, key=lambda level: level.value or 0.0)) if maps else NONE,
        " to ".join(dict.fromkeys(f"{100 * one:+z.1f}" for one in (min(changes), max(changes)))) if changes else NONE,
    )


def _levels_of(one: FactorFigures) -> str:
    """Name a factor and how many of its levels were answered."""
    answered, asked = len(one.answered), len(one.levels)
    count = f"{answered}" if answered == asked else f"{answered} of {asked}"
    return f"{one.factor}, {count} level{'' if asked == 1 else 's'}"


def _other_figures(figures: StabilityFigures) -> list[str]:
    """Say what has no row: image scores, votes, numbers of regions."""
    from lvlm_ad.studies.changes import changed_points

    again = figures.repeats["all"]
    note = (
        "Asking again: 95 of 100 differences of image AUROC are smaller than ±. Factors: flips and map difference of "
        "the level with the most, SD with that of asking again, smallest to largest change of image AUROC."
    )
    lines = [note]
    if again.unstable_fraction is None:
        lines.append("No image has two usable answers to the same question.")
    else:
        sides = (
            f"{100 * again.unstable_fraction:.1f} % had answers on both sides of the threshold {figures.threshold:g}"
        )
        reason = f" ({again.icc.reason})" if again.icc.value is None else ""
        lines.append(f"{_images_asked(again)}, {sides}; ICC {number(again.icc)}{reason}.")
    most = [one for one in figures.votes if one.how == "mean" and one.k > 1]
    if most:
        vote = most[-1]
        gain = "unknown" if vote.gain.value is None else changed_points(vote.gain)
        lines.append(f"The mean of {vote.k} answers changes image AUROC by {gain}, at {vote.k} times the price.")
    if figures.positions is not None:
        lines.append(_numbers_line(figures.positions))
    if (parts := figures.components) is not None:
        shown = {
            "images": parts.image,
            parts.factor: parts.condition,
            f"images and {parts.factor} together": parts.interaction,
            "asking again": parts.repeat,
        }
        text = ", ".join(f"{name} {number(one.shown, 5)}" for name, one in shown.items())
        lines.append(f"Components of the variance of scores: {text}.")
    return lines


def _images_asked(again: RepeatFigures) -> str:
    """Say how many images were asked about, and how many of them have all answers."""
    some = f"{again.images} with two answers or more"
    asked = again.answering
    if asked is None:
        return f"Of {some}"
    if asked.always == asked.images:
        return f"Of {asked.images} images, each answered every time it was asked (up to {asked.times} times)"
    return (
        f"Of {asked.images} images asked up to {asked.times} times, {asked.always} were answered every time and "
        f"{asked.sometimes} ({percent(asked.rate)}) one time and not another. Of {some}"
    )


def _numbers_line(place: PositionFigures) -> str:
    """Say how much the numbers of regions decide which one is named."""
    if place.range.value is None:
        return f"Numbers: how much naming depends on them is unknown ({place.range.reason})."
    from lvlm_ad.studies.changes import changed_points

    chance = place.chance and f" If numbers did not matter, this would have a probability of {place.chance}."
    return (
        "Numbers: with the same pixels, regions are named most often with one number and least often with another; the "
        f"difference is {changed_points(place.range)}.{chance}"
    )
