"""The runs of a folder: found, read one by one so that a damaged run does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from lvlm_ad.errors import LvlmAdError, RunError
from lvlm_ad.runs.run import Run, read_run

__all__ = ["each_separately", "find_runs", "measured_runs", "only_run", "read_runs", "run_folders"]

T = TypeVar("T")
R = TypeVar("R")


def find_runs(root: Path) -> list[Path]:
    """Return the run folders in a folder, sorted by name; or the folder itself if it is a run.

    Raises:
        RunError: there is no such folder.
    """
    if (root / "run.json").is_file():
        return [root]
    if not root.is_dir():
        raise RunError(f"There is no folder {root}; run 'lvlm-ad bench' first or name the folder given to --out.")
    return sorted(path.parent for path in root.glob("*/run.json"))


def run_folders(root: Path) -> list[Path]:
    """Return the run folders in a folder, those of incomplete runs too, sorted by name.

    Raises:
        RunError: there is no such folder.
    """
    return sorted({*find_runs(root), *(path.parent for path in root.glob("*/predictions.jsonl"))})


def only_run(root: Path) -> Path:
    """Return the one run of a folder, or the folder itself if it is a run.

    Raises:
        RunError: the folder has no run, or several.
    """
    folders = find_runs(root)
    if not folders:
        raise RunError(f"{root} is not a run and contains none.")
    if len(folders) > 1:
        raise RunError(f"{root} contains {len(folders)} runs; name one, such as {folders[0]}.")
    return folders[0]


def read_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read all runs of a folder, without their predictions.

    Returns:
        The runs, and one message for each run that cannot be read: a damaged run must not hide the others.

    Raises:
        RunError: there is no such folder.
    """
    folders = find_runs(root)
    without_manifest = sorted({path.parent for path in root.glob("*/predictions.jsonl")} - set(folders))
    problems = [f"The run {folder} is incomplete: run.json is missing." for folder in without_manifest]
    runs, damaged = each_separately(folders, lambda folder: read_run(folder, predictions=False))
    return runs, problems + damaged


def measured_runs(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Leave out runs on images without labels, which have no metrics.

    Returns:
        The others, and a note if any is left out.
    """
    measured = [run for run in runs if run.manifest.dataset.is_labelled]
    without = len(runs) - len(measured)
    which, they = ("run", "it has") if without == 1 else ("runs", "they have")
    return measured, [f"{without} {which} on images without labels: {they} no metrics."] if without else []


def each_separately(items: Iterable[T], action: Callable[[T], R]) -> tuple[list[R], list[str]]:
    """Apply an action to each run, or folder of a run; a run for which it raises an error is left out.

    Returns:
        The results, and one message for each run that is left out.
    """
    results: list[R] = []
    problems: list[str] = []
    for item in items:
        try:
            results.append(action(item))
        except LvlmAdError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - values of unknown origin can make nearly anything fail
            problems.append(f"The run {getattr(item, 'dir', item)} cannot be used: {error!r:.200}")
    return results, problems
