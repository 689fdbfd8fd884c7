"""What the rounds of a recommendation found: the choice, how sure it is, and what became of each candidate."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad._version import versions
from lvlm_ad.leaderboard import usd
from lvlm_ad.metrics.elimination import choice
from lvlm_ad.metrics.intervals import auroc_interval, class_sizes, mean_auroc_interval
from lvlm_ad.studies.costs import costs_of
from lvlm_ad.studies.recommend_record import CandidateRecord, Recommendation, RoundRecord
from lvlm_ad.studies.recommend_rounds import unasked
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.wording import joined

if TYPE_CHECKING:
    from lvlm_ad.metrics.elimination import ScoreTable
    from lvlm_ad.studies.recommend_record import Stop
    from lvlm_ad.studies.recommend_rounds import Rounds

__all__ = ["recommendation_of"]


def recommendation_of(rounds: Rounds, stop: Stop) -> Recommendation:
    """Return what ``recommend.json`` holds.

    Args:
        rounds: one or more of them are over.
        stop: why they ended.

    Returns:
        The choice, every candidate, and the sentence; losses and image AUROC in 0..1, prices in USD.
    """
    taken = choice(rounds.race, rounds.table, rounds.prices, rounds.margin)
    candidates = [_candidate(rounds, one) for one in range(len(rounds.candidates))]
    price, total = candidates[taken].usd_per_image.value, rounds.images.available
    asked = sum(one.images - one.unasked for one in candidates)
    found = Recommendation(
        name=rounds.name,
        sentence="",
        choice=candidates[taken].name,
        sure=candidates[taken].loss <= rounds.margin,
        loss=candidates[taken].loss,
        margin=rounds.margin,
        stop=stop,
        complete=stop in {"decided", "images"}
        and not rounds.lost
        and all(one.answered == one.images for one in candidates),
        dataset=rounds.images.dataset.name,
        available=len(rounds.images.dataset),
        images=total,
        asked=asked,
        budget_usd=rounds.config.max_cost or 0.0,
        spent_usd=rounds.spent if rounds.is_spent_known else None,
        full_run_usd=None if price is None else price * total,
        candidates=candidates,
        rounds=[
            RoundRecord(images=size, left=[rounds.candidates[one].name for one in left])
            for size, left in zip(rounds.sizes, rounds.left, strict=False)
        ],
        seed=rounds.config.seed,
        versions=versions(),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return found.model_copy(update={"sentence": _sentence(found, candidates[taken], _worth(rounds))})


def _worth(rounds: Rounds) -> float:
    """Return what the answers cost, in USD, also those that were stored before; of answers whose cost is known."""
    costs = (costs_of(readings)["usd"] for readings in rounds.readings.values())
    return math.fsum(float(np.nansum(one.values)) for one in costs if not one.reasons[0])


def _candidate(rounds: Rounds, number: int) -> CandidateRecord:
    one, readings = rounds.candidates[number], rounds.readings.get(number)
    drop = next((drop for drop in rounds.race.drops if drop.model == number), None)
    left, reason = rounds.lost.get(number, (None, ""))
    if drop is not None:
        by = rounds.candidates[drop.by].name
        points = f"{100 * rounds.margin:g} points"
        left = drop.round
        reason = (
            f"surely worse than {by}"
            if drop.reason == "worse"
            else f"not cheaper than {by}, and surely not better by more than {points}"
        )
    records = [] if readings is None else readings.records[0]
    run = None if readings is None else readings.runs[0].dir.name
    nothing = Number(value=None, reason="no image was asked about")
    return CandidateRecord(
        name=one.name,
        words=one.words,
        model=one.title,
        method=one.method,
        image_auroc=nothing if readings is None else _auroc(rounds.table, number),
        usd_per_image=nothing if readings is None else costs_of(readings)["usd"].mean(0),
        images=len(records),
        answered=sum(record.usable for record in records),
        unasked=0 if readings is None else unasked(readings),
        loss=rounds.race.loss(number) if number not in rounds.lost else 1.0,
        failed=number in rounds.lost,
        left_in_round=left,
        reason=reason,
        run=run,
    )


def _auroc(table: ScoreTable, model: int) -> Number:
    """Return a candidate's mean image AUROC over categories, on the images that it answered."""
    groups = table.parts([model])
    if not groups:
        return Number(value=None, reason="no category has two good and two anomalous images with an answer")
    objects = [table.objects_of(images) for images in groups]
    found = [
        auroc_interval(table.labels[images], table.scores[model, images], shown)
        for images, shown in zip(groups, objects, strict=True)
    ]
    sizes = [class_sizes(table.labels[images], shown) for images, shown in zip(groups, objects, strict=True)]
    values = [one.auroc or 0.0 for one in found]
    defective, good = ([size[kind] for size in sizes] for kind in (0, 1))
    interval = mean_auroc_interval(values, defective, good, [one.factor for one in found])
    return Number(value=math.fsum(values) / len(values), interval=interval)


def _sentence(found: Recommendation, taken: CandidateRecord, worth: float) -> str:
    """Say in a sentence what to take, how sure that is, what was asked and what the full run would cost.

    Args:
        found: the recommendation.
        taken: its choice.
        worth: what all answers cost, in USD.
    """
    margin, loss = f"{100 * found.margin:g} points", f"{100 * found.loss:.1f} points"
    lost = [one.name for one in found.candidates if one.failed]
    if found.sure:
        but = f", except perhaps {joined(lost)}, which could not be compared" if lost else ""
        sure = f"sure at 95 % that no candidate is better by more than {margin}{but}"
    elif found.loss >= 1:
        sure = "not sure: there are too few images to compare"
    else:
        sure = f"not sure: at 95 % another one may be better by up to {loss}"
    spent = "at an unknown cost" if found.spent_usd is None else f"{usd(found.spent_usd)} USD spent"
    if found.spent_usd is not None and usd(worth) != usd(found.spent_usd) and worth > found.spent_usd:
        spent += f" now, {usd(worth)} USD with the answers stored before"
    full = "unknown" if found.full_run_usd is None else f"about {usd(found.full_run_usd)} USD"
    return (
        f"Take {taken.words} ({sure}). Asked {found.asked} of {len(found.candidates) * found.available} times, "
        f"{spent}; a full run on {found.images} images: {full}."
    )
