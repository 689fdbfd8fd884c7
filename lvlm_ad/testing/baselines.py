"""The checks of a baseline."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.baseline import Baseline, DenseScores, Truth, View, flaw_of
from lvlm_ad.testing.any_plugin import (
    changes_of_the_process,
    expect,
    expect_no_error,
    identity_is_json,
    import_is_fast,
    options_are_typed,
    rebuilt_it_is_the_same,
    secrets_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BASELINE_CHECKS"]

_SIDE = 96
_ROUNDING = 1e-5
"""Scores may differ so much between two calls: the order of sums."""


def scores_are_valid(baseline: Baseline) -> None:
    """An image gets an image score and a map of its size, both in [0, 1]."""
    _score(baseline, _view(baseline))


def any_image(baseline: Baseline) -> None:
    """A black, white, plain, striped, noisy, larger or once very wide image gets scores."""
    black = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    stripes = black.copy()
    stripes[:, ::2] = 255
    for image in (black, black + 255, black + np.uint8(90), stripes, _noise(1, 160)):
        _score(baseline, _view(baseline, image))
    _score(baseline, _view(baseline, original=_noise(2, 40, 400)))


def scores_are_reproducible(baseline: Baseline) -> None:
    """The same view gets the same scores: random numbers come from the view's seed."""
    first, second = (_score(baseline, _view(baseline)) for _ in range(2))
    expect(_equal(first, second), "scored twice, the same view has different scores; seed random numbers by View.seed")


def use_of_seed_is_declared(baseline: Baseline) -> None:
    """Scores depend on the view's seed only if ``seeded`` says so."""
    if not baseline.seeded:
        first, second = (_score(baseline, _view(baseline, seed=seed)) for seed in ("0/a", "1/b"))
        expect(_equal(first, second), "the scores depend on View.seed; declare seeded = True")


def threads_get_their_own_scores(baseline: Baseline) -> None:
    """Scored from several threads, a view has the scores that it has alone."""
    threads = min(baseline.concurrency or os.cpu_count() or 2, 4)
    views = [_view(baseline, _noise(number)) for number in range(2 * threads)]
    alone = [_score(baseline, view) for view in views]
    with ThreadPoolExecutor(threads) as pool:
        given = list(pool.map(lambda view: _score(baseline, view), views))
    equal = all(_equal(one, other) for one, other in zip(alone, given, strict=True))
    expect(equal, "scored from several threads, a view has other scores than alone")


def references_are_accepted(baseline: Baseline) -> None:
    """Normal reference images, which a run may bring, are used or ignored."""
    _score(baseline, _view(baseline, references=[_noise(10), _noise(11)]))


def view_is_unchanged(baseline: Baseline) -> None:
    """No image of the view is written to."""
    view = _view(baseline, references=[_noise(10)])
    images = [view.image, *view.references, *view.original_references]
    before = [image.copy() for image in images]
    _score(baseline, view)
    for image, old in zip(images, before, strict=True):
        expect(np.array_equal(image, old), "score() writes into the view's images")


def category_scores_are_valid(baseline: Baseline) -> None:
    """If scores have ``parts``, ``finalize_category`` gives as many image scores in [0, 1]."""
    parts = [_score(baseline, _view(baseline, _noise(number))).parts for number in range(3)]
    if any(parts):
        with expect_no_error("its scores have parts, and finalize_category()"):
            scores = list(baseline.finalize_category(parts))
        expect(len(scores) == len(parts), f"finalize_category() gave {len(scores)} scores of {len(parts)} samples")
        expect(all(0 <= score <= 1 for score in scores), "finalize_category() gave scores outside [0, 1]")


def process_is_unchanged(baseline: Baseline) -> None:
    """The environment, the working folder and what else all code of the process shares stay as they are."""
    changed = changes_of_the_process(lambda: baseline.score(_view(baseline)))
    expect(not changed, f"score() changes {', '.join(changed)}")


def no_secret_is_shown(baseline: Baseline) -> None:
    """No option holds a key, and no key is shown in the identity or repr."""
    secrets_in(baseline, lambda _: "")


def close_returns(baseline: Baseline) -> None:
    """close() raises nothing."""
    baseline.close()


BASELINE_CHECKS: dict[str, Callable[[Baseline], None]] = {
    check.__name__: check
    for check in (
        import_is_fast,
        options_are_typed,
        identity_is_json,
        rebuilt_it_is_the_same,
        process_is_unchanged,
        scores_are_valid,
        any_image,
        scores_are_reproducible,
        use_of_seed_is_declared,
        threads_get_their_own_scores,
        references_are_accepted,
        view_is_unchanged,
        category_scores_are_valid,
        no_secret_is_shown,
        close_returns,
    )
}
"""Name -> check. Each is independent of the others, but the last one closes the baseline."""


def _noise(seed: int, height: int = _SIDE, width: int | None = None) -> NDArray[np.uint8]:
    shape = (height, width or height, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _view(
    baseline: Baseline,
    image: NDArray[np.uint8] | None = None,
    *,
    seed: str = "0/bolt/000",
    references: Sequence[NDArray[np.uint8]] = (),
    original: NDArray[np.uint8] | None = None,
) -> View:
    image = _noise(0) if image is None else image
    side = image.shape[0]
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    return View(
        image=image,
        category="bolt",
        seed=seed,
        references=[np.resize(reference, image.shape) for reference in references],
        truth=Truth(label=True, mask=mask) if baseline.sees_truth else None,
        original=image if original is None else original,
        original_references=list(references),
    )


def _score(baseline: Baseline, view: View) -> DenseScores:
    """Score a view and check types and ranges."""
    with expect_no_error("score()"):
        scores = baseline.score(view)
    flaw = flaw_of(scores, view.image.shape[:2])
    expect(not flaw, f"score() {flaw}")
    expect(scores.map.dtype.kind == "f", f"the map holds {scores.map.dtype}; it must hold floats")
    return scores


def _equal(one: DenseScores, other: DenseScores) -> bool:
    return bool(abs(one.image - other.image) <= _ROUNDING and np.allclose(one.map, other.map, atol=_ROUNDING))
