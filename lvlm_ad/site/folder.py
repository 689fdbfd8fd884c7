"""Writes a site's files into a folder: the old site is replaced, and nothing that is not the site's is touched."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lvlm_ad.errors import RunError
from lvlm_ad.files import read_file, write_file
from lvlm_ad.limits import MANIFEST_BYTES

__all__ = ["SITE_FILE", "check_folder", "write_files"]

SITE_FILE = "site.json"
"""Lists the files that the site consists of, so that the next one can delete those that it no longer has."""

_PATH = re.compile(r"(?!\.\.?/)[\w.-]+(/(?!\.\.?(/|$))[\w.-]+)*", re.ASCII)
"""A path of a site: no part is "." or ".."."""


class _Made(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    made_by: str
    files: dict[str, str]
    """Path -> SHA-256 of what was written."""


def check_folder(folder: Path) -> dict[str, str]:
    """Return the files of the site that is in a folder, path -> SHA-256; empty for a new or empty folder.

    Files whose names begin with a dot, such as those of Git, do not count.

    Raises:
        RunError: the folder contains other files and no site, or its list of files is damaged.

    Example:
        >>> check_folder(Path("no-folder"))
        {}
    """
    path = folder / SITE_FILE
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give --site a folder.")
    if not path.is_file():
        others = sorted(one.name for one in folder.iterdir() if one.name[0] != ".") if folder.exists() else []
        if others:
            raise RunError(
                f"{folder} contains other files, such as {others[0]!r:.80}, and no site; give --site a new folder."
            )
        return {}
    try:
        made = _Made.model_validate_json(read_file(path, MANIFEST_BYTES))
    except (OSError, ValueError, ValidationError) as error:
        raise RunError(f"{path} is damaged; give --site a new folder, or delete the files of the old site.") from error
    if made.made_by != "lvlm-ad" or not all(map(_PATH.fullmatch, made.files)):
        raise RunError(f"{path} is not a site's list of files; give --site a new folder.")
    return made.files


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[str]:
    """Write a site; files of the former site that it does not have are deleted, unless somebody changed them.

    Args:
        folder: created if it is not there.
        files: path -> content; text is written as UTF-8.

    Returns:
        The paths of files that were not deleted because somebody changed them. They no longer belong to the site.

    Raises:
        RunError: as ``check_folder``; a file that the former site did not make is in the way, or a link leads out of
            the folder; or a file cannot be written.
    """
    former = check_folder(folder)
    content = {path: text.encode("utf-8", "replace") if isinstance(text, str) else text for path, text in files.items()}
    hashes = {path: hashlib.sha256(one).hexdigest() for path, one in content.items()}
    for path in {**hashes, **former}:
        _check_path(folder, path, expected=path in former)
    try:
        # The list is written first, so that after an interruption every file is known to belong to the site.
        for path in content:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        _write_list(folder, {**former, **hashes})
        for path, one in content.items():
            write_file(folder / path, one, durable=False)
        changed = [path for path in sorted(former.keys() - hashes.keys()) if not _delete(folder, path, former[path])]
        _write_list(folder, hashes)
    except OSError as error:
        raise RunError(f"The site cannot be written to {error.filename or folder}: {error.strerror}.") from error
    return changed


def _check_path(folder: Path, path: str, *, expected: bool) -> None:
    place = folder / path
    if not Path(os.path.realpath(place.parent)).is_relative_to(os.path.realpath(folder)):
        raise RunError(f"{place.parent} is a link out of {folder}; remove it.")
    if not expected and os.path.lexists(place):
        raise RunError(f"{place} is in the way, and no site made it; move it, or give --site a new folder.")


def _write_list(folder: Path, hashes: Mapping[str, str]) -> None:
    made = {"made_by": "lvlm-ad", "files": dict(sorted(hashes.items()))}
    write_file(folder / SITE_FILE, json.dumps(made, indent=1) + "\n")


def _delete(folder: Path, path: str, expected: str) -> bool:
    """Delete a file that is as the site wrote it, and its folder if that is empty then; return whether it is gone."""
    place = folder / path
    if not os.path.lexists(place):
        return True
    if place.is_symlink() or not place.is_file() or hashlib.sha256(place.read_bytes()).hexdigest() != expected:
        return False
    place.unlink()
    for parent in place.parents:
        if parent == folder or any(parent.iterdir()):
            break
        parent.rmdir()
    return True
