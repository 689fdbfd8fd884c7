"""Check the runs of a folder: each against its own files, and those of one data set against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.evaluate.verify_regions import moved_pixels
from lvlm_ad.runs import Run, read_run

__all__ = ["verify_runs"]

_SHOWN = 5
"""Of what is wrong with one run, so much is said."""

_Truth = dict[tuple[str, str], object]
"""What a run says of the images: (image, what) -> what it is."""


def verify_runs(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Check runs, each by itself (see `verify_run`) and against each other.

    Runs of the same images must agree in labels, defects, categories and masks, and those that cut them alike in the
    pixels of each region. Where they do not, most runs are believed, and none of them where no truth has most: a lone
    run's labels and ground truth cannot be checked without the images.

    Args:
        runs: read with or without predictions.

    Returns:
        The runs that agree, and what is wrong with the others, each with its folder.
    """
    problems: list[str] = []
    sound: list[Run] = []
    groups: dict[tuple[str, object], dict[int, Run]] = {}
    for run in runs:
        if run.dir.is_symlink():
            problems.append(f"{run.dir} is a link; put the folder itself there.")
            continue
        try:
            whole = read_run(run.dir)
            wrong = verify_run(whole)
        except RunError as error:
            problems.append(str(error))
            continue
        if wrong:
            more = [f"... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
            problems += [f"{run.dir}: {one}" for one in [*wrong[:_SHOWN], *more]]
            continue
        key = (whole.manifest.dataset.fingerprint, whole.manifest.protocol.get("image_size"))
        # All that are of the same images are held at once.
        groups.setdefault(key, {})[len(sound)] = whole
        sound.append(run)
    doubtful: dict[int, str] = {}
    for alike in groups.values():
        outvoted = _outvoted({at: _truth(whole) for at, whole in alike.items()})
        doubtful |= outvoted
        doubtful |= moved_pixels({at: whole for at, whole in alike.items() if at not in outvoted})
    problems += [f"{sound[at].dir}: {why}" for at, why in sorted(doubtful.items())]
    return [run for at, run in enumerate(sound) if at not in doubtful], problems


def _truth(run: Run) -> _Truth:
    found: _Truth = {("", "images"): frozenset(record.id for record in run.predictions)}
    for record, histogram in zip(run.predictions, run.histograms or [None] * len(run.predictions), strict=True):
        found[record.id, "label"] = (record.category, record.label, record.defect)
        # Of an image that was left out nothing was kept.
        if histogram is not None:
            found[record.id, "mask"] = (
                int(histogram.normal.sum()),
                int(histogram.anomalous.sum()),
                histogram.n_regions,
            )
        elif run.manifest.on_failure == "zero" or record.image_score is not None:
            found[record.id, "mask"] = None
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
            key for key, (sure, value) in believed.items() if key in truth and not (sure and truth[key] == value)
        )
        if wrong:
            (image, what), more = wrong[0], f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            found[at] = f"runs of the same images disagree: {what}{f' of {image}' if image else ''}{more}"
    return found


def _most(counter: Counter[object]) -> tuple[bool, object]:
    """Return whether there is something that most say, and what it is."""
    (first, votes), (_, next_votes) = counter.most_common(2)
    return votes > next_votes, first
