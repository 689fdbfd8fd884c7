"""Downloads a data set into the cache, where ``load_dataset`` finds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.fetch import fetch
from lvlm_ad.datasets.load import load_dataset
from lvlm_ad.datasets.unpack import unpack
from lvlm_ad.errors import DataError
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.presets import DownloadPreset

__all__ = ["download", "place_of"]


def place_of(preset: DownloadPreset, to: Path | None = None) -> Path:
    """Return the folder that a data set is downloaded to."""
    return (to or user_cache() / preset.name).expanduser()


def download(
    preset: DownloadPreset,
    to: Path | None = None,
    *,
    keep_archive: bool = False,
    heard: Callable[[str, int, int], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Download, check and unpack a data set. Interrupted by anything, the next call goes on.

    The licence is the caller's business.

    Args:
        preset: what it is and where it is.
        to: the folder; None: the cache.
        keep_archive: whether the archive stays, beside the folder as ``FOLDER.archive``.
        heard: is told what is done, how many bytes of it, and of how many (0: not known).
        note: is told what went wrong and is tried again.

    Returns:
        The folder. If it is there already, nothing is done.

    Raises:
        ConfigError: the address is none.
        DataError: another process is at it; the file cannot be had, is another one, or cannot be unpacked safely; or
            it is not the data set. Nothing is left in the folder's place.
    """
    folder = place_of(preset, to)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f"{folder.name}.archive")
    with _alone(folder):
        if folder.exists():
            return folder
        fetch(preset.url, archive, preset.sha256, heard, note)
        # Under another name until it is whole: a killed run leaves no half data set.
        begun = folder.with_name(f"{folder.name}.unpacking")
        shutil.rmtree(begun, ignore_errors=True)
        try:
            _unpack(preset, archive, begun, keep_archive=keep_archive, heard=heard)
            load_dataset(preset.layout, begun)
            begun.rename(folder)
        except BaseException:
            shutil.rmtree(begun, ignore_errors=True)
            raise
        if not keep_archive:
            archive.unlink()
    return folder


def _unpack(
    preset: DownloadPreset, archive: Path, begun: Path, *, keep_archive: bool, heard: Callable[[str, int, int], None]
) -> None:
    """Unpack an archive; one that is refused is removed, for it would be refused again."""
    heard("unpacking", 0, 0)
    room = shutil.disk_usage(begun.parent).free
    try:
        unpack(archive, begun, min(preset.unpacked_bytes, room), lambda size: heard("unpacking", size, 0))
    except DataError:
        # Where the disk was too small, it may fit the next time.
        if not keep_archive and room >= preset.unpacked_bytes:
            archive.unlink(missing_ok=True)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends; its file is left only by one that was killed."""
    path = folder.with_name(f"{folder.name}.lock")
    try:
        import fcntl  # noqa: PLC0415 - not on every system
    except ImportError:
        yield
        return
    while True:
        held = False
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataError(f"Another process is downloading {folder}; wait for it.") from error
            # Whoever held it before may have removed the file meanwhile: a lock on that keeps nobody out.
            with suppress(FileNotFoundError):
                held = os.path.samestat(os.fstat(handle), path.stat())
            if not held:
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(handle)
