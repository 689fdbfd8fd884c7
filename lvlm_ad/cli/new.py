"""``lvlm-ad new-backend`` and ``new-baseline``: a package to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import guarded, say

if TYPE_CHECKING:
    from lvlm_ad.plugins import Kind

__all__ = ["new_backend", "new_baseline"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name for --model, such as my-model.")]
Out = Annotated[Path | None, typer.Option(help="The package's folder.  [default: NAME]")]


@guarded
def new_backend(name: Name, out: Out = None) -> None:
    """Write a small package with a working backend: class, entry point, test of the contract."""
    _write("backend", name, out)


@guarded
def new_baseline(name: Name, out: Out = None) -> None:
    """Write a small package with a working baseline: class, entry point, test of the contract."""
    _write("baseline", name, out)


def _write(kind: Kind, name: str, out: Path | None) -> None:
    from lvlm_ad.new_plugin import new_plugin

    folder = new_plugin(kind, name, out)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            say(f"wrote {path}")
    say(f"Next: pip install -e {shlex.quote(str(folder))} && lvlm-ad bench --model {name}")
