"""Unpack an archive: only inside its folder, no special files, no more than agreed."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from lvlm_ad.errors import DataError

__all__ = ["unpack"]

_MAX_MEMBERS = 500_000
"""Three times as many files and folders as the largest data set known has."""

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    ValueError,
    RuntimeError,
)
"""What the standard library raises for a damaged archive."""


def unpack(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None] = lambda _: None) -> None:
    """Unpack a tar archive (plain, gzip, bzip2 or xz) or a zip archive.

    Args:
        archive: the file.
        folder: the folder to create. After an error it holds what was unpacked before.
        max_bytes: how many bytes may come out.
        progress: called with the number of bytes unpacked so far.

    Raises:
        DataError: it is not such an archive or damaged, holds no files, a device or a path that leads out of the
            folder, more than ``max_bytes`` or more members than any data set has; or the disk is full.
    """
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, max_bytes, progress)
        else:
            _unpack_tar(archive, folder, max_bytes, progress)
    except tarfile.FilterError as error:
        raise DataError(f"{archive.name} was refused: {error!s:.200}.") from error
    except OSError as error:
        # Damaged bzip2 and gzip archives raise OSErrors without a number.
        reason = f"cannot be unpacked: {error.strerror}" if error.errno else f"is damaged, or not an archive: {error}"
        raise DataError(f"{archive.name} {reason}.") from error
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0].rstrip(":.")
        raise DataError(f"{archive.name} is damaged, or not an archive: {reason:.200}.") from error
    if not any(folder.iterdir()):
        raise DataError(f"{archive.name} holds no files.")


def _unpack_tar(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None]) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise DataError("Archives can be unpacked safely with Python 3.11.4 or later; update Python.")
    size = 0
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar, start=1):
            size += member.size
            _check(archive, number, size, max_bytes)
            # The filter refuses devices, and names and links that lead out of the folder; it drops rights and owners.
            tar.extract(member, folder, filter="data")
            progress(size)


def _unpack_zip(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None]) -> None:
    size = 0
    with zipfile.ZipFile(archive) as file:
        for number, member in enumerate(file.infolist(), start=1):
            size += member.file_size
            _check(archive, number, size, max_bytes)
            name = PurePosixPath(member.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                raise DataError(f"{archive.name} holds {member.filename[:80]!r}, which leads out of the folder.")
            # Links come out as small text files; more bytes than announced are not read.
            file.extract(member, folder)
            progress(size)


def _check(archive: Path, members: int, size: int, max_bytes: int) -> None:
    if members > _MAX_MEMBERS:
        raise DataError(f"{archive.name} holds more than {_MAX_MEMBERS:,} files and folders; it was not unpacked.")
    if size > max_bytes:
        raise DataError(f"{archive.name} holds more than {max_bytes:,} bytes; it was not unpacked.")
