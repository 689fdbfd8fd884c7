"""Pictures that were drawn before: digests in ``cache.sqlite``, files in the folder ``pictures`` beside it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL
from PIL import features

from lvlm_ad.files import read_file, write_file
from lvlm_ad.prompts.drawing import DRAWING_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvlm_ad.backend import Picture
    from lvlm_ad.store import Database

__all__ = ["KeptPicture", "KeptPictures", "key_of", "size_in_bytes"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_LARGEST = 1 << 30
"""Bytes of one file, at most; the largest picture that can be drawn is smaller."""
_RESCAN = 1 / 20
"""Share of the limit that is written before the folder is scanned again: other commands write there, too."""
_SPARE = 500 * 10**6
"""Bytes of the disk that stay free: answers must find room, pictures need not."""
_NAME = re.compile(r"\.?[0-9a-f]{64}\.png")
"""How our files are named, finished or half-written: a folder of this name may hold a user's own files."""
_LEFT = 0.9
"""Share of the limit that is left when files are deleted, so that not every new picture deletes another."""


def size_in_bytes(text: object) -> object:
    """Read a size such as "2GB" or "500 MB"; a plain number is in bytes.

    Raises:
        ValueError: a text is no size.

    Example:
        >>> size_in_bytes("1.5GB"), size_in_bytes("0")
        (1500000000, 0)
    """
    if not isinstance(text, str):
        return text
    number = text.strip().upper().rstrip("KMGTB")
    unit = text.strip().upper()[len(number) :]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError("takes a size such as 2GB, 500MB or 0") from None


def key_of(image: Mapping[str, Any], drawing: Mapping[str, Any]) -> str:
    """Return the hash of everything that a picture's pixels depend on.

    Args:
        image: ``ImageFile.identity()``.
        drawing: ``Drawing.identity()``.

    Returns:
        SHA-256 (hex). The versions of Pillow and FreeType are part of it: another version may decode, stretch or write
        numbers differently.
    """
    identity = {"code": _versions(), "image": dict(image), "drawing": dict(drawing)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@cache
def _versions() -> list[Any]:
    # FreeType draws the numbers. Pillow may use the system's instead of the one that it comes with.
    return [DRAWING_VERSION, PIL.__version__, features.version("freetype2")]


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """What is known of a picture without its file.

    Attributes:
        digest: as ``Picture.digest``.
        size: width and height in pixels.
    """

    digest: str
    size: tuple[int, int]


class KeptPictures:
    """Digests of pictures, and as many of their files as a limit allows; the least recently used are deleted first.

    Several threads and several commands may use the same folder. A file that is gone, or differs from the hash that was
    taken when it was written, counts as not kept.

    Args:
        database: what ``store.open_cache`` returns.
        folder: where the files are.
        limit: their bytes in all; 0: digests alone are kept.
        note: called with what the user should know.
        spare: bytes of the disk that stay free.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        limit: int,
        note: Callable[[str], None] = lambda _: None,
        spare: int = _SPARE,
    ) -> None:
        self._database, self._folder, self._limit, self._note, self._spare = database, folder, limit, note, spare
        self._writing = threading.Lock()
        self._written = limit
        """Bytes written since the folder was scanned; at first so many that the first file leads to a scan."""

    def find(self, key: str) -> KeptPicture | None:
        """Look up a picture by ``key_of``."""
        rows = self._database.read("SELECT digest, width, height FROM drawings WHERE key = ?", (key,))
        return KeptPicture(rows[0][0], (rows[0][1], rows[0][2])) if rows else None

    def read(self, digest: str) -> bytes | None:
        """Return the file of a picture, unchanged since it was written; None: it must be drawn again."""
        rows = self._database.read("SELECT hash FROM pictures WHERE digest = ?", (digest,))
        if not rows or not self._limit:
            return None
        path = self._path(digest)
        try:
            # A pipe would keep the reader waiting.
            if not stat.S_ISREG(path.lstat().st_mode):
                return None
            content = read_file(path, _LARGEST)
            if hashlib.sha256(content).hexdigest() != rows[0][0]:
                return None
            os.utime(path)
        except (OSError, ValueError):
            return None
        return content

    def keep(self, key: str, picture: Picture) -> None:
        """Keep a picture under its key."""
        digest, size = picture.digest, picture.size or (0, 0)
        is_written = len(picture.data) <= self._limit and self._write(picture)
        with self._database.transaction(durable=False) as database:
            database.execute("INSERT OR REPLACE INTO drawings VALUES (?, ?, ?, ?)", (key, digest, *size))
            if is_written:
                found = hashlib.sha256(picture.data).hexdigest()
                database.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?)", (digest, found))

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.png"

    def _write(self, picture: Picture) -> bool:
        """Write a file and delete others if there are too many; where that is impossible, say so and keep no more."""
        path = self._path(picture.digest)
        try:
            for folder in (self._folder, path.parent):
                # A link could lead elsewhere: the output folder may come from somebody else.
                if folder.is_symlink():
                    raise OSError(errno.EEXIST, "the folder is a link", str(folder))  # noqa: TRY301 - one note for all
                folder.mkdir(exist_ok=True)
            if shutil.disk_usage(path.parent).free < self._spare:
                raise OSError(errno.ENOSPC, f"less than {self._spare:,} bytes are free on the disk")  # noqa: TRY301 - one note for all
            write_file(path, picture.data, durable=False)
        except FileNotFoundError:
            # Another thread or command, which needed room, deleted the half-written file, or a user the folder.
            return False
        except OSError as error:
            with self._writing:
                if self._limit:
                    self._limit = 0
                    self._note(
                        f"Pictures are not kept from here on: {error.strerror or error} ({error.filename or path})."
                    )
            return False
        with self._writing:
            self._written += len(picture.data)
            if self._written > self._limit * _RESCAN:
                self._trim()
        return True

    def trim(self) -> None:
        """Delete the least recently used files until the others fit into the limit; all of them if it is 0."""
        with self._writing:
            self._trim()

    def _trim(self) -> None:
        self._written = 0
        files = list(self._files())
        total = sum(size for _, size, _ in files)
        # Room is left for what is written before the next scan.
        if total <= self._limit * (1 - _RESCAN):
            return
        for _, size, path in sorted(files):
            # Another command may have deleted it just now.
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - a Path takes ten times as long
            total -= size
            if total <= _LEFT * self._limit:
                break

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """Yield when each picture's file was last used, its bytes and its path; links are not followed.

        Half-written files are among them: a command that was killed may have left some.
        """
        if self._folder.is_symlink():
            return
        with suppress(OSError), os.scandir(self._folder) as folders:
            for folder in folders:
                if not folder.is_dir(follow_symlinks=False):
                    continue
                with suppress(OSError), os.scandir(folder) as files:
                    for file in files:
                        with suppress(OSError):
                            about = file.stat(follow_symlinks=False)
                            if stat.S_ISREG(about.st_mode) and _NAME.match(file.name):
                                yield about.st_mtime_ns, about.st_size, file.path
