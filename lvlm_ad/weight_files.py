"""What a file that should hold weights may be instead: a Git LFS pointer, a web page, an empty or cut-off file."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

from lvlm_ad.errors import ConfigError

__all__ = ["check_weights"]

_START = 512
_LONGEST_HEADER = 100_000_000
"""Bytes of the list of tensors in a safetensors file, as its own readers allow."""


def check_weights(path: Path) -> None:
    r"""Raise an error with the remedy if a file clearly does not hold a model's weights.

    Raises:
        ConfigError: it cannot be read, or is a Git LFS pointer, a web page, empty or cut off.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "model.safetensors")
        ...     _ = file.write_text("version https://git-lfs.github.com/spec/v1\\noid sha256:0\\nsize 9\\n")
        ...     try:
        ...         check_weights(file)
        ...     except ConfigError as error:
        ...         print(str(error).partition(" is ")[2])
        a Git LFS pointer, not the weights; run 'git lfs pull' in its folder, or download the file itself.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
            missing = _missing_bytes(path, start)
    except OSError as error:
        raise ConfigError(f"The weights {path} cannot be read: {error.strerror}.") from error
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith(b"version https://git-lfs"):
        what = "is a Git LFS pointer, not the weights; run 'git lfs pull' in its folder, or download the file itself"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        what = "is a web page, not the weights; its address may need a login, so download the file itself"
    elif not start:
        what = "is empty; download it again"
    elif missing:
        what = f"is cut off: {missing} are missing; download it again"
    else:
        return
    raise ConfigError(f"{path} {what}.")


def _missing_bytes(path: Path, start: bytes) -> str:
    """Describe what a file lacks at its end; "" if nothing, or if it has another format."""
    size = path.stat().st_size
    if start.startswith(b"PK\x03\x04"):
        return "" if zipfile.is_zipfile(path) else "the last bytes"
    if path.suffix != ".safetensors" or not start:
        return ""
    length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0  # noqa: PLR2004 - the header's length
    if not 0 < length <= _LONGEST_HEADER or start[8:9] != b"{":
        return ""
    if size < 8 + length:
        return f"{8 + length - size:,} bytes and more"
    try:
        with path.open("rb") as file:
            file.seek(8)
            tensors = json.loads(file.read(length))
        end = max((one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return ""
    return f"{8 + length + end - size:,} bytes" if isinstance(end, int) and size < 8 + length + end else ""
