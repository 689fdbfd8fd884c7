"""Fetch a large file over HTTP: resume a broken transfer, and verify the checksum."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from lvlm_ad import __version__
from lvlm_ad.errors import ConfigError, DataError

__all__ = ["fetch", "shown_address"]

_TRIES = 5
"""Failed transfers in a row, none of which brought a byte, before giving up."""
_WAIT = 1.0
_SILENCE = 60.0
"""Seconds without a byte after which a transfer counts as broken."""
_BLOCK = 1 << 20
_OK, _PARTIAL, _RANGE_EMPTY, _SERVER_ERROR = 200, 206, 416, 500
_PASSING = (408, 429)


class _BrokenError(Exception):
    """A transfer that may be resumed."""


def shown_address(url: str) -> str:
    """Return an address without its user name, password and query.

    Example:
        >>> shown_address("https://me:secret@a.example/b.tar?token=secret")
        'https://a.example/b.tar'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"[:300]


def fetch(
    url: str,
    target: Path,
    sha256: str,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Fetch a file. An incomplete transfer is kept as ``TARGET.partial``, and the next call resumes it.

    Args:
        url: http or https.
        target: the file to write; its folder exists. A file that is there and has the checksum is not fetched again.
        sha256: of the whole file, hex.
        progress: called with the stage ("fetching", "checking"), bytes done and bytes in all (0: unknown).
        note: called with a sentence for each transfer that broke.

    Raises:
        ConfigError: the address is not one of the web.
        DataError: the server does not give the file, the transfer broke too often, the disk is too small, or the
            file is not the expected one; then it is removed.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise ConfigError(f"{shown_address(url)!r} is not a web address; it must begin with https:// or http://.")
    if target.is_file() and _hash(target, progress) == sha256:
        return
    partial = target.with_name(f"{target.name}.partial")
    failures = 0
    while True:
        before = _size(partial)
        try:
            _transfer(url, partial, progress)
            break
        except (httpx.RequestError, _BrokenError) as error:
            failures = 1 if _size(partial) > before else failures + 1
            if failures == _TRIES or isinstance(error, httpx.UnsupportedProtocol | httpx.TooManyRedirects):
                raise DataError(
                    f"{shown_address(url)} cannot be fetched: {error!s:.200}. "
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
            f"{shown_address(url)} gave another file: its SHA-256 begins with {digest[:16]}, not {sha256[:16]}. It was "
            "removed; try again, or give another address (--url)."
        )
    partial.replace(target)


def _transfer(url: str, partial: Path, progress: Callable[[str, int, int], None]) -> None:
    """Fetch the missing bytes of a file."""
    have = _size(partial)
    headers = {"User-Agent": f"lvlm-ad/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=_SILENCE) as reply:
        status = reply.status_code
        part = reply.headers.get("Content-Range", "")
        if status == _RANGE_EMPTY and have:
            if part.endswith(f"/{have}"):
                return
            partial.unlink()
            raise _BrokenError("the file at the server is shorter than the part received; starting again")
        if status in _PASSING or status >= _SERVER_ERROR:
            raise _BrokenError(f"the server answered {status} {reply.reason_phrase}")
        if status not in {_OK, _PARTIAL}:
            raise DataError(
                f"{shown_address(url)} answered {status} {reply.reason_phrase}; give another address with --url, or "
                "fetch the file in a browser."
            )
        if status == _PARTIAL and not part.startswith(f"bytes {have}-"):
            raise _BrokenError("the server answered with another part than requested")
        start = have if status == _PARTIAL else 0
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


def _hash(path: Path, progress: Callable[[str, int, int], None]) -> str:
    progress("checking", 0, 0)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
