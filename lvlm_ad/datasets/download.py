"""Download a data set into the cache, where ``load_dataset`` finds it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.fetch import fetch
from lvlm_ad.datasets.load import default_root, load_dataset
from lvlm_ad.datasets.unpack import unpack
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.presets import DownloadPreset

__all__ = ["download", "folder_of"]


def folder_of(preset: DownloadPreset, to: Path | None = None) -> Path:
    """Return the folder that a data set is downloaded to."""
    return (to or default_root(preset.name)).expanduser()


def download(
    preset: DownloadPreset,
    to: Path | None = None,
    *,
    keep_archive: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Fetch, verify and unpack a data set. After an interruption the next call resumes.

    The caller asks the user to accept the licence.

    Args:
        preset: the data set, its address and its checksum.
        to: the folder; None: the cache.
        keep_archive: whether to keep the archive, beside the folder as ``FOLDER.archive``.
        progress: called with the stage, bytes done and bytes in all (0: unknown).
        note: called with a sentence for each transfer that broke.

    Returns:
        The folder. If it is there already, nothing is done.

    Raises:
        ConfigError: the address is not one of the web.
        DataError: another process downloads into the same place, the file cannot be fetched or is not the expected
            one, cannot be unpacked safely, or is not the data set. The folder is then not created.
    """
    folder = folder_of(preset, to)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f"{folder.name}.archive")
    # Under another name until it is complete: a killed run leaves no incomplete data set.
    unpacked = folder.with_name(f"{folder.name}.unpacking")
    with _lock(folder.parent):
        fetch(preset.url, archive, preset.sha256, progress, note)
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            progress("unpacking", 0, 0)
            unpack(archive, unpacked, preset.unpacked_bytes, lambda size: progress("unpacking", size, 0))
            load_dataset(preset.layout, unpacked)
            unpacked.rename(folder)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        if not keep_archive:
            archive.unlink()
    return folder


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time download into a folder. The lock ends with its process, however that ends."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks; then the user must not start two downloads at once.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"Another process is downloading into {folder}; wait for it.") from error
        yield
    finally:
        os.close(handle)
