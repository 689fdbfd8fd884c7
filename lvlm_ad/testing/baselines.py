"""The checks of a baseline."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.baseline import Baseline, DenseScores, Truth, View, finalizes, flaw_of
from lvlm_ad.errors import where
from lvlm_ad.plugin_errors import missing_module
from lvlm_ad.testing.contract import (
    built,
    built_anew_it_is_the_same,
    changed_elsewhere,
    identity_is_json,
    import_is_light,
    options_are_typed,
)
from lvlm_ad.testing.running import PATIENCE, ContractError, alive, expect, problems, report, together
from lvlm_ad.testing.secrecy import note_leaks, nothing_secret_is_shown
from lvlm_ad.testing.state import look, state_is_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BASELINE_CHECKS", "check_baseline"]

_SIDE = 96
_ROUNDING = 1e-5
"""Scores may differ so much between two calls: sums in another order."""


def check_baseline(baseline: Baseline | type[Any], *, limit: float = PATIENCE) -> list[str]:
    """Run every check on a baseline, which scores about forty pictures of 96 pixels and is closed at the end.

    Args:
        baseline: one that can score: its weights are there; or a class, to be built with its default options.
        limit: seconds without a score after which a check is taken to hang.

    Returns:
        The names of the checks that passed.

    Raises:
        ContractError: some did not; a line for each says what is wrong.
    """
    began = look()
    report(problems(built(baseline, "baseline"), BASELINE_CHECKS, limit=limit, began=began))
    return list(BASELINE_CHECKS)


def scores_are_scores(baseline: Baseline) -> None:
    """A picture gets an image score and a map of its size, both in [0, 1]."""
    _scored(baseline, _view(baseline))


def pictures_of_any_kind(baseline: Baseline) -> None:
    """Black, white, one colour, stripes, noise; larger, and long before it was stretched: scores all the same."""
    black = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    stripes = black.copy()
    stripes[:, ::2] = 255
    for image in (black, black + 255, black + np.uint8(90), stripes, _noise(1, 160)):
        _scored(baseline, _view(baseline, image))
    _scored(baseline, _view(baseline, original=_noise(2, 40, 400)))


def the_same_again(baseline: Baseline) -> None:
    """The same view gets the same scores: what is random is drawn from the view's seed."""
    first, second = (_scored(baseline, _view(baseline)) for _ in range(2))
    expect(_alike(first, second), "scored twice, the same view has different scores; draw from View.seed")


def seeds_are_declared(baseline: Baseline) -> None:
    """Scores depend on the view's seed only where ``seeded`` says so."""
    if not baseline.seeded:
        again = [_scored(baseline, _view(baseline)) for _ in range(2)]
        if not _alike(*again):
            # It does not even give the same for the same seed; the_same_again says so.
            return
        one, other = (_scored(baseline, _view(baseline, seed=seed)) for seed in ("0/a", "1/b"))
        expect(_alike(one, other), "the scores depend on View.seed; declare seeded = True")


def many_at_once(baseline: Baseline) -> None:
    """Scored from several threads, a view has the scores that it has alone."""
    threads = min(baseline.concurrency or os.cpu_count() or 2, 4)
    views = [_view(baseline, _noise(number)) for number in range(2 * threads)]
    alone = [_scored(baseline, view) for view in views]
    # One that scores the same view differently is another check's.
    if all(_alike(one, _scored(baseline, view)) for one, view in zip(alone, views, strict=True)):
        given = together(threads, lambda view: _scored(baseline, view), views)
        alike = all(_alike(one, other) for one, other in zip(alone, given, strict=True))
        expect(alike, "scored from several threads, a view has other scores than alone")


def references_are_taken(baseline: Baseline) -> None:
    """Normal reference pictures, which a run may bring, are used or left aside."""
    pictures = [_noise(10), _noise(11)]
    _scored(baseline, _view(baseline, references=pictures))


def the_view_is_left_alone(baseline: Baseline) -> None:
    """No picture of the view is written to: others look at it too."""
    view = _view(baseline, references=[_noise(10)])
    pictures = [view.image, *view.references, *view.original_references]
    before = [picture.copy() for picture in pictures]
    _scored(baseline, view)
    for picture, was in zip(pictures, before, strict=True):
        expect(np.array_equal(picture, was), "score() writes into the view's pictures")


def a_category_is_settled(baseline: Baseline) -> None:
    """Where scores hold ``parts``, ``finalize_category`` gives as many image scores in [0, 1]."""
    parts = [_scored(baseline, _view(baseline, _noise(number))).parts for number in range(3)]
    if not any(parts):
        return
    expect(finalizes(baseline), "its scores hold parts, and it has no finalize_category() to make image scores of them")
    scores = list(baseline.finalize_category(parts))
    expect(len(scores) == len(parts), f"finalize_category() gave {len(scores)} scores of {len(parts)} samples")
    expect(all(0 <= score <= 1 for score in scores), "finalize_category() gave scores outside [0, 1]")


def nothing_else_changes(baseline: Baseline) -> None:
    """Random streams, the environment, the working folder and what else the process shares are left as they are."""
    with state_is_kept() as changed:
        _scored(baseline, _view(baseline))
    expect(not changed, f"score() changes {', '.join(changed)}")
    elsewhere = changed_elsewhere(baseline)
    expect(not elsewhere, "; ".join(elsewhere))


def closing_ends_it(baseline: Baseline) -> None:
    """It can be closed."""
    baseline.close()


BASELINE_CHECKS: dict[str, Callable[[Baseline], None]] = {
    check.__name__: check
    for check in (
        import_is_light,
        options_are_typed,
        identity_is_json,
        built_anew_it_is_the_same,
        scores_are_scores,
        pictures_of_any_kind,
        the_same_again,
        seeds_are_declared,
        many_at_once,
        references_are_taken,
        the_view_is_left_alone,
        a_category_is_settled,
        nothing_else_changes,
        nothing_secret_is_shown,
        closing_ends_it,
    )
}
"""Name -> check. Each is independent of the others, but the last closes the baseline."""


def _noise(seed: int, height: int = _SIDE, width: int | None = None) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width or height, 3), dtype=np.uint8)


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
    stretched = [np.resize(one, image.shape) for one in references]
    return View(
        image=image,
        category="bolt",
        seed=seed,
        references=stretched,
        truth=Truth(label=True, mask=mask) if baseline.sees_truth else None,
        original=image if original is None else original,
        original_references=list(references),
    )


def _scored(baseline: Baseline, view: View) -> DenseScores:
    """Score a view, and look at the types and ranges."""
    try:
        dense = baseline.score(view)
    except BaseException as error:
        note_leaks(str(error))
        if isinstance(error, ModuleNotFoundError):
            raise ContractError(missing_module("score()", error, of=baseline.implementation.__module__)) from error
        raise ContractError(f"score() raised {where(error)}") from error
    finally:
        alive()
    wrong = flaw_of(dense, view.image.shape[:2])
    expect(not wrong, f"score() {wrong}")
    expect(dense.map.dtype.kind == "f", f"the map holds {dense.map.dtype}; it must hold floats")
    return dense


def _alike(one: DenseScores, other: DenseScores) -> bool:
    return bool(abs(one.image - other.image) <= _ROUNDING and np.allclose(one.map, other.map, atol=_ROUNDING))
