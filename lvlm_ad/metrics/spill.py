"""Arrays kept until they are needed again: in memory up to a limit, beyond it in one temporary file."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IN_MEMORY", "Reader", "SpillStore"]

IN_MEMORY = 1e9
"""Bytes that stay in memory: the sorted scores of about 400 maps of 768 x 768 pixels."""

Reader = Callable[[int, int], "NDArray[Any]"]
"""Returns the elements of a kept array from a start to a stop."""


class SpillStore:
    """Keeps arrays.

    Args:
        folder: where the file is made; None: the system's folder of temporary files. The file has no name, so it goes
            when the process ends.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def keep(self, values: NDArray[Any]) -> Reader:
        """Keep an array and return what reads it."""
        self._bytes += values.nbytes
        if self._bytes <= IN_MEMORY:
            return lambda start, stop: values[start:stop]
        try:
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - it lives as long as this
                weakref.finalize(self, self._file.close)
            file, dtype = self._file, values.dtype
            place = file.seek(0, 2)
            rest = memoryview(values.tobytes())
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            if self._file is not None:
                # Others on this disk may need the room to end well.
                self._file.close()
            raise RunError(
                f"The anomaly maps of a category take more than a gigabyte, and the rest cannot be written to "
                f"{self._folder or 'the folder of temporary files'}: {error.strerror}. Free some space, or have fewer "
                "images in a category."
            ) from error

        def read(start: int, stop: int) -> NDArray[Any]:
            file.seek(place + start * dtype.itemsize)
            return np.frombuffer(file.read((stop - start) * dtype.itemsize), dtype)

        return read
