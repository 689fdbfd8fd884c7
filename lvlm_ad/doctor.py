"""``lvlm-ad doctor``: what is installed, which devices, keys and data sets there are, and the repair of stores."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lvlm_ad import __version__
from lvlm_ad.asking.answers import is_alive
from lvlm_ad.asking.salvage import salvage, unreadable
from lvlm_ad.children import program_path
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.load import default_root
from lvlm_ad.errors import LvlmAdError, StoreError
from lvlm_ad.plugin_errors import where
from lvlm_ad.plugins import AnyKind, clashes, find_model, installed, is_ours, load_plugin, method_class, owner
from lvlm_ad.presets import preset_names
from lvlm_ad.regions import DivisionStore
from lvlm_ad.runs import each_separately, read_run, read_runs
from lvlm_ad.store import (
    ANSWERS,
    CACHE,
    DATABASE_ERRORS,
    Database,
    Kind,
    check_not_emptied,
    is_damage,
    put_aside,
)
from lvlm_ad.weights import chosen_device, device_name

__all__ = ["Finding", "State", "folder_findings", "machine_findings"]

State = Literal["ok", "absent", "warning", "problem"]
"""``absent``: not here, and not always needed. ``warning``: worth knowing. ``problem``: something does not work."""

_PACKAGES = {
    **dict.fromkeys(("numpy", "scipy", "scikit-image", "pillow", "pydantic", "matplotlib", "openai"), ""),
    **dict.fromkeys(("torch", "transformers", "accelerate"), "local"),
    "xgrammar": "constrain",
    "open_clip_torch": "clip",
    "ray": "ray",
}
"""Package -> the extra of lvlm-ad that installs it; empty: it is always installed."""

_LITTLE = 2 * 10**9
"""Bytes of free disk below which there is a warning."""


@dataclass(frozen=True)
class Finding:
    """One thing that was examined.

    Attributes:
        about: "installed", "devices", "keys", "data sets" or "folder".
        name: what was examined.
        state: its state.
        text: one line about it.
        remedy: what mends it, in words; empty: nothing does, or nothing is wrong.
        repair: mends it and returns what was done; None: the user must.
    """

    about: str
    name: str
    state: State
    text: str
    remedy: str = ""
    repair: Callable[[], str] | None = field(default=None, compare=False, repr=False)


def machine_findings() -> Iterator[Finding]:
    """Examine the installation, the devices, the keys (whether they are set, never what they are), the data sets."""
    system = f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield Finding("installed", "lvlm-ad", "ok", system)
    for name, extra in _PACKAGES.items():
        try:
            yield Finding("installed", name, "ok", version(name))
        except PackageNotFoundError:
            wanted = f"'lvlm-ad[{extra}]'" if extra else name
            state: State = "absent" if extra else "problem"
            yield Finding("installed", name, state, f"not installed: pip install {wanted}")
    yield _vllm()
    yield from _plugins()
    yield Finding("devices", "processors", "ok", str(os.cpu_count()))
    if find_spec("torch") is not None:
        try:
            yield Finding("devices", "torch", "ok", device_name(chosen_device("auto")))
        except Exception as error:  # noqa: BLE001 - a broken installation of torch can raise anything
            yield Finding("devices", "torch", "problem", f"it cannot be used: {where(error)}")
    yield from _keys()
    yield from _data_sets()


def _vllm() -> Finding:
    """Say where the program vllm is; it may be in another environment than lvlm-ad."""
    program = program_path("vllm")
    if program is None:
        return Finding("installed", "vllm", "absent", "not found: pip install 'lvlm-ad[vllm]', or --set vllm=PATH")
    return Finding("installed", "vllm", "ok", program)


def _plugins() -> Iterator[Finding]:
    """Load what other packages bring; a broken one stops no other."""
    for name, problem in clashes(preset_names("models")).items():
        yield Finding("installed", name, "problem", problem)
    kinds: tuple[AnyKind, ...] = ("backend", "baseline", "method")
    for kind in kinds:
        for name, entries in sorted(installed(kind).items()):
            if is_ours(entries[0]):
                continue
            try:
                method_class(name) if kind == "method" else load_plugin(kind, name)
            except LvlmAdError as error:
                yield Finding("installed", f"{kind} {name}", "problem", str(error))
            else:
                yield Finding("installed", f"{kind} {name}", "ok", owner(entries[0]))


def _keys() -> Iterator[Finding]:
    users: dict[str, list[str]] = {}
    for name in preset_names("models"):
        with suppress(LvlmAdError):
            model, _ = find_model(name, {})
            default = model.plugin.Options.model_fields.get("api_key_env")
            variable = model.preset.options.get("api_key_env", default.default if default else "")
            if variable:
                users.setdefault(str(variable), []).append(name)
    for variable, names in sorted(users.items()):
        if os.environ.get(variable, "").strip():
            yield Finding("keys", variable, "ok", f"set: {', '.join(names)}")
        else:
            yield Finding("keys", variable, "absent", f"not set: {', '.join(names)}")


def _data_sets() -> Iterator[Finding]:
    for name in ("mvtec", "visa", "demo"):
        folder = default_root(name)
        if not folder.is_dir():
            source = "drawn when it is needed" if name == "demo" else f"lvlm-ad data download {name}, or --data PATH"
            yield Finding("data sets", name, "absent", f"not in {folder}: {source}")
            continue
        try:
            yield Finding("data sets", name, "ok", f"{len(load_dataset(name))} test images in {folder}")
        except LvlmAdError as error:
            yield Finding("data sets", name, "problem", str(error))


def folder_findings(out: Path) -> Iterator[Finding]:
    """Examine an output folder (``bench --out``): free space, stores and runs."""
    if not out.is_dir():
        if os.path.lexists(out):
            yield Finding("folder", str(out), "problem", "it is not a folder; give another --out")
        else:
            yield Finding("folder", str(out), "absent", "there is no such folder; bench creates it")
        return
    free = shutil.disk_usage(out).free
    if os.access(out, os.W_OK):
        yield Finding("folder", str(out), "warning" if free < _LITTLE else "ok", f"{free / 1e9:.1f} GB free")
    else:
        yield Finding("folder", str(out), "problem", "it cannot be written; give another --out")
    answers, cache = out / "answers.sqlite", out / "cache.sqlite"
    busy = _is_busy(answers)
    if busy:
        yield Finding("folder", answers.name, "ok", "another command is using this folder; nothing can be repaired now")
    remedy = "--repair copies every intact answer into a new file and keeps the damaged one"
    yield from _store_finding(answers, ANSWERS, "answers", remedy, None if busy else lambda: _save_answers(answers))
    remedy = "--repair renames it; the next command makes a new one"
    yield from _store_finding(cache, CACHE, "divisions", remedy, None if busy else lambda: put_aside(cache))
    runs, problems = read_runs(out)
    # A leaderboard needs no predictions, but a report does.
    whole, damaged = each_separately([run.dir for run in runs], lambda folder: bool(read_run(folder)))
    yield Finding("folder", "runs", "ok", f"{len(whole)} can be read")
    for problem in (*problems, *damaged):
        yield Finding(
            "folder",
            "runs",
            "problem",
            problem.removesuffix("."),
            "run the same bench command: it writes the run again from stored answers",
        )


def _is_busy(answers: Path) -> bool:
    """Return whether a living command uses the folder; a damaged store may not tell.

    A command whose store is moved away goes on writing into the file that is kept.
    """
    if not answers.is_file():
        return False
    with (
        suppress(*DATABASE_ERRORS),
        closing(sqlite3.connect(f"{answers.resolve().as_uri()}?mode=ro", uri=True)) as database,
    ):
        return any(is_alive(*row) for row in database.execute("SELECT host, pid, seen FROM owners"))
    return False


def _store_finding(
    path: Path, kind: Kind, table: str, remedy: str, repair: Callable[[], str] | None
) -> Iterator[Finding]:
    if not path.is_file():
        if path.exists() or path.is_symlink():
            yield Finding("folder", path.name, "problem", "it is not a file; move it away")
        elif kind is ANSWERS and _kept(path):
            yield Finding("folder", path.name, "problem", "missing, because a repair was interrupted", remedy, repair)
        return
    try:
        if kind is ANSWERS:
            check_not_emptied(path)
        with closing(Database(path, kind)) as database:
            verdict = str(database.read("PRAGMA integrity_check(1)")[0][0])
            count = database.read(f"SELECT count(*) FROM {table}")[0][0]  # nosec B608 # noqa: S608 - a table of ours
            if verdict == "ok":
                lost = unreadable(path) if kind is ANSWERS else DivisionStore(database).unreadable()
                verdict = f"{lost} of {count} {table} cannot be read" if lost else "ok"
    except StoreError as error:
        if not is_damage(error.__cause__):
            yield Finding("folder", path.name, "problem", str(error))
            return
        verdict, count = str(error.__cause__), 0
    if verdict == "ok":
        yield Finding("folder", path.name, "ok", f"intact, {count:,} entries, {path.stat().st_size / 1e6:.1f} MB")
    else:
        yield Finding("folder", path.name, "problem", f"damaged: {verdict:.200}", remedy, repair)


def _kept(answers: Path) -> list[Path]:
    """Return the damaged stores that repairs kept."""
    return sorted(answers.parent.glob(f"{answers.name}.damaged[0-9]"))


def _save_answers(path: Path) -> str:
    """Build a new store from what can be read; only then does it take the damaged one's place."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as workshop:
        new = Path(workshop) / path.name
        saved = salvage([file for file in (path, *_kept(path)) if file.is_file()], new)
        moved = put_aside(path) if path.is_file() else "file is still there"
        new.rename(path)
    return f"{saved:,} answers were saved into a new {path.name}; the damaged {moved}"
