"""Fetches a large file over HTTP: goes on where a transfer broke off, and checks what came."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from lvlm_ad import __version__
from lvlm_ad.errors import ConfigError, DataError

__all__ = ["fetch", "shown_address"]

_TRIES = 5
"""In a row without a byte."""
_WAIT = 1.0
_SILENCE = 60.0
"""Seconds without a byte after which a transfer is taken for broken."""
_BLOCK = 1 << 20
_LARGEST = 100 * 10**9
_OF_THE_DISK = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LENGTH = re.compile(r"[0-9]{1,30}")
_PARTIAL, _OK, _NOTHING_LEFT, _TIMEOUT, _CROWDED, _SERVER = 206, 200, 416, 408, 429, 500


class _BrokenError(Exception):
    """A transfer that may be taken up again."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to the web alone, and never from a safe address to an unsafe one."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse what is neither http nor https, and what is less safe than before."""
        target = urlsplit(newurl).scheme
        if target not in {"http", "https"} or (req.type == "https" and target != "https"):
            raise DataError(f"{shown_address(req.full_url)} leads to {shown_address(newurl)}, which is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def shown_address(url: str) -> str:
    """Return an address without the name and password, and the query, that it may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"[:300]


def fetch(
    url: str,
    target: Path,
    sha256: str,
    heard: Callable[[str, int, int], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Fetch a file. What has come is kept beside it as ``.partial``, and the next call goes on from there.

    Args:
        url: http or https.
        target: where it goes; its folder exists. Nothing is fetched if it is there and has the checksum.
        sha256: of the whole file, hex.
        heard: is told what is done ("fetching", "checking"), how many bytes are, and of how many (0: not known).
        note: is told of each transfer that broke off.

    Raises:
        ConfigError: the address is none.
        DataError: the server does not give the file, the transfer broke off again and again, the disk is too small, or
            the file is not the one that was meant; then it is removed.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise ConfigError(f"{shown_address(url)!r} is no address; it must begin with https:// or http://.")
    if target.is_file() and _hash(target, heard) == sha256:
        return
    partial = target.with_name(f"{target.name}.partial")
    failures = 0
    while True:
        before = _size(partial)
        try:
            _transfer(url, partial, heard)
            break
        except (_BrokenError, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_THE_DISK):
                raise DataError(f"{partial} cannot be written: {error.strerror}. The same command goes on.") from error
            failures = failures + 1 if _size(partial) <= before else 1
            if failures == _TRIES:
                raise DataError(
                    f"{shown_address(url)} cannot be fetched: {_reason(error)}. "
                    "What came is kept; the same command goes on."
                ) from error
            note(f"{_reason(error)}; going on after {_size(partial):,} bytes")
            time.sleep(min(30.0, _WAIT * 2 ** (failures - 1)))
    found = _hash(partial, heard)
    if found != sha256:
        partial.unlink()
        _validator(partial).unlink(missing_ok=True)
        raise DataError(
            f"{shown_address(url)} gave another file: its SHA-256 begins with {found[:16]}, not {sha256[:16]}. It was "
            "removed; try again, or another address (--url)."
        )
    partial.replace(target)
    _validator(partial).unlink(missing_ok=True)


def _transfer(url: str, partial: Path, heard: Callable[[str, int, int], None]) -> None:
    """Fetch what is missing of a file."""
    have = _size(partial)
    headers = {"User-Agent": f"lvlm-ad/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if _validator(partial).is_file():
            headers["If-Range"] = _validator(partial).read_text(encoding="latin-1")
    opener = urllib.request.build_opener(_Redirects)
    # The scheme was looked at, and redirects are.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with opener.open(request, timeout=_SILENCE) as reply:
            start, total = _place(reply.status, reply.headers, have)
            if total and shutil.disk_usage(partial.parent).free < total - start:
                raise DataError(f"{partial.parent} has no room for {total - start:,} bytes more.")
            if total > _LARGEST:
                raise DataError(f"{shown_address(url)} is larger than {_LARGEST:,} bytes; it was not fetched.")
            _remember(partial, reply.headers)
            done = _write(reply, partial, start, lambda size: heard("fetching", size, total))
    except urllib.error.HTTPError as error:
        with error:
            _failed(url, error, partial, have)
        return
    if total and done < total:
        raise _BrokenError(f"the transfer broke off at {done:,} of {total:,} bytes")


def _place(status: int, headers: Message, have: int) -> tuple[int, int]:
    """Return at which byte a reply begins, and how many the whole file has; 0: not known."""
    # Some servers send nonsense; the checksum tells what came.
    said = headers.get("Content-Length", "").strip()
    length = int(said) if _LENGTH.fullmatch(said) else 0
    if status == _OK:
        return 0, length
    found = _RANGE.match(headers.get("Content-Range", ""))
    if status != _PARTIAL or found is None or int(found[1]) != have:
        raise _BrokenError(f"the server answered {status} with another part than was asked for")
    return have, have + length if length else 0


def _failed(url: str, error: urllib.error.HTTPError, partial: Path, have: int) -> None:
    """Tell what an error status means; returns where the file is whole."""
    if error.code == _NOTHING_LEFT and have:
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return
        partial.unlink()
        raise _BrokenError("the file at the server has changed; beginning anew")
    if error.code in {_TIMEOUT, _CROWDED} or error.code >= _SERVER:
        raise _BrokenError(f"the server answered {error.code} {error.reason}")
    raise DataError(
        f"{shown_address(url)} answers {error.code} {error.reason}; give another address with --url, or fetch the file "
        "in a browser."
    )


def _write(reply: IO[bytes], partial: Path, start: int, heard: Callable[[int], None]) -> int:
    done = start
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        while block := reply.read(_BLOCK):
            done += len(block)
            if done > _LARGEST:
                raise DataError(f"The file is larger than {_LARGEST:,} bytes; it was not fetched.")
            file.write(block)
            heard(done)
    return done


def _remember(partial: Path, headers: Message) -> None:
    """Keep what tells whether the file at the server is still the same. A weak tag does not."""
    tag = headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    if validator:
        _validator(partial).write_text(validator, encoding="latin-1", errors="replace")


def _validator(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.validator")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _hash(path: Path, heard: Callable[[str, int, int], None]) -> str:
    digest, done, total = hashlib.sha256(), 0, _size(path)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            heard("checking", done, total)
    return digest.hexdigest()


def _reason(error: Any) -> str:
    cause = getattr(error, "reason", error)
    return str(cause)[:200] or type(error).__name__
