"""The verdict of an efficiency study: what is best, what it costs, and whether something cheaper does as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.studies.efficiency_record import RowFigures
    from lvlm_ad.studies.efficiency_rows import Compared

__all__ = ["verdict"]


def verdict(rows: Mapping[int, RowFigures], compared: Compared) -> str:
    """Say in a sentence which combination is best, and which cheaper one is not surely worse.

    Best is the highest image AUROC among the combinations whose cost is known, and of equal ones the cheapest.
    Without any known cost in USD it is the highest of all.

    Args:
        rows: column -> the combination.
        compared: the columns, compared in image AUROC.
    """
    measured = [(rows[column], at) for at, column in enumerate(compared.columns)]
    if not measured:
        return "Nothing can be said yet: no combination has answers about good and anomalous images."
    priced = [(row, at) for row, at in measured if row.usd_per_image.value is not None]
    if not priced:
        best, _ = max(measured, key=lambda one: compared.values[one[1]])
        return f"No price is known; {_shown(best)} is the highest: {_seconds(best)}."
    best, place = max(priced, key=lambda one: (compared.values[one[1]], -_usd(one[0])))
    cheaper = [(row, at) for row, at in priced if _usd(row) < _usd(best)]
    close = [row for row, at in cheaper if not compared.better[place, at]]
    sentence = f"{_shown(best)} for {_dollars(best)} an image"
    if not cheaper:
        return f"{sentence}; nothing that was measured is cheaper."
    if not close:
        return f"{sentence}; everything cheaper is surely worse."
    other = min(close, key=_usd)
    return (
        f"{sentence}; nothing cheaper is surely as good, but {_shown(other)} for {_dollars(other)} is not surely worse."
    )


def _shown(row: RowFigures) -> str:
    value, interval = row.image_auroc.value or 0.0, row.image_auroc.interval
    ends = "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return f"{row.words}: image AUROC {100 * value:.1f} %{ends}"


def _seconds(row: RowFigures) -> str:
    return "time unknown" if row.median_seconds is None else f"{row.median_seconds:.1f} s an image"


def _usd(row: RowFigures) -> float:
    return row.usd_per_image.value or 0.0


def _dollars(row: RowFigures) -> str:
    return f"{_usd(row):.3g} USD"
