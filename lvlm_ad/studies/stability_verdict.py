"""The verdict of a stability study: can it choose between two versions of a model that are 2 points apart?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.metrics.stability import images_for_auroc

if TYPE_CHECKING:
    from lvlm_ad.studies.stability_record import AurocNoise

__all__ = ["WANTED", "verdict"]

WANTED = 0.02
"""The difference of image AUROC that is to be told: 2 points."""


def verdict(noise: AurocNoise, auroc: float | None, images: int, categories: int, wanted: float = WANTED) -> str:
    """Say in a sentence whether a difference of image AUROC between two versions of a model can be believed.

    Two versions may seem to differ for three reasons that are not the versions: they were asked at another time, in
    another way, or about images that happen to suit one of them. The first two are compared with the difference
    wanted, then the third.

    Args:
        noise: the errors of image AUROC.
        auroc: image AUROC of the base; None: undefined.
        images: how many images there are.
        categories: of how many categories.
        wanted: the difference, in 0..1.

    Example:
        >>> from lvlm_ad.studies.stability_record import AurocNoise
        >>> noise = AurocNoise(asking_sd=0.01, asking=0.028, sampling=0.05, factor=None)
        >>> verdict(noise, 0.9, 100, 1)
        'Too unstable to tell two versions 2 points apart: asking again changes image AUROC by up to 2.8 points.'
    """
    task = f"to tell two versions {100 * wanted:g} points apart"
    worst = max((size for size in (noise.asking, noise.factor) if size is not None), default=None)
    if worst is None or auroc is None:
        return "Nothing can be said yet: the base was not answered twice about good and anomalous images."
    change = _largest_change(noise) if worst else "nothing that was varied changes image AUROC"
    if worst >= wanted:
        return f"Too unstable {task}: {change}."
    if noise.sampling is None:
        return f"Too few images {task}: with {images} image AUROC has no interval; {change}."
    if noise.sampling > wanted:
        needed = 2 * categories * images_for_auroc(min(auroc, 0.999), wanted, categories)
        return (
            f"Too few images {task}: {images} give image AUROC to ±{100 * noise.sampling:.1f} points, and about "
            f"{needed} are needed; otherwise it is stable enough: {change}."
        )
    return f"Stable enough {task}: {change}, and {images} images give it to ±{100 * noise.sampling:.1f} points."


def _largest_change(noise: AurocNoise) -> str:
    """Say what changes image AUROC most."""
    asking = None if noise.asking is None else f"{100 * noise.asking:.1f} points"
    if noise.factor is None or (noise.asking or 0.0) >= noise.factor:
        return f"asking again changes image AUROC by up to {asking}"
    # What a level changes includes what asking again changes, so the reader needs both.
    also = "" if asking is None else f" (asking again: by up to {asking})"
    return f"{noise.level} changes image AUROC by {100 * noise.factor:.1f} points{also}"
