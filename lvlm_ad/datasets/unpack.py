"""Unpacks an archive that a stranger made: nothing outside the folder, no links, no more than was agreed."""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from lvlm_ad.errors import DataError

__all__ = ["unpack"]

_MEMBERS = 1_000_000
_LONGEST_NAME = 255
_BLOCK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError)
"""What the standard library lets through of an archive that is damaged, or written in a way that it does not know."""

_DRIVE = re.compile(r"[A-Za-z]:")


def unpack(archive: Path, folder: Path, most: int) -> int:
    """Unpack a tar archive (plain, gzip, bzip2 or xz) or a zip archive.

    Only plain files and folders are taken. Nothing that is there is overwritten, and rights, owners and times of the
    archive are not kept.

    Args:
        archive: the file.
        folder: where to; it is made. What was unpacked before an error stays in it.
        most: the most bytes that may come out.

    Returns:
        How many files came out.

    Raises:
        DataError: it is no such archive or damaged, holds a link or device, a name that leads out of the folder or
            stands twice, or more than ``most`` bytes.
    """
    folder.mkdir(parents=True)
    count, left, seen = 0, most, set[str]()
    try:
        with ExitStack() as stack:
            for name, content in _members(archive, stack):
                path = folder / _checked(name, archive)
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                # Names that differ only in case are one file on some systems.
                if path.as_posix().casefold() in seen or len(seen) == _MEMBERS:
                    raise DataError(f"{archive.name} holds {name!r:.100} twice, or too many files.")
                seen.add(path.as_posix().casefold())
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    while block := content.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise DataError(f"{archive.name} holds more than {most:,} bytes; it was not unpacked.")
                        file.write(block)
                count += 1
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{archive.name} holds a file where another is a folder: {error.filename!r:.100}.") from error
    except _DAMAGED as error:
        raise DataError(f"{archive.name} is damaged, or no archive: {error!s:.200}.") from error
    if not count:
        raise DataError(f"{archive.name} holds no files.")
    return count


def _members(archive: Path, stack: ExitStack) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name and content of each member; of a folder None."""
    if zipfile.is_zipfile(archive):
        whole = stack.enter_context(zipfile.ZipFile(archive))
        for entry in whole.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or entry.flag_bits & 1:
                raise DataError(f"{archive.name} holds {entry.filename!r:.100}, which is a link or encrypted.")
            if entry.is_dir():
                yield entry.filename, None
                continue
            with whole.open(entry) as content:
                yield entry.filename, content
        return
    tar = stack.enter_context(tarfile.open(archive, "r:*"))  # noqa: SIM115 - it is one
    for member in tar:
        if member.isdir():
            yield member.name, None
        elif member.isreg() and not member.issparse() and (file := tar.extractfile(member)) is not None:
            with file:
                yield member.name, file
        else:
            raise DataError(f"{archive.name} holds {member.name!r:.100}, which is a link, a device or the like.")


def _checked(name: str, archive: Path) -> Path:
    """Return a member's path within the folder."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    leads_out = name.startswith("/") or ".." in parts or _DRIVE.match(name) or "\\" in name
    unfit = any(len(part.encode(errors="replace")) > _LONGEST_NAME or not part.isprintable() for part in parts)
    if leads_out or unfit:
        raise DataError(
            f"{archive.name} holds {name!r:.100}, a name that leads out of the folder or cannot be written."
        )
    return Path(*parts)
