"""Whether an output folder and the stores in it are sound."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from lvlm_ad.calls import AnswerStore, BatchLedger, Claims
from lvlm_ad.datasets.hashes import FileHashes
from lvlm_ad.doctor.finding import Finding, State
from lvlm_ad.doctor.salvage import salvage
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.regions import DivisionStore
from lvlm_ad.runs import read_runs
from lvlm_ad.storage import DATABASE_ERRORS

__all__ = ["folder_findings"]

_LITTLE = 2 * 10**9
"""Bytes of free disk below which it is worth a word."""
_OLD = 3600.0
_LEFT = re.compile(
    r"\.(run\.json|metrics\.json|predictions\.jsonl|pixels\.npz|leaderboard\.\w+|index\.html)\.\w+|\.places-\w+"
)
"""Files that a killed process was writing."""

_Store = AnswerStore | BatchLedger | DivisionStore | FileHashes

_STORES: dict[str, tuple[Callable[[Path], _Store], str]] = {
    "answers.sqlite": (AnswerStore, "what can still be read is saved into a new file, and the damaged one is kept"),
    "divisions.sqlite": (DivisionStore, "it is put aside; images are divided again"),
    "batches.sqlite": (BatchLedger, "it is put aside; batches under way are looked for at the endpoint"),
    "files.sqlite": (FileHashes, "it is put aside; files are read again"),
}


def folder_findings(out: Path) -> Iterator[Finding]:
    """Look at an output folder: room, stores, runs, and what killed processes left. Nothing is changed.

    Args:
        out: the folder given to ``bench`` as ``--out``.
    """
    if not out.is_dir():
        yield Finding("folder", str(out), "absent", "there is no such folder; bench makes it")
        return
    free = shutil.disk_usage(out).free
    writable = os.access(out, os.W_OK)
    room = f"{free / 1e9:.1f} GB free"
    state: State = "problem" if not writable else "warning" if free < _LITTLE else "ok"
    yield Finding("folder", str(out), state, room if writable else "it cannot be written; give another --out")
    busy = _owners(out)
    if busy:
        yield Finding(
            "folder", "claims.sqlite", "ok", f"{busy} commands are at work on this folder; nothing is repaired"
        )
    for name, (kind, remedy) in _STORES.items():
        if (out / name).is_file():
            yield _store(out / name, kind, remedy, busy=bool(busy))
    yield from _claims(out, busy=bool(busy))
    runs, problems = read_runs(out)
    yield Finding("folder", "runs", "ok", f"{len(runs)} can be read")
    for problem in problems:
        yield Finding("folder", "runs", "problem", problem, "the same bench command writes it anew from stored answers")
    yield from _leftovers(out)


def _store(path: Path, kind: Callable[[Path], _Store], remedy: str, *, busy: bool) -> Finding:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            found = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            count = database.execute(f"SELECT count(*) FROM {path.stem}").fetchone()[0]  # nosec B608 # noqa: S608 - names of ours
    except sqlite3.OperationalError as error:
        held = {"locked": "another program holds it", "unable to open": "it cannot be opened here"}
        why = next((held[words] for words in held if words in str(error)), "")
        if why:
            return Finding("folder", path.name, "warning", f"{why} ({error}); it was not looked at")
        return _damaged(path, str(error), remedy, busy=busy)
    except DATABASE_ERRORS as error:
        return _damaged(path, str(error), remedy, busy=busy)
    if found != "ok":
        return _damaged(path, found, remedy, busy=busy)
    try:
        kind(path).close()
    except LvlmAdError as error:
        return Finding("folder", path.name, "problem", str(error))
    return Finding("folder", path.name, "ok", f"sound, {count:,} entries, {path.stat().st_size / 1e6:.1f} MB")


def _damaged(path: Path, why: str, remedy: str, *, busy: bool) -> Finding:
    def repair() -> str:
        aside = _aside(path)
        if path.name != "answers.sqlite":
            return f"{path.name} is put aside as {aside.name}"
        saved = salvage(aside, path)
        return f"{saved:,} answers were saved into a new {path.name}; the damaged file is {aside.name}"

    text = f"damaged: {why:.200}"
    return Finding("folder", path.name, "problem", text, remedy, None if busy else repair)


def _aside(path: Path) -> Path:
    """Move a store and what SQLite keeps beside it out of the way."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _owners(out: Path) -> int:
    """Count the living commands that work on a folder."""
    path = out / "claims.sqlite"
    if not path.is_file():
        return 0
    try:
        with closing(Claims(path)) as claims:
            return claims.others()
    except LvlmAdError:
        return 0


def _claims(out: Path, *, busy: bool) -> Iterator[Finding]:
    path = out / "claims.sqlite"
    if not path.is_file() or busy:
        return
    try:
        Claims(path).close()
    except LvlmAdError as error:

        def repair() -> str:
            return f"claims.sqlite is put aside as {_aside(path).name}; it holds no answers"

        yield Finding("folder", "claims.sqlite", "problem", str(error), "it is put aside", repair)


def _leftovers(out: Path) -> Iterator[Finding]:
    old = time.time() - _OLD
    left = [
        path
        for path in (*out.glob(".*"), *out.glob("*/.*"))
        if _LEFT.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < old
    ]
    if not left:
        return

    def repair() -> str:
        for path in left:
            path.unlink(missing_ok=True)
        return f"{len(left)} files were removed"

    text = f"{len(left)} half-written files of commands that were killed"
    yield Finding("folder", "leftovers", "warning", text, "they are removed", repair)
