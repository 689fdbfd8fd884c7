"""Which runs can be compared, what differs between them, and which of their images were measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate.reported import limits_of
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.runs import reported_of
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.runs import Manifest, Run

__all__ = [
    "check_conditions",
    "differing_conditions",
    "distinct_names",
    "measured_categories",
    "method_in_words",
    "same_run",
]

_VALUE_KEPT = 24
"""Characters of an option's value."""

_HASH = re.compile("[0-9a-f]{64}")


def method_in_words(manifest: Manifest, *, hashes: bool = True, convention: bool = True) -> str:
    """Name a run's method with its options and its convention, such as "boxes (scored), qwen3_1000".

    Args:
        manifest: the run's manifest.
        hashes: whether to include the beginnings of the hashes of its code and of its sentences.
        convention: whether to include the convention.
    """
    method, words = manifest.method, []
    for name, value in method.options.items():
        text = str(value)
        if _HASH.fullmatch(text):
            words += [f"{name} {text[:8]}"] if hashes else []
        elif value is not False:
            words.append(name if value is True else f"{name} {text[:_VALUE_KEPT]}")
    options = ", ".join(words)
    written = str(method.convention.get("name", "")) if convention else ""
    return ", ".join(filter(None, [f"{method.name}{f' ({options})' if options else ''}", written]))


def distinct_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the runs' names, followed by the beginning of their hashes if two names are the same."""
    names = tuple(run.manifest.row_name for run in runs)
    if len(set(names)) == len(names):
        return names
    return tuple(f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True))


def check_conditions(first: Run, second: Run, *, across_conditions: bool) -> list[str]:
    """Return notes on the conditions in which two runs differ; refuse runs whose difference would mean nothing."""
    one, other = first.manifest, second.manifest
    for run in (first, second):
        run.check_labels()
        n_images = run.manifest.dataset.n_images
        if len(run.predictions) != n_images:
            raise RunError(
                f"{run.dir}: {len(run.predictions)} predictions for {n_images} images; read the run with them."
            )
        if failed := sum(record.status in UNANSWERED for record in run.predictions):
            raise RunError(
                f"{run.dir}: {failed} of {n_images} questions were not answered, so a comparison would measure the "
                "connection, not the model. Run the same bench command again: it asks only these questions."
            )
    differ = differing_conditions(one, other)
    other_model = one.model.name != other.model.name or one.model.identity != other.model.identity
    reason = ""
    if [(record.id, record.category, record.label) for record in first.predictions] != [
        (record.id, record.category, record.label) for record in second.predictions
    ] or one.dataset.fingerprint != other.dataset.fingerprint:
        measured = [f"{of.n_images} images of {of.name} ({of.fingerprint[:8]})" for of in (one.dataset, other.dataset)]
        reason = f"they did not measure the same images, but {' and '.join(measured)}"
    elif sizes := _differing_sizes(one, other):
        reason = sizes
    elif one.fpr_limit != other.fpr_limit:
        reason = (
            f"AUPRO goes up to a false-positive rate of {one.fpr_limit:g} in one, of {other.fpr_limit:g} in the other"
        )
    elif _left_out(first) != _left_out(second):
        reason = "they leave out different images without a usable answer. Run both with --on-failure zero"
    elif other_model and differ and not across_conditions:
        reason = (
            f"not only the model differs but also {', '.join(differ)}, so the cause of a difference would be unknown. "
            "Compare them anyway with --across-conditions"
        )
    if reason:
        raise RunError(f"The runs cannot be compared: {reason}.")
    return [f"they differ in {', '.join(differ)}"] if differ else []


def _asked_by(manifest: Manifest, *, hashes: bool) -> str:
    """Name the method by which a model was asked; empty for a baseline, which is asked nothing."""
    if manifest.model.kind != "backend":
        return ""
    return method_in_words(manifest, hashes=hashes, convention=not manifest.prompt.own)


def _differing_sizes(one: Manifest, other: Manifest) -> str:
    """Say at which image sizes two runs were measured; empty if at the same."""
    sizes = [manifest.protocol.get("image_size") for manifest in (one, other)]
    if sizes[0] == sizes[1]:
        return ""
    named = [f"{size} x {size} pixels" if size else "their own size" for size in sizes]
    hint = ". Methods differ in their usual size: run both with the same --set image_size=N"
    methods_differ = one.method.name != other.method.name
    return f"one measured images at {named[0]}, the other at {named[1]}{hint if methods_differ else ''}"


def differing_conditions(one: Manifest, other: Manifest) -> list[str]:
    """Name the conditions that differ; a baseline has no question and a dense row no division, which do not count."""
    methods = [tuple(_asked_by(run, hashes=hashes) for run in (one, other)) for hashes in (False, True)]
    pairs = {
        "row": (one.model.row, other.model.row),
        # Hashes are needed only where nothing else differs.
        "method": methods[len(set(methods[0])) == 1],
        "division": (one.division.hash[:8], other.division.hash[:8]),
        # A model's own question belongs to the model.
        "prompt": tuple("own" if asked.own else asked.hash[:8] for asked in (one.prompt, other.prompt)),
        # A baseline without references does not mention shots.
        "shots": (one.protocol.get("shots") or 0, other.protocol.get("shots") or 0),
        **_newer_conditions(one, other),
        **{
            name: (one.protocol.get(name), other.protocol.get(name))
            for name in ("binary", "scoring", "visual", "border_width", "number_size", "number_style")
        },
    }
    differ = []
    for name, values in pairs.items():
        absent = None in values or "" in values
        if values[0] != values[1] and not (absent and name != "scoring"):
            differ.append(f"{name} ({values[0]} and {values[1]})")
    return differ


def _newer_conditions(one: Manifest, other: Manifest) -> dict[str, tuple[Any, Any]]:
    """Return conditions that manifests record only where they are not the default; None where there are none."""
    asked = all(manifest.model.kind == "backend" for manifest in (one, other))
    shown = all(manifest.protocol.get("shots") for manifest in (one, other))
    usual = {
        "numbering": 0 if asked else None,
        "withhold": "nothing" if asked else None,
        "reference_set": 0 if shown else None,
    }
    return {name: (one.protocol.get(name, value), other.protocol.get(name, value)) for name, value in usual.items()}


def same_run(first: Run, second: Run) -> str:
    """Say that two runs are one and the same; empty if they are two."""
    if first.dir.resolve() == second.dir.resolve():
        return "a run is compared with itself: every difference is 0"
    if first.manifest == second.manifest and first.predictions == second.predictions:
        return "the two folders are copies of one run: every difference is 0"
    return ""


def _left_out(run: Run) -> set[str]:
    """Return the images that the metrics leave out."""
    return {record.id for record in run.predictions if record.is_left_out(run.manifest.on_failure)}


def measured_categories(run: Run) -> dict[str, tuple[list[int], CategoryImages]]:
    """Return each category's measured images, and where they are among the run's predictions."""
    left_out, limits = _left_out(run), limits_of(reported_of(run.metrics))
    histograms = ScoreHistograms.of(run.histograms or [None] * len(run.predictions))
    indices: dict[str, list[int]] = {name: [] for name in run.manifest.dataset.categories}
    for index, record in enumerate(run.predictions):
        if record.id not in left_out:
            indices.setdefault(record.category, []).append(index)
    categories = {}
    for name, chosen in indices.items():
        pixels = histograms.take(chosen)
        images = CategoryImages(
            np.array([run.predictions[index].label for index in chosen], dtype=np.bool_),
            np.array([run.predictions[index].image_score or 0.0 for index in chosen]),
            pixels if pixels.measurable else None,
            run.manifest.fpr_limit,
            limits,
            numbers_of_parts([run.predictions[index].part for index in chosen]),
        )
        categories[name] = (chosen, images)
    return categories
