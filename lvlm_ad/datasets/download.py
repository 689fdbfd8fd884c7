"""Download a data set into the cache: fetch its archive, verify the checksum, and unpack it safely."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from lvlm_ad import __version__
from lvlm_ad.datasets.load import default_root, load_dataset
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from lvlm_ad.presets import DownloadPreset

_TRIES = 5
"""Failed transfers in a row, none of which brought a byte, before giving up."""
_WAIT = 1.0
_SILENCE = 60.0
"""Seconds without a byte after which a transfer counts as broken."""
_BLOCK = 1 << 20

_MAX_MEMBERS = 500_000
"""Three times as many files and folders as the largest data set known has."""


Report = Callable[[str, int, int], None]
"""Receives the stage ("fetching", "checking", "unpacking"), bytes done and bytes in all (0: unknown)."""


def folder_of(preset: DownloadPreset, to: Path | None = None) -> Path:
    """Return the folder that a data set is downloaded to."""
    return (to or default_root(preset.name)).expanduser()


def download(
    preset: DownloadPreset,
    to: Path | None = None,
    *,
    keep_archive: bool = False,
    progress: Report = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Fetch, verify and unpack a data set. After an interruption the next call resumes.

    The caller asks the user to accept the licence.

    Args:
        preset: the data set, its address and its checksum.
        to: the folder; None: the cache.
        keep_archive: whether to keep the archive, beside the folder as ``FOLDER.archive``.
        progress: see ``Report``.
        note: called with a sentence for each transfer that broke.

    Returns:
        The folder. If it is there already, nothing is done.

    Raises:
        ConfigError: the layout is unknown, or the address is not one of the web.
        DataError: the file cannot be fetched or is not the expected one, the disk is too small, or the archive cannot
            be unpacked safely or is not the data set. The folder is then not created.
    """
    if preset.layout not in READERS:
        raise ConfigError(f"There is no layout {preset.layout!r}.{nearest(preset.layout, READERS)}")
    folder = folder_of(preset, to)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_name(f"{folder.name}.archive")
    # Under another name until it is complete: a killed run leaves no incomplete data set.
    unpacked = folder.with_name(f"{folder.name}.unpacking")
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


def fetch(
    url: str,
    target: Path,
    sha256: str,
    progress: Report = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Fetch a file over HTTP, unless it is there with this checksum. A file with another checksum is removed.

    An incomplete transfer is kept as ``TARGET.partial``, which the next call resumes. It raises what ``download`` does.
    """
    parts = urlsplit(url)
    # Without user name, password and query, which may be secret.
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{address!r} is not a web address; it must begin with https:// or http://.")
    if target.is_file() and _hash(target, progress) == sha256:
        return
    partial = target.with_name(f"{target.name}.partial")
    failures = 0
    while True:
        before = _size(partial)
        try:
            _transfer(url, address, partial, progress)
            break
        except httpx.RequestError as error:
            failures = 1 if _size(partial) > before else failures + 1
            if failures == _TRIES or isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects):
                raise DataError(
                    f"{address} cannot be fetched: {error!s:.200}. "
                    "The bytes received are kept; run the same command again to resume."
                ) from error
            note(f"{error!s:.200}; resuming after {_size(partial):,} bytes")
            time.sleep(_WAIT * 2 ** (failures - 1))
        except OSError as error:
            raise DataError(
                f"{partial} cannot be written: {error.strerror}. Run the same command again to resume."
            ) from error
    digest = _hash(partial, progress)
    if digest != sha256:
        partial.unlink()
        raise DataError(
            f"The file at {address} is not the expected one: its SHA-256 begins with {digest[:16]}, not {sha256[:16]}. "
            "It was deleted; try again, or give another address (--url)."
        )
    partial.replace(target)


def _transfer(url: str, address: str, partial: Path, progress: Report) -> None:
    """Fetch the missing bytes of a file."""
    have = _size(partial)
    headers = {"User-Agent": f"lvlm-ad/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=_SILENCE) as reply:
        status, reason = reply.status_code, f"answered {reply.status_code} {reply.reason_phrase}"
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            # The file is complete; if it is another one, the checksum shows it.
            return
        if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or reply.is_server_error:
            raise httpx.RequestError(f"the server {reason}")
        if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise DataError(f"{address} {reason}; give another address with --url, or fetch the file in a browser.")
        start = have if status == HTTPStatus.PARTIAL_CONTENT else 0
        if start and not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise httpx.RequestError("the server answered with another part than requested")
        length = int(reply.headers.get("Content-Length", 0))
        if shutil.disk_usage(partial.parent).free < length:
            raise DataError(f"{partial.parent} has no room for {length:,} bytes more.")
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in reply.iter_raw(_BLOCK):
                file.write(block)
                progress("fetching", file.tell(), start + length if length else 0)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _hash(path: Path, progress: Report) -> str:
    progress("checking", 0, 0)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None] = lambda _: None) -> None:
    """Unpack a tar archive (plain, gzip, bzip2 or xz) or a zip archive into a new folder.

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
    except DataError:
        raise
    except Exception as error:
        # A damaged archive raises one of many exceptions, also an OSError, but without a number.
        if isinstance(error, OSError) and error.errno:
            raise DataError(f"{archive.name} cannot be unpacked: {error.strerror}.") from error
        reason = str(error).partition("\n")[0].rstrip(":.")
        raise DataError(f"{archive.name} is damaged, or not an archive: {reason:.200}.") from error
    if not any(folder.iterdir()):
        raise DataError(f"{archive.name} holds no files.")


def _unpack_tar(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None]) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise DataError("To unpack archives safely, lvlm-ad needs Python 3.11.4 or later; update Python.")
    size = 0
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar, start=1):
            size += member.size
            _check_size(archive, number, size, max_bytes)
            # The filter refuses devices, and names and links that lead out of the folder; it drops rights and owners.
            tar.extract(member, folder, filter="data")
            progress(size)
        # A damaged header looks like the end of the archive. The checksum at the end of the compressed data tells.
        while (data := tar.fileobj.read(1 << 20)) and size <= max_bytes:
            size += len(data)


def _unpack_zip(archive: Path, folder: Path, max_bytes: int, progress: Callable[[int], None]) -> None:
    size = 0
    with zipfile.ZipFile(archive) as file:
        for number, member in enumerate(file.infolist(), start=1):
            size += member.file_size
            _check_size(archive, number, size, max_bytes)
            name = PurePosixPath(member.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                raise DataError(f"{archive.name} holds {member.filename[:80]!r}, which leads out of the folder.")
            # Links come out as small text files; more bytes than announced are not read.
            file.extract(member, folder)
            progress(size)


def _check_size(archive: Path, members: int, size: int, max_bytes: int) -> None:
    if members > _MAX_MEMBERS:
        raise DataError(f"{archive.name} holds more than {_MAX_MEMBERS:,} files and folders; it was not unpacked.")
    if size > max_bytes:
        raise DataError(f"{archive.name} holds more than {max_bytes:,} bytes; it was not unpacked.")
