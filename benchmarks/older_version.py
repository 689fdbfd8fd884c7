"""Processes that import lvlm-ad as it is, or as it was at an older commit, with the packages of this environment."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["REPOSITORY", "version"]

REPOSITORY = Path(__file__).resolve().parents[1]

_PACKAGES = {"lvlm_ad": "lvlm_ad", **{f"lvlm_ad_{name}": name for name in ("backends", "baselines", "configs")}}
"""Package -> its folder in the repository."""


@contextmanager
def version(commit: str | None) -> Iterator[dict[str, str]]:
    """Give the variables with which a process imports lvlm-ad as it was at a commit; None: as it is.

    The older one comes from git, in a temporary worktree, so this needs a clone with its history.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = REPOSITORY
        git = ("git", "-C", str(REPOSITORY), "worktree")
        if commit is not None:
            source = Path(folder, "worktree")
            subprocess.run([*git, "add", "--detach", str(source), commit], check=True, capture_output=True)
        try:
            packages = Path(folder, "packages")
            packages.mkdir()
            for package, name in _PACKAGES.items():
                (packages / package).symlink_to(source / name)
            yield {"PYTHONPATH": str(packages)}
        finally:
            if commit is not None:
                subprocess.run([*git, "remove", "--force", str(source)], check=True)
