"""Unpacks an archive that a stranger made: nothing outside the folder, no links, no more than was agreed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from lvlm_ad.errors import DataError

__all__ = ["unpack"]

_ENTRIES = 500_000
"""Files and folders that an archive may name, at most; the largest data set known has a third of them."""
_FOLDERS = 50_000
"""Folders that may be made, at most; those that names imply count."""
_HEADERS = 1 << 16
"""Bytes that may say what a member of a tar is, at most: a long name takes some hundreds."""
_LONGEST_NAME = 255
_DEEPEST = 32
_SHOWN = 80
_BLOCK = 1 << 20
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
    RecursionError,
)
"""What the standard library lets through of an archive that is damaged, or written in a way that it does not know."""

_DRIVE = re.compile(r"[A-Za-z]:")


def unpack(archive: Path, folder: Path, most: int, heard: Callable[[int], None] = lambda _: None) -> int:
    """Unpack a tar archive (plain, gzip, bzip2 or xz) or a zip archive.

    Only plain files and folders are taken. Nothing that is there is overwritten, and rights, owners and times of the
    archive are not kept.

    Args:
        archive: the file.
        folder: where to; it is made. What was unpacked before an error stays in it.
        most: the most bytes that may come out.
        heard: is told how many bytes have come out.

    Returns:
        How many files came out.

    Raises:
        DataError: it is no such archive or damaged, holds a link or device, a name that leads out of the folder or
            stands twice, more than ``most`` bytes, more files or folders than any data set has, or a header larger than
            any name needs.
    """
    folder.mkdir(parents=True)
    try:
        count = _unpacked(archive, folder, most, heard)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f"{archive.name} holds a file where another is a folder: {_short(str(error.filename))}."
        ) from error
    except (OSError, *_DAMAGED) as error:
        # What bzip2 and gzip find damaged has no number of the system's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{archive.name} is damaged, or no archive: {error!s:.200}.") from error
    if not count:
        raise DataError(f"{archive.name} holds no files.")
    return count


def _unpacked(archive: Path, folder: Path, most: int, heard: Callable[[int], None]) -> int:
    """Take out one member after the other, and count."""
    left, seen, made = most, set[str](), _Made(folder, archive)
    with ExitStack() as stack:
        for number, (name, content) in enumerate(_members(archive, stack)):
            if number == _ENTRIES:
                raise DataError(f"{archive.name} holds more than {_ENTRIES:,} files and folders; it was refused.")
            path = folder / _checked(name, archive)
            if content is None:
                made.folder(path)
                continue
            # Names that differ only in case are one file on some systems.
            if path.as_posix().casefold() in seen:
                raise DataError(f"{archive.name} holds {_short(name)} twice.")
            seen.add(path.as_posix().casefold())
            made.folder(path.parent)
            for size in _copied(content, path):
                left -= size
                if left < 0:
                    raise DataError(f"{archive.name} holds more than {most:,} bytes; it was not unpacked.")
                heard(most - left)
    return len(seen)


def _copied(content: IO[bytes], path: Path) -> Iterator[int]:
    """Write a file that is not there yet; before each block is written, yield how many bytes it has."""
    with path.open("xb") as file:
        while block := content.read(_BLOCK):
            yield len(block)
            file.write(block)


def _members(archive: Path, stack: ExitStack) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield the name and content of each member; of a folder None."""
    if zipfile.is_zipfile(archive):
        whole = stack.enter_context(zipfile.ZipFile(archive))
        for entry in whole.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or entry.flag_bits & 1:
                raise DataError(f"{archive.name} holds {_short(entry.filename)}, which is a link or encrypted.")
            if entry.is_dir():
                yield entry.filename, None
                continue
            with whole.open(entry) as content:
                yield entry.filename, content
        return
    plain = _Bounded(stack.enter_context(_opened(archive)), archive)
    tar = stack.enter_context(tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r:"))  # noqa: SIM115 - it is one
    while True:
        plain.reads_header()
        member = tar.next()
        if member is None:
            return
        plain.reads_content()
        # It keeps them all otherwise, with whatever their headers hold.
        tar.members = []  # type: ignore[attr-defined]
        if member.isdir():
            yield member.name, None
        elif member.isreg() and not member.issparse() and (file := tar.extractfile(member)) is not None:
            with file:
                yield member.name, file
        else:
            raise DataError(f"{archive.name} holds {_short(member.name)}, which is a link, a device or the like.")


def _opened(archive: Path) -> IO[bytes]:
    """Open what a tar archive holds, by what it begins with."""
    with archive.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(archive))
    if magic.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(archive))
    if magic == b"\xfd7zXZ\x00" or magic.startswith(b"\x5d\x00\x00"):
        return cast("IO[bytes]", lzma.open(archive))
    return archive.open("rb")


class _Bounded:
    """A stream that lets no header be read that is larger than any needs: the whole of one is held in memory.

    Args:
        stream: the tar, no longer compressed.
        archive: its file, for messages.
    """

    def __init__(self, stream: IO[bytes], archive: Path) -> None:
        self._stream, self._archive = stream, archive
        # Opened, a tar reads the first member's.
        self._left: int | None = _HEADERS
        self.tell = stream.tell

    def reads_header(self) -> None:
        """Say that what comes says what a member is."""
        self._left = _HEADERS

    def reads_content(self) -> None:
        """Say that what comes is counted by who reads it."""
        self._left = None

    def read(self, size: int) -> bytes:
        """Read, unless that is too much of a header."""
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise DataError(
                    f"{self._archive.name} holds a header of {size:,} bytes, or many of one file; it was refused."
                )
        return self._stream.read(size)

    def seek(self, place: int) -> int:
        """Go on elsewhere."""
        return self._stream.seek(place)


class _Made:
    """The folders that were made, which are counted: they take no bytes of the archive's limit."""

    def __init__(self, root: Path, archive: Path) -> None:
        self._there, self._archive = {root}, archive

    def folder(self, path: Path) -> None:
        """Make a folder and those around it."""
        if path in self._there:
            return
        self.folder(path.parent)
        if len(self._there) > _FOLDERS:
            raise DataError(f"{self._archive.name} holds more than {_FOLDERS:,} folders; it was not unpacked.")
        path.mkdir(exist_ok=True)
        self._there.add(path)


def _short(name: str) -> str:
    """Quote a name, cut if it is long."""
    return f"{name[:_SHOWN]!r}..." if len(name) > _SHOWN else repr(name)


def _checked(name: str, archive: Path) -> Path:
    """Return a member's path within the folder."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    leads_out = name.startswith("/") or ".." in parts or _DRIVE.match(name) or "\\" in name
    unfit = any(len(part.encode(errors="replace")) > _LONGEST_NAME or not part.isprintable() for part in parts)
    if leads_out or unfit or len(parts) > _DEEPEST:
        raise DataError(
            f"{archive.name} holds {_short(name)}, a name that leads out of the folder or cannot be written."
        )
    return Path(*parts)
