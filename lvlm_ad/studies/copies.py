"""Changed copies of a study's images as data sets of their own: the same ids, labels and masks, other pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import decode
from lvlm_ad.errors import RunError
from lvlm_ad.files import write_file
from lvlm_ad.log import Progress
from lvlm_ad.png import png_bytes
from lvlm_ad.studies.corruptions import corrupt

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets import Dataset, Sample

__all__ = ["corrupted_copies", "mirrored_copies"]

_THREADS = 2
"""Images that are changed at the same time; each takes some hundred megabytes meanwhile if it is large."""

_VERSION = 1
"""Raised when a corruption changes, so that copies of older versions are not used."""


def corrupted_copies(
    dataset: Dataset, kind: str, severity: int, folder: Path, progress: Progress | None = None
) -> Dataset:
    """Write corrupted copies of the test images as PNG files; those that are there already are kept.

    Training images, which serve as references, stay as they are.

    Args:
        dataset: the images.
        kind: the corruption, see ``corrupt``.
        severity: 1 to 5.
        folder: where the files go.
        progress: receives reports.

    Returns:
        The copies, with the ids, labels and masks of the originals.

    Raises:
        ConfigError: there is no such corruption.
        ImageError: an image cannot be read.
        RunError: a copy cannot be written.
    """

    def copied(sample: Sample) -> Sample:
        path = _path_of(dataset, sample, folder, f"{kind}-{severity}")
        _write_once(path, lambda: png_bytes(corrupt(sample.image, kind, severity, sample.id)))
        # The copy has 8 bits, whatever the original had.
        return replace(sample, image_path=path, depth=None)

    return _copies(dataset, copied, folder, f"{kind} {severity}", progress)


def mirrored_copies(dataset: Dataset, folder: Path, progress: Progress | None = None) -> Dataset:
    """Write copies of test images and masks with left and right swapped; those that are there already are kept.

    Args:
        dataset: the images.
        folder: where the files go.
        progress: receives reports.

    Returns:
        The copies, with the ids and labels of the originals, and mirrored masks.

    Raises:
        ImageError: an image or a mask cannot be read.
        RunError: a copy cannot be written.

    Example::

        mirrored_copies(open_dataset("mvtec", Path("mvtec")), Path("runs/studies/mirror/images"))
    """

    def copied(sample: Sample) -> Sample:
        path = _path_of(dataset, sample, folder, "mirrored")
        _write_once(path, lambda: png_bytes(np.ascontiguousarray(sample.image[:, ::-1])))
        masks = [path.with_name(f"{path.stem}-mask-{index}.png") for index in range(len(sample.mask_files))]
        for original, mask in zip(sample.mask_files, masks, strict=True):
            _write_mirrored(original, mask)
        return replace(
            sample,
            image_path=path,
            depth=None,
            mask_path=masks[0] if masks else None,
            more_masks=tuple(masks[1:]),
        )

    return _copies(dataset, copied, folder, "mirrored", progress)


def _copies(
    dataset: Dataset, copied: Callable[[Sample], Sample], folder: Path, what: str, progress: Progress | None
) -> Dataset:
    """Copy each sample, and report on it."""
    progress = progress or Progress()
    samples = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        progress.start(f"writing images, {what}", len(dataset))
        with ThreadPoolExecutor(_THREADS) as pool:
            for sample in pool.map(copied, dataset):
                samples.append(sample)
                progress.advance()
        progress.finish()
    except OSError as error:
        raise RunError(f"Copies of images cannot be written into {folder}: {error.strerror or error}.") from error
    return replace(dataset, samples=tuple(samples), kinds=dataset.defects)


def _path_of(dataset: Dataset, sample: Sample, folder: Path, how: str) -> Path:
    """Return the path of a copy; it depends on the image, its masks and how it is changed."""
    decides = [str(_VERSION), how, sample.id, *dataset.file_hashes[sample.id]]
    text = "\n".join(decides).encode(errors="surrogateescape")
    return folder / f"{hashlib.sha256(text).hexdigest()[:24]}.png"


def _write_once(path: Path, content: Callable[[], bytes]) -> None:
    if not path.exists():
        write_file(path, content(), durable=False)


def _write_mirrored(original: Path, path: Path) -> None:
    """Mirror a mask as it is, so that its values keep their meaning."""
    if path.exists():
        return
    mirrored = decode(original).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    temporary = path.with_suffix(".part")
    mirrored.save(temporary, "PNG")
    temporary.replace(path)
