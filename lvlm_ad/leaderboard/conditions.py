"""Which runs share a table: the conditions under which a run was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.compare import method_in_words
from lvlm_ad.runs import DEFAULT_FPR_LIMIT

if TYPE_CHECKING:
    from lvlm_ad.runs import Manifest, Run

__all__ = ["breadth", "conditions_of", "fits", "longer", "titles_of"]

_USUAL_SIZE = 768
"""The image size of the paper; a table's title mentions any other."""

_METHOD = ("method", "method_options", "convention")
"""Conditions that only tables of other methods than "regions" have."""


_OWN = "each model's own"
"""The prompt of a table in which each model is asked with that of its preset."""


def conditions_of(manifest: Manifest) -> dict[str, Any]:
    """Return the conditions of the table that a run begins."""
    # Models that are asked in their own words and conventions share a table: these belong to the model.
    own = bool(manifest.prompt.own)
    return {
        "dataset": manifest.dataset.name,
        "dataset_fingerprint": manifest.dataset.fingerprint,
        "n_images": manifest.dataset.n_images,
        "categories": manifest.dataset.categories,
        "whole_test_split": manifest.dataset.whole,
        "image_size": manifest.protocol.get("image_size"),
        "division": manifest.division.method,
        "division_hash": manifest.division.hash,
        "prompt": _OWN if own else manifest.prompt.name,
        "prompt_hash": _OWN if own else manifest.prompt.hash,
        "shots": manifest.protocol.get("shots", 0),
        **{name: value for name, value in manifest.protocol.items() if name == "reference_set"},
        "binary": manifest.protocol.get("binary", False),
        "fpr_limit": manifest.fpr_limit,
        **_method_of(manifest),
    }


def _method_of(manifest: Manifest) -> dict[str, Any]:
    method = manifest.method
    if method.name == "regions":
        return {}
    convention = {} if manifest.prompt.own else method.convention
    return dict(zip(_METHOD, (method.name, method.options, convention), strict=True))


def fits(run: Run, table: Mapping[str, Any]) -> bool:
    """Whether a run belongs in the table with the given conditions."""
    own, model = conditions_of(run.manifest), run.manifest.model
    same = {name for name in (*own, *_METHOD) if own.get(name) == table.get(name)}
    if not {"dataset", "dataset_fingerprint", "image_size", "fpr_limit"} <= same:
        return False
    same_references = "shots" in same and own.get("reference_set") == table.get("reference_set")
    if model.row == "dense":
        return same_references
    if model.frame and not model.sees_truth and table.get("method") and not table["division_hash"]:
        # Chance and contrast are divided into regions, and yet reference rows of methods that need none.
        return True
    if not {"division_hash", "binary"} <= same:
        return False
    if model.frame:
        # The oracle needs no convention.
        return not model.sees_truth or {"method", "method_options"} <= same
    return same_references and set(_METHOD) <= same and own["prompt_hash"] in {"", table["prompt_hash"]}


def breadth(run: Run) -> int:
    """Order runs by how many tables they fit: chat models, baselines, reference rows, own maps."""
    model = run.manifest.model
    return 3 if model.row == "dense" else 2 if model.frame else 1 if not run.manifest.prompt.hash else 0


def titles_of(manifests: Sequence[Manifest]) -> list[str]:
    """Return the conditions of the tables that runs begin, in words; where two are the same, with hashes as needed."""
    titles = longer([_title(one, hashes=False) for one in manifests], [_title(one, hashes=True) for one in manifests])
    images = [one.dataset.fingerprint[:8] for one in manifests]
    return longer(titles, [f"{title} · images {of}" for title, of in zip(titles, images, strict=True)])


def longer(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Replace the names that occur more than once by longer ones."""
    counts = Counter(names)
    return [other if counts[name] > 1 else name for name, other in zip(names, others, strict=True)]


def _title(manifest: Manifest, *, hashes: bool) -> str:
    protocol, division, method, asked = manifest.protocol, manifest.division, manifest.method, manifest.prompt
    size, shots = protocol.get("image_size"), protocol.get("shots", 0)
    unusual_size = f"{size} x {size} pixels" if size else "images in their own size"
    asked_by = method_in_words(manifest, hashes=hashes, convention=not asked.own)
    is_divided = division.hash or method.name == "regions"
    parts = [
        manifest.dataset.summary,
        f"method {asked_by}" if method.name != "regions" else "",
        f"{division.method or 'no'} division {division.hash[:8]}".strip() if is_divided else "",
        "" if size == _USUAL_SIZE else unusual_size,
        f"prompt: {_OWN}" if asked.own else f"prompt {asked.name} {asked.hash[:8]}" if asked.hash else "",
        f"{shots} reference image{'s' if shots > 1 else ''}" if shots else "",
        *(f"{name}={protocol[name]}" for name in ("reference_set", "numbering", "withhold") if name in protocol),
        "visual=image" if protocol.get("visual") == "image" else "",
        "binary maps" if protocol.get("binary") else "",
        "" if manifest.fpr_limit == DEFAULT_FPR_LIMIT else f"PRO up to a false-positive rate of {manifest.fpr_limit:g}",
    ]
    return " · ".join(filter(None, parts))
