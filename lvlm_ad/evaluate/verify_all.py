"""Check the runs of a folder: each against its own files, and those of one data set against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.runs import Run, read_run

__all__ = ["verify_runs"]

_Truth = dict[tuple[str, str], object]
"""What a run says of the images: (image, "label" or "mask") -> what it is."""


def verify_runs(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Check runs; see `verify_run`. Runs of the same images must also agree in labels, categories and masks.

    Where they do not, most runs are believed, and none of them where no truth has most: a lone run's labels and
    ground truth cannot be checked without the images.

    Args:
        runs: read with or without predictions.

    Returns:
        The runs that agree, and what is wrong with the others, each with its folder.
    """
    problems: list[str] = []
    sound: list[Run] = []
    groups: dict[tuple[str, object], dict[int, _Truth]] = {}
    for run in runs:
        try:
            whole = read_run(run.dir)
            wrong = verify_run(whole)
        except RunError as error:
            problems.append(str(error))
            continue
        if wrong:
            problems += [f"{run.dir}: {one}" for one in wrong]
            continue
        key = (whole.manifest.dataset.fingerprint, whole.manifest.protocol.get("image_size"))
        groups.setdefault(key, {})[len(sound)] = _truth(whole)
        sound.append(run)
    doubtful: dict[int, str] = {}
    for truths in groups.values():
        doubtful |= _outvoted(truths)
    problems += [f"{sound[at].dir}: {why}" for at, why in sorted(doubtful.items())]
    return [run for at, run in enumerate(sound) if at not in doubtful], problems


def _truth(run: Run) -> _Truth:
    found: _Truth = {("", "images"): frozenset(record.id for record in run.predictions)}
    for record, tally in zip(run.predictions, run.tallies or [None] * len(run.predictions), strict=True):
        found[record.id, "label"] = (record.category, record.label)
        # An image that was left out, or has no mask, is silent.
        if tally is not None:
            found[record.id, "mask"] = (int(tally.normal.sum()), int(tally.anomalous.sum()), tally.n_regions)
    return found


def _outvoted(truths: Mapping[int, _Truth]) -> dict[int, str]:
    """Return the runs that say something else of an image than most runs do, and of how many images."""
    votes: dict[tuple[str, str], Counter[object]] = {}
    for truth in truths.values():
        for key, value in truth.items():
            votes.setdefault(key, Counter())[value] += 1
    believed = {key: _most(counter) for key, counter in votes.items() if len(counter) > 1}
    found = {}
    for at, truth in truths.items():
        wrong = sorted(
            key for key, value in believed.items() if key in truth and (value is None or truth[key] != value)
        )
        if wrong:
            (image, what), more = wrong[0], f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            found[at] = f"runs of the same images disagree: {what}{f' of {image}' if image else ''}{more}"
    return found


def _most(counter: Counter[object]) -> object | None:
    """Return what most say; None if as many say something else."""
    (first, votes), (_, next_votes) = counter.most_common(2)
    return first if votes > next_votes else None
