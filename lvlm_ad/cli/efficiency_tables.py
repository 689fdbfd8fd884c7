"""The figures of an efficiency study in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.cli.study_tables import NONE, ends, missing_lines, percent, show_study, table
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.table import Table

    from lvlm_ad.studies import EfficiencyFigures, Number, Study
    from lvlm_ad.studies.efficiency_record import FrontFigures, FrontRow


def show_efficiency(found: Study, folder: Path, *, json: bool) -> None:
    """Print the verdict and the figures of an efficiency study."""
    from lvlm_ad.studies import EfficiencyFigures

    figures = EfficiencyFigures.model_validate(found.figures)
    words = {one.condition: one.words for one in figures.rows}
    lines = [
        "Front: of bootstrap samples of the images, the share with it on the front of image AUROC over USD.",
        *_unknown(figures),
        *_steps(figures, words),
        *_zoom(figures, words),
        *_votes(figures, words),
        *(f"Not compared: {one.what} ({one.reason})." for one in figures.not_compared),
        *missing_lines(found),
    ]
    show_study(found, folder, [_table(figures), *lines], json=json)


def _table(figures: EfficiencyFigures) -> Table:
    """Return a row for each combination, the best first."""
    rows = table("combination", "image AUROC", "pixel AP", "USD an image", "front", "s: median, 95 %", "tokens in, out")
    front = _front(figures)
    standing = {} if front is None else {one.condition: one for one in front.rows}
    for one in sorted(figures.rows, key=lambda row: -(row.image_auroc.value or 0.0)):
        rows.add_row(
            one.words,
            percent(one.image_auroc),
            percent(one.pixel_ap),
            NONE if one.usd_per_image.value is None else f"{one.usd_per_image.value:.3g}",
            _standing(standing.get(one.condition)),
            _pair(one.median_seconds, one.p95_seconds, 2),
            _pair(one.input_tokens, one.output_tokens, 0),
        )
    return rows


def _front(figures: EfficiencyFigures) -> FrontFigures | None:
    """Return the front of image AUROC over USD; None if nothing is compared."""
    return next((one for one in figures.fronts if (one.metric, one.cost) == ("image_auroc", "usd")), None)


def _standing(row: FrontRow | None) -> str:
    if row is None or row.on_front is None:
        return NONE
    if not row.possible:
        return "off, surely"
    return NONE if row.probability is None else f"{row.standing}, {100 * row.probability:.0f} %"


def _pair(first: float | None, second: float | None, digits: int) -> str:
    return ", ".join(NONE if one is None else f"{one:.{digits}f}" for one in (first, second))


def _unknown(figures: EfficiencyFigures) -> Iterator[str]:
    """Say which costs in USD are unknown, and why."""
    reasons: dict[str, list[str]] = {}
    for one in figures.rows:
        if one.usd_per_image.value is None:
            reasons.setdefault(one.usd_per_image.reason, []).append(one.words)
    for reason, words in reasons.items():
        yield f"Cost unknown, so on no front of USD: {'; '.join(words)} ({reason})."


def _steps(figures: EfficiencyFigures, words: dict[str, str]) -> Iterator[str]:
    """Say what one more point of image AUROC costs along the front."""
    front = _front(figures)
    for place, one in enumerate(() if front is None else front.steps):
        price, start = one.cost_per_point, "above chance" if place == 0 else "more"
        cost = f"has no price: {price.reason}" if price.value is None else f"costs {_usd(price)}"
        gain = NONE if one.gain.value is None else f"{100 * one.gain.value:z.1f} points {start}"
        yield f"Along the front, {words[one.condition]}: {gain}; each {cost}."


def _zoom(figures: EfficiencyFigures, words: dict[str, str]) -> Iterator[Table | str]:
    """Return a row for each group of images that are looked at closer; defects of a single size are all defects."""
    if not figures.zoom:
        return
    rows = table("closer looks against regions", "images", "image AUROC, points", "more USD")
    for pair in figures.zoom:
        several = sum(group.kind == "size" for group in pair.groups) > 1
        for group in (group for group in pair.groups if several or group.kind != "size"):
            where = {"all": "all images", "size": f"defects of {group.name} of the image"}.get(group.kind, group.name)
            gain = NONE if group.image_auroc.value is None else f"{100 * group.image_auroc.value:+z.1f}"
            cost = NONE if group.extra_usd.value is None else f"{group.extra_usd.value:z.3g}"
            cells = (words[pair.first], where, f"{gain}{ends(group.image_auroc, 100)}", cost)
            rows.add_row(*map(escaped, cells))
    yield ""
    yield rows
    yield "More USD: an image costs so much more; of defects of a size, an anomalous image."
    yield ""


def _votes(figures: EfficiencyFigures, words: dict[str, str]) -> Iterator[str]:
    """Say what the mean of several answers gives."""
    from lvlm_ad.studies.changes import changed_points

    for one in figures.votes:
        for vote in one.votes[1:]:
            gain = NONE if vote.gain.value is None else changed_points(vote.gain)
            price = f"{vote.k} times the price"
            values = [NONE if of.auroc is None else f"{100 * of.auroc:.1f} %" for of in (one.votes[0], vote)]
            # The combination with one answer shows the first of these answers, which may be better than the others.
            source = f"{values[0]} with one answer, the mean over all {len(one.votes)} at hand, and {values[1]}"
            yield (
                f"{words[one.condition]}: the mean of {vote.k} answers changes image AUROC by {gain}, at {price} "
                f"({source})."
            )


def _usd(price: Number) -> str:
    interval = "" if price.interval is None else " [{:.2g}, {:.2g}]".format(*price.interval)
    return f"{price.value:.2g} USD{interval}"
