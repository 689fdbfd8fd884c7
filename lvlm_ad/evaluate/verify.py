"""``leaderboard --verify``: recompute a run's numbers from its files, with the code of a bench."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.asking import AnswerStore
from lvlm_ad.datasets.hashing import hash_rows
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.datasets.sample import PUBLISHED_IMAGES
from lvlm_ad.errors import DataError, LvlmAdError, RunError
from lvlm_ad.evaluate.answer_metrics import answer_metrics
from lvlm_ad.evaluate.choices import choice_metrics
from lvlm_ad.evaluate.decide import DecisionSettings, decide
from lvlm_ad.evaluate.manifests import hash_of
from lvlm_ad.evaluate.recorded import Conversations
from lvlm_ad.evaluate.sources import Sources, find_sources
from lvlm_ad.evaluate.verify_answers import answer_problem
from lvlm_ad.evaluate.verify_channels import channels_problem, cut_problem, same_histograms
from lvlm_ad.evaluate.verify_metrics import EXACT, RANDOM, close, differences, interval_rule, metric_differences
from lvlm_ad.evaluate.verify_shapes import count_again, divides_itself, measures_problem, scores_of
from lvlm_ad.log import Progress
from lvlm_ad.metrics.histograms import ScoreHistogram, components
from lvlm_ad.presets import Price
from lvlm_ad.runs import (
    INTERVAL_RULE,
    PredictionRecord,
    Run,
    each_separately,
    folders_of,
    read_run,
)
from lvlm_ad.runs.run import THRESHOLD_FILE
from lvlm_ad.store import open_answers
from lvlm_ad.text2seg import UNANSWERED, paint

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample
    from lvlm_ad.runs import DataFolders

__all__ = ["verify_run", "verify_runs"]


def verify_runs(
    runs: Sequence[Run], data: DataFolders = None, progress: Progress | None = None
) -> tuple[list[Run], list[str]]:
    """Verify runs; see ``verify_run``. Answers are read again from ``answers.sqlite`` beside a run, if there is one.

    Args:
        runs: read with or without predictions.
        data: the data set, or folders by the names of data sets, of which one has the run's images. Labels and pixel
            counts of a run whose data set is not given are trusted.
        progress: receives reports: on images that are divided again, and on intervals that were not checked.

    Returns:
        The runs without problems, and the problems of the others, at most six of each, with its folder.
    """
    report = progress or Progress()

    def verify(run: Run) -> tuple[Run, list[str]]:
        if run.dir.is_symlink():
            raise RunError(f"{run.dir} is a link; put the folder itself there.")
        with ExitStack() as stack:
            whole = read_run(run.dir)
            sources = _sources(whole, folders_of(data, whole.manifest.dataset.name), report, stack)
            stored = run.dir.parent / "answers.sqlite"
            answers = (
                stack.enter_context(closing(open_answers(stored)))
                if stored.is_file() and stored.stat().st_size
                else None
            )
            return run, verify_run(whole, AnswerStore(answers) if answers else None, sources)

    verified, problems = each_separately(runs, verify)
    for run, wrong in verified:
        more = [f"... and {len(wrong) - 5} more"] if len(wrong) > 5 else []  # noqa: PLR2004 - enough to see
        problems += [f"{run.dir}: {one}" for one in [*wrong[:5], *more]]
    sound = [run for run, wrong in verified if not wrong]
    if other := sum(interval_rule(run) != INTERVAL_RULE for run in sound):
        report.note(
            f"{other} of {len(sound)} verified runs have intervals by another version's rule. These were not checked "
            "and no table uses them; the same bench again computes new ones, without asking anything."
        )
    return sound, problems


def _sources(run: Run, folders: Sequence[Path], progress: Progress, stack: ExitStack) -> Sources | None:
    """Find the images of a run in one of some folders; None if there is no folder.

    Raises:
        DataError: no folder has them. The message names the run, and says what is wrong with each folder.
    """
    problems: list[str] = []
    for folder in folders:
        try:
            return find_sources(run, folder, progress, stack)
        except LvlmAdError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{run.dir}: {' '.join(problems)}")
    return None


def verify_run(run: Run, answers: AnswerStore | None = None, sources: Sources | None = None) -> list[str]:
    """Recompute what can be recomputed of a run, and report what differs.

    Recomputed are the hashes of configuration and division, the scores of each image from its answer, every number of
    ``metrics.json`` from the predictions and ``pixels.npz``, and from the data set, if it is given, labels and pixel
    counts. What nobody can know without asking again is whether answers, token counts and prices are the model's.

    Args:
        run: read with its predictions.
        answers: stored answers; None: those in ``predictions.jsonl``, which are cut after 20,000 characters.
        sources: the images, masks and divisions that the run measured; None: labels and pixel counts are trusted.

    Returns:
        What differs, a sentence each.
    """
    problems = list(_manifest(run))
    conversations = Conversations(run, sources) if run.manifest.method.name != "regions" else None
    if conversations is not None and conversations.problem and run.manifest.model.kind == "backend":
        return [*problems, f"predictions.jsonl: the answers cannot be read again: {conversations.problem}"]

    def reread(record: PredictionRecord) -> str:
        return answer_problem(run, record, answers, conversations)

    by_image = [(record.id, reread(record)) for record in run.predictions]
    by_image += [(record.id, _price(run, record)) for record in run.predictions]
    problems += [*_listed(by_image), *_usage(run), *_decisions(run, reread)]
    if not run.manifest.dataset.is_labelled:
        return problems
    if run.histograms is None:
        return [*problems, "pixels.npz is missing: pixel metrics cannot be checked"]
    pairs = list(zip(run.predictions, run.histograms, strict=True))
    channels = list(zip(run.predictions, run.channels or [None] * len(pairs), strict=True))
    problems += [
        *_listed((record.id, _counts(run, record, one)) for record, one in pairs),
        *_listed((record.id, measures_problem(run, record, one)) for record, one in pairs),
        *_listed((record.id, cut_problem(run, record, one)) for record, one in pairs),
        *_listed((record.id, _counts(run, record, one, "channels.npz")) for record, one in channels),
        *metric_differences(run, pairs),
    ]
    if sources is None:
        return problems
    if sources.note:
        problems.append(f"pixels.npz: not compared with the data set by region: {sources.note}")
    by_image = [(record.id, _label(record, sources.samples[record.id])) for record in run.predictions]
    by_image += [(record.id, _true_pixels(run, record, one, sources)) for record, one in pairs]
    if run.channels is not None:
        by_image += [(record.id, channels_problem(run, record, one, sources)) for record, one in channels]
    return [*problems, *_listed(by_image)]


def _listed(by_image: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Give each problem once, with the first image that has it and how many more have it; "" is no problem."""
    images: dict[str, list[str]] = {}
    for name, problem in by_image:
        if problem:
            images.setdefault(problem, []).append(name)
    for problem, names in images.items():
        yield f"{problem}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _manifest(run: Run) -> Iterator[str]:
    """Compare the manifest with its hash and with the predictions."""
    manifest, records = run.manifest, run.predictions
    passing = {"schema_version", "config_hash", "versions", "started", "seconds"}
    facts = manifest.model_dump(mode="json", exclude=passing)
    if manifest.model.kind == "maps":
        facts["model"] = {name: facts["model"][name] for name in facts["model"].keys() - {"frame", "sees_truth"}}
    # Fields that the row does not have were not hashed; read again, they have their default.
    asked = facts["prompt"]
    prompts: list[dict[str, Any]] = [{}, asked, {name: asked[name] for name in asked if asked[name] is not None}]
    if all(hash_of({**facts, "prompt": one}) != manifest.config_hash for one in prompts):
        yield "run.json: the configuration is not the one that its hash was made of"
    published = PUBLISHED_IMAGES.get(manifest.dataset.name)
    if manifest.dataset.whole and published not in {None, len(records)}:
        yield f"run.json: the whole of {manifest.dataset.name} has {published} images"
    counts = Counter(record.id for record in records)
    yield from _listed(
        (name, "predictions.jsonl: an image occurs twice" if count > 1 else "") for name, count in counts.items()
    )
    divided = hash_rows([record.id, record.division] for record in records)
    is_divided = manifest.division.hash or manifest.method.name == "regions"
    if manifest.model.row == "regions" and is_divided and divided != manifest.division.hash:
        yield "run.json: the division is not that of the predictions"


def _price(run: Run, record: PredictionRecord) -> str:
    """Check whether a cost can be that of tokens and time: what was cached, or asked in a batch, is not recorded."""
    asked = run.manifest.model.kind == "backend" and record.status not in UNANSWERED
    if not asked or record.input_tokens is None or record.output_tokens is None:
        return ""
    price = Price.model_validate(run.manifest.model.price)
    tokens, seconds = (record.input_tokens, record.output_tokens), record.seconds
    most = price.cost(tokens[0], 0, tokens[1], seconds=seconds)
    least = price.cost(tokens[0], tokens[0], tokens[1], seconds=seconds, batch=True)
    if most is None or least is None or record.cost_usd is None:
        priced = most is record.cost_usd is None
    else:
        priced = min(most, least) - EXACT <= record.cost_usd <= max(most, least) + EXACT
    return "" if priced else "predictions.jsonl: the cost is not that of the tokens at the run's own price"


def _usage(run: Run) -> Iterator[str]:
    """Count answers, tokens, costs and seconds again."""
    recomputed = answer_metrics(
        run.predictions, paid=run.manifest.model.kind == "backend", by_regions=run.manifest.method.name == "regions"
    )
    usage = {name: value for name, value in run.metrics["usage"].items() if name != "spent_usd"}
    for name, expected in recomputed.items():
        yield from differences(expected, usage if name == "usage" else run.metrics.get(name), name)
    expected, recorded = choice_metrics(run.predictions).get("choices"), run.metrics.get("choices")
    yield from differences(expected, recorded, "choices")


def _decisions(run: Run, reread: Callable[[PredictionRecord], str]) -> Iterator[str]:
    """Read the answers that thresholds were chosen from again, and decide again; older runs have no decisions."""
    others, recorded = run.threshold_records, run.metrics.get("decisions")
    tested = {record.id for record in run.predictions}
    by_image = [(record.id, reread(record) or _price(run, record)) for record in others]
    by_image += [(record.id, "is also a test image" if record.id in tested else "") for record in others]
    for problem in _listed(by_image):
        yield problem.replace("predictions.jsonl", THRESHOLD_FILE)
    if recorded is None:
        return
    expected = decide(DecisionSettings.recorded(run.metrics), run.predictions, others)
    for name in dict.fromkeys([*expected, *recorded]):
        tolerance = RANDOM if name in {"calibration", "cost"} else EXACT
        yield from differences(expected.get(name), recorded.get(name), f"decisions, {name}", tolerance)


def _counts(run: Run, record: PredictionRecord, histogram: ScoreHistogram | None, file: str = "pixels.npz") -> str:
    """Check whether the pixel counts of a file fit the image's size, its label and the predicted scores."""
    if histogram is None:
        return ""
    normal, anomalous = int(histogram.normal.sum()), int(histogram.anomalous.sum())
    side = run.manifest.protocol.get("image_size") or 0
    # Channels are counted at the size of the original picture, and may overlap.
    fits = not side or file != "pixels.npz" or normal + anomalous == side * side
    # A good image has no defect; a small one may vanish when its mask is resized.
    fits &= record.label or not anomalous
    fits &= bool(anomalous) == bool(histogram.n_regions)
    fits &= math.isclose(float(histogram.overlap.sum()), histogram.n_regions, rel_tol=0, abs_tol=1e-6)
    if run.manifest.model.row == "regions":
        binary = bool(run.manifest.protocol.get("binary"))
        scores = np.array([0.0, *(float(score > 0) if binary else score for score in scores_of(record))])
        fits &= bool(np.isclose(histogram.scores[:, None], scores[None], rtol=0, atol=EXACT).any(axis=1).all())
    return "" if fits else f"{file}: counts do not fit the predicted scores"


def _label(record: PredictionRecord, sample: Sample) -> str:
    recorded = (record.category, record.label, record.defect, record.part, record.tags)
    if recorded != (sample.category, sample.label, sample.defect, sample.part, dict(sample.tags)):
        return "predictions.jsonl: category, label, kind of defect, object or a tag is not that of the data set"
    asked = [(one.type, len(one.options), one.right_letter) for one in sample.questions]
    answered = [(one.type, one.options, one.right) for one in record.choices]
    return "" if answered in ([], asked) else "predictions.jsonl: the questions are not those of the data set"


def _true_pixels(run: Run, record: PredictionRecord, histogram: ScoreHistogram | None, sources: Sources) -> str:
    """Count an image's pixels again: by score if there is a division, else only how many are normal and anomalous."""
    if record.is_left_out(run.manifest.on_failure):
        return ""
    sample, divisions = sources.samples[record.id], sources.divisions
    if divisions is not None and record.n_regions != divisions.regions(sample).count:
        return "predictions.jsonl: the number of regions is not that of the division"
    if divides_itself(run, record) and (divisions is not None or not run.manifest.division.hash):
        try:
            again, measures = count_again(run, record, sources)
        except ValueError as error:
            return f"predictions.jsonl: {error}"
        if not close(measures, record.measures, EXACT):
            return "predictions.jsonl: the measures of shapes are not those of the data set's masks"
        same = same_histograms(histogram, again)
    elif divisions is not None:
        regions, binary = divisions.regions(sample), bool(run.manifest.protocol.get("binary"))
        painted = paint(record.regions, regions, binary=binary)
        same = same_histograms(histogram, divisions.histogram(sample, painted.values))
    elif (mask := sample.mask) is None or histogram is None:
        same = mask is None and histogram is None
    else:
        truth = resize_mask(mask, (sources.side, sources.side)) if sources.side else mask
        anomalous = int(np.count_nonzero(truth))
        counted = (int(histogram.normal.sum()), int(histogram.anomalous.sum()), histogram.n_regions)
        same = counted == (truth.size - anomalous, anomalous, components(truth)[1])
    return "" if same else "pixels.npz: the pixel counts are not those of the data set's masks"
