"""Whether the SQLite files of an output folder are sound, and what can be done for one that is not."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lvlm_ad.doctor.finding import Finding
from lvlm_ad.doctor.salvage import missing_from, salvage
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.store import DATABASE_ERRORS, Database, open_answers, open_cache

__all__ = ["is_damage", "put_aside", "store_findings"]

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
"""What SQLite says of a damaged file. All else, such as a full disk or a lock, lies outside of it."""

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file."""


@dataclass(frozen=True)
class _Kind:
    """A store: what opens it, and what is done if it is damaged."""

    opened: Callable[[Path], Database]
    table: str
    remedy: str


_KINDS = {
    "answers.sqlite": _Kind(
        open_answers, "answers", "what can still be read is saved into a new file, and the damaged one is kept"
    ),
    "cache.sqlite": _Kind(open_cache, "divisions", "it is put aside; images are divided again"),
}


def store_findings(out: Path, *, busy: bool) -> Iterator[Finding]:
    """Look at the stores of a folder. Nothing is changed.

    Args:
        out: the folder given to ``bench`` as ``--out``.
        busy: a command may be at work on it, so nothing is to be repaired.
    """
    for name, kind in _KINDS.items():
        path = out / name
        if path.is_file():
            yield _look(path, kind, busy=busy)
        elif path.exists() or path.is_symlink():
            yield Finding("folder", name, "problem", "it is no file; move it away")
    yield from _kept(out, busy=busy)


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file itself is damaged; text that is no UTF-8 is a sign of that too."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
    return isinstance(error, UnicodeDecodeError | OverflowError)


def put_aside(path: Path) -> Path:
    """Move a store, and what SQLite keeps beside it, out of the way; return its new place."""
    aside = _free_name(path)
    for suffix in (*_BESIDE, ""):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    return aside


def _look(path: Path, kind: _Kind, *, busy: bool) -> Finding:
    found = partial(Finding, "folder", path.name)
    if not path.stat().st_size:
        return found("ok", "empty")
    try:
        said, tables, count = _read(path, kind.table)
    except DATABASE_ERRORS as error:
        if is_damage(error):
            return _damaged(path, kind, str(error), busy=busy)
        held = "another program holds it" if "locked" in str(error) else "it could not be read here and now"
        return found("warning", f"{held} ({error}); it was not looked at")
    if said != "ok":
        return _damaged(path, kind, said, busy=busy)
    problem = _unusable(path, kind, tables)
    if problem:
        return found("problem", problem)
    return found("ok", f"sound, {count:,} entries, {path.stat().st_size / 1e6:.1f} MB")


def _read(path: Path, table: str) -> tuple[str, set[str], int]:
    """Return what SQLite's own check says, the tables, and how many entries the store has."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
        said = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
        tables = {str(row[0]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        query = f"SELECT count(*) FROM {table}"  # nosec B608 # noqa: S608 - names of ours
        count = int(database.execute(query).fetchone()[0]) if table in tables else 0
    return said, tables, count


def _unusable(path: Path, kind: _Kind, tables: set[str]) -> str:
    """Say why a sound file is no store for this version; empty: it is one."""
    try:
        # Says whether it is of a newer version.
        kind.opened(path).close()
    except LvlmAdError as error:
        return str(error)
    return (
        ""
        if kind.table in tables
        else f"it holds {', '.join(sorted(tables)) or 'nothing'}, not {kind.table}; move it away"
    )


def _damaged(path: Path, kind: _Kind, why: str, *, busy: bool) -> Finding:
    def repair() -> str:
        if path.name == "answers.sqlite":
            return _save_answers(path)
        return f"{path.name} is put aside as {put_aside(path).name}"

    return Finding("folder", path.name, "problem", f"damaged: {why:.200}", kind.remedy, None if busy else repair)


def _save_answers(path: Path) -> str:
    """Make a new store of what can be read, and only then let it take the damaged one's place.

    Whatever ends this in between, the damaged file is there under one of its names, and is looked at again.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as workshop:
        new = Path(workshop) / path.name
        open_answers(new).close()
        saved = sum(salvage(source, new) for source in (path, *_damaged_before(path)))
        aside = put_aside(path)
        new.rename(path)
    return f"{saved:,} answers were saved into a new {path.name}; the damaged file is {aside.name}"


def _damaged_before(path: Path) -> list[Path]:
    names = sorted(path.parent.glob(f"{path.name}.damaged*"))
    return [name for name in names if name.is_file() and not name.name.endswith(_BESIDE)]


def _kept(out: Path, *, busy: bool) -> Iterator[Finding]:
    """Find damaged stores of before, whose answers may not all be in the new one: a repair may have been cut short."""
    path = out / "answers.sqlite"
    for kept in _damaged_before(path):
        try:
            missing = missing_from(kept, path)
        except OSError as error:
            text = f"a damaged store of before; it could not be looked at here and now ({error.strerror})"
            yield Finding("folder", kept.name, "warning", text)
            continue
        if not missing:
            text = "a damaged store of before; all that can be read of it is in answers.sqlite, so it may go"
            yield Finding("folder", kept.name, "ok", text)
            continue

        def repair(kept: Path = kept) -> str:
            open_answers(path).close()
            return f"{salvage(kept, path):,} answers of {kept.name} were saved into answers.sqlite"

        text = f"a damaged store of before; {missing:,} answers that can be read of it are not in answers.sqlite"
        yield Finding(
            "folder", kept.name, "warning", text, "they are saved into answers.sqlite", None if busy else repair
        )
