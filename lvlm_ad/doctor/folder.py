"""Whether an output folder and the stores in it are sound."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lvlm_ad.asking import Locks
from lvlm_ad.doctor.finding import Finding, State
from lvlm_ad.doctor.stores import is_damage, store_findings
from lvlm_ad.errors import StoreError
from lvlm_ad.runs import read_runs
from lvlm_ad.store import open_answers

__all__ = ["folder_findings"]

_LITTLE = 2 * 10**9
"""Bytes of free disk below which it is worth a word."""
_OLD = 3600.0
_LEFT = re.compile(
    r"\.(run\.json|metrics\.json|predictions\.jsonl|pixels\.npz|leaderboard\.\w+|index\.html)\.[a-z0-9_]{8}"
)
"""Files that a killed process was writing; other programs name theirs otherwise."""
_LEFT_FOLDERS = re.compile(r"\.(salvage-[a-z0-9_]{8}|demo-data-[a-z0-9_]{8}\.partial)")
"""Folders in which one was working."""


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
    if busy is None:
        text = "it cannot be read, so nobody knows whether a command is at work on this folder; nothing is repaired"
        yield Finding("folder", "answers.sqlite", "warning", text)
    elif busy:
        yield Finding(
            "folder", "answers.sqlite", "ok", f"{busy} commands are at work on this folder; nothing is repaired"
        )
    yield from store_findings(out, busy=busy is None or busy > 0)
    runs, problems = read_runs(out)
    yield Finding("folder", "runs", "ok", f"{len(runs)} can be read")
    for problem in problems:
        yield Finding("folder", "runs", "problem", problem, "the same bench command writes it anew from stored answers")
    yield from _leftovers(out)


def _owners(out: Path) -> int | None:
    """Count the living commands that work on a folder; None where that cannot be known, as of a newer version's."""
    path = out / "answers.sqlite"
    if not path.is_file():
        return 0
    try:
        with closing(open_answers(path)) as database, closing(Locks(database)) as locks:
            return locks.others()
    except StoreError as error:
        return 0 if error.__cause__ is not None and is_damage(error.__cause__) else None


def _leftovers(out: Path) -> Iterator[Finding]:
    old = time.time() - _OLD
    # A link may lead to somebody else's folder.
    folders = [out, *(path for path in out.iterdir() if path.is_dir() and not path.is_symlink())]
    hidden = [path for folder in folders for path in folder.glob(".*") if not path.is_symlink()]
    left = [
        path
        for path in hidden
        if (
            (_LEFT.fullmatch(path.name) and path.is_file())
            or (_LEFT_FOLDERS.fullmatch(path.name) and path.is_dir() and path.parent == out)
        )
        and path.stat().st_mtime < old
    ]
    if not left:
        return

    def repair() -> str:
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return f"{len(left)} were removed"

    text = f"{len(left)} half-written files or folders of commands that were killed"
    yield Finding("folder", "leftovers", "warning", text, "they are removed", repair)
