"""The dense maps of a category until its last image is in: in memory, and beyond a gigabyte in a file."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, overload

import numpy as np

from lvlm_ad.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["HeldMaps"]

IN_MEMORY = 1e9
"""Bytes of a category's maps and masks that are kept in memory: about 340 maps of 768 x 768 pixels."""


class HeldMaps:
    """Maps with their ground truth.

    Args:
        folder: where the file is made that takes what memory is not to hold. It has no name, so that it goes with its
            process however that ends; None: where temporary files go.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: list[tuple[NDArray[Any], NDArray[np.bool_]]] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._filed: list[tuple[int, DTypeLike, tuple[int, ...]]] = []

    def __len__(self) -> int:
        return len(self._held) + len(self._filed)

    @property
    def maps(self) -> Sequence[NDArray[Any]]:
        """Float ``(H, W)`` each, in the order in which they were added; to be passed over as often as wanted."""
        return _Column(self.__len__, self._map)

    @property
    def masks(self) -> Sequence[NDArray[np.bool_]]:
        """Bool ``(H, W)`` each."""
        return _Column(self.__len__, self._mask)

    def add(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        """Add a map.

        Raises:
            RunError: the file cannot be written.
        """
        self._bytes += values.nbytes + mask.nbytes
        if self._bytes <= IN_MEMORY:
            self._held.append((values, mask))
            return
        try:
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - it lives as long as this
                weakref.finalize(self, self._file.close)
            place = self._file.seek(0, 2)
            # In C order, whatever the order in memory.
            self._write(values.tobytes())
            self._write(np.packbits(mask).tobytes())
        except OSError as error:
            if self._file is not None:
                # Its room may be what others need to end well.
                self._file.close()
            raise RunError(
                f"The dense maps of a category take more than a gigabyte, and what is beyond it cannot be written in "
                f"{self._folder or 'the folder of temporary files'}: {error.strerror}. Free some space, or have fewer "
                "images in a category."
            ) from error
        self._filed.append((place, values.dtype, values.shape))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while self._file is not None and rest:
            rest = rest[self._file.write(rest) :]

    def _map(self, at: int) -> NDArray[Any]:
        if at < len(self._held):
            return self._held[at][0]
        start, dtype, shape = self._filed[at - len(self._held)]
        return np.frombuffer(self._read(start, _size(dtype, shape)), dtype).reshape(shape)

    def _mask(self, at: int) -> NDArray[np.bool_]:
        if at < len(self._held):
            return self._held[at][1]
        start, dtype, shape = self._filed[at - len(self._held)]
        count = int(np.prod(shape))
        packed = np.frombuffer(self._read(start + _size(dtype, shape), -(-count // 8)), np.uint8)
        return np.unpackbits(packed, count=count).reshape(shape).astype(np.bool_)

    def _read(self, start: int, size: int) -> bytes:
        assert self._file is not None  # noqa: S101 - something was filed
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise RunError("The file that holds a category's dense maps is shorter than it was.")
        return data


def _size(dtype: DTypeLike, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


class _Column(Sequence["NDArray[Any]"]):
    """One of the two of all that is held, read when it is looked at."""

    def __init__(self, count: Callable[[], int], read: Callable[[int], NDArray[Any]]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count()

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        if isinstance(index, slice):
            return [self._read(at) for at in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._read(index % len(self))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return map(self._read, range(len(self)))
