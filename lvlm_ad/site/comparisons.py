"""Whether the best row of a table is better than methods without a chat model, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.leaderboard import signed
from lvlm_ad.leaderboard.evidence import Evidence
from lvlm_ad.leaderboard.ranking import rank_rows
from lvlm_ad.runs import Run, metric_title

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Entry
    from lvlm_ad.site.contents import Table

__all__ = ["COMPARED", "compared_rows", "comparisons"]

COMPARED = ("contrast", "winclip")
"""Models that a vision-language model should beat: contrast needs no weights, WinCLIP no chat model."""


def compared_rows(table: Table, runs: Mapping[str, Run]) -> dict[str, Entry]:
    """Return model of ``COMPARED`` -> its row whose scores come from the same regions."""
    found: dict[str, Entry] = {}
    for entry in table.group.entries:
        manifest = runs[entry.run].manifest if entry.run in runs else None
        if manifest and manifest.model.name in COMPARED and manifest.model.row == "regions":
            found.setdefault(manifest.model.name, entry)
    return {name: found[name] for name in COMPARED if name in found}


def comparisons(table: Table, runs: Mapping[str, Run], sort: str, *, verified: bool = False) -> list[str]:
    """Say for each row of ``compared_rows`` whether the best ranked row is better, on the same images.

    The rule is that of ranks in a table of the two rows.
    """
    best = table.ranked[0] if table.ranked else None
    if best is None:
        return []
    evidence = Evidence(verified=verified)
    sentences = []
    for name, other in compared_rows(table, runs).items():
        if other.run == best.run or any(
            one.metrics.get(sort) is None or sort not in one.intervals for one in (best, other)
        ):
            continue
        pair = [replace(one, kind="ranked", rank=None, difference=None) for one in (best, other)]
        pair.sort(key=lambda one: -(one.metrics[sort] or 0.0))
        ranked, _ = rank_rows([(runs[one.run], one) for one in pair], sort, evidence)
        sentences.append(_sentence(name, best, ranked, sort))
    return [one for one in sentences if one]


def _sentence(name: str, best: Entry, ranked: Sequence[Entry], sort: str) -> str:
    """Say which of two rows is better; empty if they cannot be compared."""
    if any(one.kind != "ranked" for one in ranked):
        return ""
    first, second = ranked
    # "difference" is that of the lower row to the higher one.
    sign = -1 if first.run == best.run else 1
    ends = sorted(sign * end for end in second.difference_interval or ())
    interval = f"95 % interval of the difference: {signed(ends[0])} to {signed(ends[1])}" if ends else ""
    metric = metric_title(sort).replace("Image", "image").replace("Pixel", "pixel")
    difference = sign * (second.difference or 0.0)
    points = f"{signed(abs(difference)).lstrip('+')} points of {metric} {'less' if difference < 0 else 'more'}"
    word = "better" if sign < 0 else "worse"
    brackets = f" ({interval})" if interval else ""
    if (first.rank, second.rank) == ((1, 1), (2, 2)):
        return f"{best.name} is surely {word} than {name}: it scores {points}{brackets}."
    # On few images the rule of ranks asks for more than an interval without 0.
    if ends and not ends[0] <= 0 <= ends[1]:
        return (
            f"{best.name} is perhaps {word} than {name}: it scores {points}{brackets}; these images are too few to be "
            "sure."
        )
    return f"{best.name} scores {points} than {name}; on these images that may be chance{brackets}."
