"""The verdict of an efficiency study: what is best, what it costs, and whether something cheaper does as well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.studies.wording import bracketed, joined

if TYPE_CHECKING:
    from lvlm_ad.studies.efficiency_record import RowFigures
    from lvlm_ad.studies.efficiency_rows import Compared

__all__ = ["verdict"]


def verdict(rows: Mapping[int, RowFigures], compared: Compared) -> str:
    """Say which combination has the highest image AUROC, and which cheaper one is not surely worse.

    Best is the highest image AUROC among the combinations whose cost is known, and of equal ones the cheapest; those
    that are equal in both are named together.
    A higher one without a known cost is named at the end. Without any known cost it is the highest of all.

    Args:
        rows: column -> the combination.
        compared: the columns, compared in image AUROC.
    """
    measured = [(rows[column], at) for at, column in enumerate(compared.columns)]
    if not measured:
        return "Nothing can be said yet: no combination has answers about good and anomalous images."
    priced = [(row, at) for row, at in measured if row.usd_per_image.value is not None]
    if not priced:
        best, place = max(measured, key=lambda one: compared.values[one[1]])
        equal = [row for row, at in measured if math.isclose(compared.values[at], compared.values[place])]
        times = joined([_seconds(row) for row in equal])
        return f"No price is known. Highest image AUROC measured: {_shown(*equal)}, {times}."
    sentence, best = _among_priced(priced, compared)
    unpriced = [row for row, at in measured if row.usd_per_image.value is None]
    top = max(unpriced, key=_auroc, default=best)
    if _auroc(top) > _auroc(best):
        return f"Highest image AUROC at a known price: {sentence}; {_shown(top)}, at an unknown price, is higher."
    return f"Highest image AUROC measured: {sentence}."


def _among_priced(priced: Sequence[tuple[RowFigures, int]], compared: Compared) -> tuple[str, RowFigures]:
    """Return what can be said of the combinations whose cost is known, and the best of them."""
    best, place = max(priced, key=lambda one: (compared.values[one[1]], -_usd(one[0])))
    cheaper = [(row, at) for row, at in priced if _usd(row) < _usd(best) and not math.isclose(_usd(row), _usd(best))]
    close = [row for row, at in cheaper if not compared.better[place, at]]
    equal = [row for row, at in priced if math.isclose(compared.values[at], compared.values[place])]
    same = [row for row in equal if math.isclose(_usd(row), _usd(best))]
    sentence = f"{_shown(*same)}, for {_dollars(best)} an image"
    if not cheaper:
        return f"{sentence}; nothing that was measured is cheaper", best
    if not close:
        return f"{sentence}; everything cheaper is surely worse", best
    # The best of the cheapest: costs that differ only by rounding are equal.
    least = min(map(_usd, close))
    other = max((row for row in close if math.isclose(_usd(row), least)), key=_auroc)
    return f"{sentence}; for {_dollars(other)}, {_shown(other)}, which is not surely worse", best


def _shown(*rows: RowFigures) -> str:
    """Show image AUROC, and name the combinations that have it."""
    ends = bracketed(rows[0].image_auroc.interval)
    return f"{100 * _auroc(rows[0]):.1f} %{ends} by {joined([row.words for row in rows])}"


def _auroc(row: RowFigures) -> float:
    return row.image_auroc.value or 0.0


def _seconds(row: RowFigures) -> str:
    return "time unknown" if row.median_seconds is None else f"{row.median_seconds:.1f} s an image"


def _usd(row: RowFigures) -> float:
    return row.usd_per_image.value or 0.0


def _dollars(row: RowFigures) -> str:
    return f"{_usd(row):.3g} USD"
