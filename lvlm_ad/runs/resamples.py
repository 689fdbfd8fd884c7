"""A cache of a run's metrics on resamples of its images: a leaderboard ranks by other metrics than image AUROC with it.

What is absent or damaged is computed again from predictions and pixels.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.files import read_arrays, write_file
from lvlm_ad.metrics.estimates import Estimate
from lvlm_ad.runs.run import RESAMPLES_FILE, Run, reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_resamples", "write_resamples"]

_BYTES_OF_A_CATEGORY = 100_000
"""Six metrics, 1,000 numbers of 4 bytes each, take a quarter of it."""


def write_resamples(folder: Path, categories: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Write the values of each category and metric on resamples, without image AUROC, whose ranks need none.

    ``categories`` (category -> metric -> its estimate) are in the order of the manifest.

    Raises:
        RunError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for at, estimates in enumerate(categories.values()):
        for metric, one in estimates.items():
            if one.draws is not None and metric != "image_auroc":
                arrays[f"{metric}.{at}"] = one.draws.astype(np.float32)
                arrays[f"{metric}.{at}.images"] = np.array([one.images, *one.sizes], dtype=np.float64)
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    try:
        write_file(folder / RESAMPLES_FILE, buffer.getvalue())
    except OSError as error:
        raise RunError(f"{folder / RESAMPLES_FILE} cannot be written: {error.strerror}.") from error


def read_resamples(run: Run, metric: str, resamples: int) -> dict[str, Estimate]:
    """Read a metric's draws for each category in which it is defined; empty unless all have ``resamples``."""
    categories = run.manifest.dataset.categories
    try:
        with reading(run.dir, RESAMPLES_FILE) as path, path.open("rb") as file:
            arrays = read_arrays(file, len(categories) * _BYTES_OF_A_CATEGORY)
    except RunError:
        return {}
    found = {}
    for at, category in enumerate(categories):
        value = run.metrics["categories"].get(category, {}).get(metric)
        if value is None:
            continue
        draws, images = arrays.get(f"{metric}.{at}"), arrays.get(f"{metric}.{at}.images")
        if draws is None or images is None or not _usable(draws, images, resamples):
            return {}
        sizes = int(images[1]), int(images[2])
        found[category] = Estimate(value, images=float(images[0]), sizes=sizes, draws=draws.astype(np.float64))
    return found


def _usable(draws: NDArray[Any], images: NDArray[Any], resamples: int) -> bool:
    """Whether arrays of unknown origin are draws: fractions, as many as needed, of more than one image."""
    if (draws.shape, images.shape) != ((resamples,), (3,)) or {draws.dtype.kind, images.dtype.kind} != {"f"}:
        return False
    fractions = np.isnan(draws) | ((draws >= 0) & (draws <= 1))
    return bool(fractions.all() and np.isfinite(images).all() and images.min() >= 1 and images[0] > 1)
