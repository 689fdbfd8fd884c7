"""Files that are written whole or not at all, and arrays read from files of unknown origin."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import zipfile
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lvlm_ad.limits import ARRAYS_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["own_folder", "read_array", "read_arrays", "read_file", "write_file"]

_HEADERS = threading.Lock()
"""NumPy parses a header as a Python literal, which can fail in Python 3.11 while another thread does the same."""


def own_folder(path: Path) -> None:
    """Create a folder whose files are written in place, unless a link in it would lead the writing elsewhere.

    Raises:
        OSError: it is a link, contains links or pipes, or cannot be created.
    """
    path.mkdir(parents=True, exist_ok=True)
    inside = () if path.is_symlink() else path.iterdir()
    for one in (path, *inside):
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise OSError(errno.ELOOP, f"{one} is a link or not a regular file; remove it", str(one))


def write_file(
    path: Path, content: str | bytes | Iterable[bytes], *, through: bool = False, durable: bool = True
) -> None:
    """Write a file under another name and move it into place: readers see the old file or the whole new one.

    A link or a pipe of that name is replaced, not followed: the folder may come from somebody else.

    Args:
        path: the file.
        content: text is written as UTF-8 (what UTF-8 cannot hold, as "?"); parts are written one after the other.
        through: the user named the file: if it is no plain file, such as /dev/stdout, it is written to directly.
        durable: wait for the disk, so that a power cut leaves no half file.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_file(Path(folder) / "note.txt", "0.5")
        ...     (Path(folder) / "note.txt").read_text()
        '0.5'
    """
    if isinstance(content, str):
        content = content.encode("utf-8", errors="replace")
    parts = [content] if isinstance(content, bytes) else content
    if through and path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(parts)
        return
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp lets the owner alone read it; others may, as with any new file.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        # The user never asked for the temporary name, and a full disk names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def read_file(path: Path, largest: int) -> bytes:
    """Read a file of unknown origin.

    Raises:
        ValueError: it has more than ``largest`` bytes.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest:,} bytes")
    return content


def read_arrays(file: IO[bytes], largest: int = ARRAYS_BYTES, only: str = "") -> dict[str, NDArray[Any]]:
    """Read an npz archive of unknown origin: no pickled objects, and no more memory than its list of files says.

    Args:
        file: the archive, as ``numpy.savez_compressed`` writes it.
        largest: the most bytes that it may unpack to.
        only: the name of one array that is wanted; empty: all.

    Returns:
        Name -> array.

    Raises:
        ValueError: it unpacks to more, the length of an array disagrees with its header, or it contains objects.
        zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError: it is no such archive, or damaged.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > largest:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, more than {largest:,}")
        for info in archive.infolist():
            if only and info.filename != f"{only}.npy":
                continue
            # An archive may contain more than its list of files says; no more than that is unpacked.
            with archive.open(info) as member:
                arrays[info.filename.removesuffix(".npy")] = read_array(member.read(info.file_size), info.filename)
    return arrays


def read_array(content: bytes, name: str) -> NDArray[Any]:
    """Read the content of a npy file, without pickled objects.

    Args:
        content: the whole file.
        name: the file, for messages.

    Raises:
        ValueError: it is no such file, contains objects, or its length disagrees with its header.
    """
    import numpy as np  # noqa: PLC0415 - this module is imported where NumPy is not needed

    try:
        # 6 magic bytes, 2 of the version, then the header's length: 2 bytes in version 1, 4 in later ones.
        begin = 10 if content[6:7] == b"\1" else 12
        size = begin + int.from_bytes(content[8:begin], "little")
        shape, by_columns, dtype = _header(content[:size])
        # NumPy's own reader would reserve whatever the header announces. No Python objects can be read this way.
        flat = np.frombuffer(content, dtype, offset=size)
        array: NDArray[Any] = flat.reshape(shape, order="F" if by_columns else "C").copy("K")
    except Exception as error:  # a damaged header makes NumPy raise nearly anything
        raise ValueError(f"{name}: {error}") from error
    return array


@lru_cache(maxsize=256)
def _header(content: bytes) -> tuple[Any, bool, Any]:
    """Return shape, order and type that a npy header names. NumPy compiles it as Python; most are read many times."""
    import numpy as np  # noqa: PLC0415 - as above

    file, readers = BytesIO(content), np.lib.format
    with _HEADERS:
        version = readers.read_magic(file)
        header = readers.read_array_header_1_0 if version == (1, 0) else readers.read_array_header_2_0
        found: tuple[Any, bool, Any] = header(file)
    return found
