"""Reads npz archives of others: no pickle, and no more memory than their size allows."""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_arrays"]

LARGEST = 1 << 30
"""Bytes of all arrays of an archive, unpacked."""


def read_arrays(file: IO[bytes], largest: int = LARGEST) -> dict[str, NDArray[Any]]:
    """Read an archive as ``numpy.savez_compressed`` writes it.

    Args:
        file: the archive.
        largest: the most bytes that it may unpack to.

    Returns:
        Name -> array.

    Raises:
        ValueError: it unpacks to more, an array is not as long as its head says, or holds Python objects.
        zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError: it is no such archive, or damaged.
    """
    found: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > largest:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, more than {largest:,}")
        for info in archive.infolist():
            # No more than the size in the list is unpacked, whatever the archive holds.
            with archive.open(info) as member:
                data = BytesIO(member.read(info.file_size))
            _check_length(data, info.filename)
            found[info.filename.removesuffix(".npy")] = np.lib.format.read_array(data, allow_pickle=False)
    return found


def _check_length(data: BytesIO, name: str) -> None:
    """NumPy makes room for what an array's head says before it looks whether that is there."""
    version = np.lib.format.read_magic(data)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(data)
    wanted, there = math.prod(shape) * dtype.itemsize, len(data.getbuffer()) - data.tell()
    if wanted != there:
        raise ValueError(f"{name}: {there:,} bytes are there, {wanted:,} by its head")
    data.seek(0)
