"""The steps of WinCLIP and CLIP-AD, each compared with ``straight_clip.py`` on the same weights and pictures.

Both computations of a step get what the package made in the step before, so an error in one step does not show in the
next. Both load open_clip's model with the package's ``load_clip``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import straight_clip as straight
from reproduce_step import Step, as_array, compared

from lvlm_ad.baseline import DenseScores, View
from lvlm_ad.plugins import Model, build

if TYPE_CHECKING:
    from reproduce_recipes import Recipe

__all__ = ["CATEGORY", "clip_steps", "prompts_hash"]

CATEGORY = "metal_nut"
"""The prompts are checked for this class, whose name two words form."""

_ALLOWED_ON_CPU, _ALLOWED_ON_GPU = 1e-5, 1e-4
"""Largest difference of float32 results. The tests of the baselines allow 2e-6 for one tiny model; these are for any
weights, and a GPU adds up in another order."""


def prompts_hash(groups: Sequence[Sequence[str]]) -> str:
    """Return the SHA-256 (hex) of the prompts of both states, whatever their order within a state."""
    return hashlib.sha256(json.dumps([sorted(group) for group in groups]).encode()).hexdigest()


@dataclass(frozen=True)
class TwoComputations:
    """The package's baseline, and open_clip's model with the same weights for the reference computation."""

    baseline: Any
    reference: Mapping[str, Any]
    pictures: Sequence[np.ndarray]
    side: int

    @cached_property
    def model(self) -> Any:
        """The model of the reference computation: float32, on the CPU."""
        from lvlm_ad_baselines.clip.model import load_clip  # noqa: PLC0415 - imports torch

        options = self.baseline.options
        return load_clip(options.model, options.pretrained).eval().requires_grad_(requires_grad=False)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from lvlm_ad_baselines.clip.model import load_tokenizer  # noqa: PLC0415 - as above

        return load_tokenizer(self.baseline.options.model)

    @cached_property
    def views(self) -> list[View]:
        """The pictures as a bench hands them to the baseline."""
        small = np.zeros((self.side, self.side, 3), np.uint8)
        return [View(small, CATEGORY, "", original=picture) for picture in self.pictures]

    @cached_property
    def squares(self) -> list[np.ndarray]:
        """The package's squares of each picture."""
        return [self.baseline.method.prepare([view])[1] for view in self.views]

    @cached_property
    def text(self) -> np.ndarray:
        """The package's text vectors."""
        return as_array(self.baseline.method.text(CATEGORY))

    @cached_property
    def scores(self) -> list[DenseScores]:
        """The package's score and map of each picture."""
        return [self.baseline.score(view) for view in self.views]

    @cached_property
    def allowed(self) -> float:
        """The largest difference that still agrees."""
        return _ALLOWED_ON_CPU if self.baseline.clip.device.type == "cpu" else _ALLOWED_ON_GPU


def clip_steps(
    recipe: Recipe, model: Model, settings: Mapping[str, Any], pictures: Sequence[np.ndarray]
) -> Iterator[Step]:
    """Check the steps of a recipe, one by one; the weights are loaded, and one class's prompts are encoded twice.

    Args:
        recipe: what each step must do.
        model: the baseline with the options of the run.
        settings: those of the run; the side of maps is among them.
        pictures: uint8 ``(H, W, 3)``, three or more.

    Raises:
        ConfigError: the weights are not available.
    """
    import torch  # noqa: PLC0415 - takes seconds

    baseline = build(model)
    both = TwoComputations(baseline, recipe.reference, pictures, int(settings["image_size"]))
    try:
        with torch.inference_mode():
            for check in (_weights, _pictures, _prompts, _text):
                yield check(both)
            yield from (_windows_steps if recipe.checks == "winclip" else _dual_path_steps)(both)
    finally:
        baseline.close()


def _weights(both: TwoComputations) -> Step:
    given, wanted = both.baseline.options.pretrained, both.reference
    count = sum(one.numel() for one in both.model.parameters())
    if count != wanted["parameters"]:
        detail = (
            f"{both.baseline.options.model} has {count:,} parameters; the recipe's model has {wanted['parameters']:,}"
        )
        return Step("weights", "differs", detail)
    if given == "random":
        return Step("weights", "not checked", f"random weights; the recipe needs {wanted['weights']}")
    file = Path(given).expanduser()
    if not file.is_file():
        if given != wanted["weights"]:
            return Step("weights", "differs", f"{given}, not {wanted['weights']}")
        return Step("weights", "not checked", f"{given}, of the hub; its file has no published hash")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest.startswith(wanted["sha256"]):
        return Step("weights", "agrees", f"{file.name} has the released file's SHA-256, {wanted['sha256']}...")
    released = f"the released file's begins with {wanted['sha256']}; another format of it has another"
    return Step("weights", "not checked", f"{file.name} has the SHA-256 {digest[:8]}...; {released}")


def _pictures(both: TwoComputations) -> Step:
    tiles = bool(both.reference.get("tiles", False))
    pairs: list[tuple[Any, Any]] = []
    for picture, squares in zip(both.pictures, both.squares, strict=True):
        pairs.append((squares, straight.squares(picture, both.baseline.clip.side, tiles=tiles)))
        pairs.append((both.baseline.clip.pictures(squares).float(), straight.input_tensor(squares)))
    return compared("pictures", "resized squares and CLIP's input", pairs, both.allowed)


def _prompts(both: TwoComputations) -> Step:
    groups = both.baseline.method.prompts(CATEGORY)
    found, counts = prompts_hash(groups), " and ".join(str(len(group)) for group in groups)
    if found == both.reference["prompts"]:
        return Step("prompts", "agrees", f"{counts} prompts for {CATEGORY} have the hash of the published lists")
    return Step("prompts", "differs", f"{counts} prompts for {CATEGORY} are not those of the published lists")


def _text(both: TwoComputations) -> Step:
    wanted, vectors = both.reference, []
    for group in both.baseline.method.prompts(CATEGORY):
        embeddings = straight.text_embeddings(both.model, both.tokenizer, group)
        if "eps" in wanted:
            vectors.append(straight.largest_cluster(embeddings, wanted["eps"], wanted["min_samples"]))
        else:
            vectors.append(straight.mean_vector(embeddings, normalized=wanted["normalized_prompts"]))
    return compared("text vectors", "one unit vector for each state", [(both.text, np.stack(vectors))], both.allowed)


def _windows_steps(both: TwoComputations) -> Iterator[Step]:
    """Compare the windows of one square, and maps and scores of all pictures."""
    method, wanted = both.baseline.method, both.reference["temperature"]
    temperature = float(1 / both.model.logit_scale.exp()) if wanted == "model" else float(wanted)
    embedded = [method.embedded(squares, with_patches=False) for squares in both.squares]
    one = straight.input_tensor(both.squares[0][:1])
    pairs: list[tuple[Any, Any]] = [(embedded[0].image[:1], straight.whole_vectors(both.model, one))]
    sides = straight.SIDES
    pairs += [(embedded[0].windows[side][0], straight.window_vectors(both.model, one, side)) for side in sides]
    yield compared("windows", "unit vectors of one square and of its windows", pairs, both.allowed)
    grid, maps, images = both.baseline.clip.grid, [], []
    for picture, vectors, scores in zip(both.pictures, embedded, both.scores, strict=True):
        whole = straight.winclip_score(as_array(vectors.image), both.text, temperature)
        of_tiles = []
        for number, score in enumerate(whole):
            windows = {side: as_array(every[number]) for side, every in vectors.windows.items()}
            single = {side: straight.winclip_score(one, both.text, temperature) for side, one in windows.items()}
            of_tiles.append(straight.winclip_map(single, score, grid))
        parts = straight.square_parts(*picture.shape[:2], tiles=both.reference["tiles"])
        if len(parts) != len(of_tiles):  # the step of the pictures differs then
            parts = straight.square_parts(*picture.shape[:2], tiles=not both.reference["tiles"])
        maps.append((scores.map, straight.stitched(of_tiles, parts, picture.shape[:2], both.side)))
        images.append((scores.image, whole.mean()))
    yield compared("map", "harmonic means over windows and scales, enlarged", maps, both.allowed)
    yield compared("image score", "the whole picture against the text", images, both.allowed)


def _dual_path_steps(both: TwoComputations) -> Iterator[Step]:
    """Compare the paths, maps and scores of all pictures."""
    from lvlm_ad_baselines.clip.dual_path import dual_path  # noqa: PLC0415 - imports torch

    clip, method = both.baseline.clip, both.baseline.method
    squares = np.concatenate(both.squares)
    alias = both.baseline.identity()["alias"]
    stages = dual_path(clip, clip.tokens(clip.pictures(squares)), alias=alias, with_patches=False)[0]
    wanted = straight.two_paths(both.model, straight.input_tensor(squares), alias=both.reference["alias"])
    yield compared("two paths", "unit vectors of four stages", list(zip(stages, wanted, strict=True)), both.allowed)
    features = [as_array(one) for one in stages]
    tokens = straight.surgery(features, both.text)
    found = method.score_squares(squares, method.text(CATEGORY)).tokens
    yield compared("patch scores", "feature surgery", [(found, tokens)], both.allowed)
    smoothed = straight.clip_ad_map(tokens, clip.side, both.reference["sigma"])
    # The package maps scores of any sign to [0, 1], which keeps their order.
    maps = []
    for scores, one in zip(both.scores, smoothed, strict=True):
        large = straight.stitched([one], [(0, 0, *one.shape)], one.shape, both.side)
        maps.append((scores.map, (1 + large) / 2))
    yield compared("map", "enlarged and smoothed", maps, both.allowed)
    texts = straight.winclip_score(features[-1][:, 0], both.text, 0.01)
    wanted_parts = np.stack([texts, smoothed.max(axis=(1, 2))], axis=1)
    parts = np.array([scores.parts for scores in both.scores])
    images: list[tuple[Any, Any]] = [(parts, wanted_parts)]
    if parts.shape == wanted_parts.shape:
        images.append((both.baseline.finalize_category(parts), straight.clip_ad_image_scores(*parts.T)))
    yield compared("image score", "text and map, then stretched over the pictures", images, both.allowed)
