"""``lvlm-ad new-*`` and ``lvlm-ad check-*``: write a plugin, and check that it keeps its contract."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.options import Json, Settings
from lvlm_ad.cli.shell import EXIT_USAGE, guarded, merged_settings, print_json, say

if TYPE_CHECKING:
    from lvlm_ad.plugins import Kind

__all__ = ["check_backend", "check_baseline", "new_backend", "new_baseline"]

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name for --model, such as my-model.")]
NewFolder = Annotated[Path | None, typer.Option("--out", help="The package's folder.  [default: NAME]")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model as for bench --model.")]


@guarded
def new_backend(name: NewName, out: NewFolder = None) -> None:
    """Write a package with a working backend.

    It has a class, an entry point and a test of the contract.
    """
    _write("backend", name, out)


@guarded
def new_baseline(name: NewName, out: NewFolder = None) -> None:
    """Write a package with a working baseline.

    It has a class, an entry point and a test of the contract.
    """
    _write("baseline", name, out)


@guarded
def check_backend(name: Name, settings: Settings = [], json: Json = False) -> None:
    """Check that a backend keeps its contract.

    It asks about fifty questions, which a paid model bills.
    """
    _check("backend", name, settings, json)


@guarded
def check_baseline(name: Name, settings: Settings = [], json: Json = False) -> None:
    """Check that a baseline keeps its contract."""
    _check("baseline", name, settings, json)


def _write(kind: Kind, name: str, out: Path | None) -> None:
    from lvlm_ad.new_plugin import new_plugin

    folder = new_plugin(kind, name, out)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            say(f"wrote {path}")
    say(f"Next: pip install -e {shlex.quote(str(folder))} && lvlm-ad bench --model {name}")


def _check(kind: Kind, name: str, settings: list[str], json: bool) -> None:
    from lvlm_ad.errors import ConfigError, nearest
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.testing import CHECKS, problems, sentence

    values = merged_settings(settings)
    model, known = find_model(name, values)
    for key in values:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")
    if model.preset.kind != kind:
        raise ConfigError(f"{name} is a {model.preset.kind}; 'lvlm-ad check-{model.preset.kind} {name}' checks it.")
    checks = CHECKS[kind]

    def report(check: str, problem: str) -> None:
        say(f"{'FAIL' if problem else 'ok  '} {check}: {problem[:500] or sentence(checks[check])}")

    failed = problems(build(model), checks, report)
    if json:
        print_json({"model": model.preset.name, "checks": {check: failed.get(check, "") for check in checks}})
    say(f"{model.preset.name}: {len(checks) - len(failed)} of {len(checks)} checks passed.")
    raise typer.Exit(EXIT_USAGE if failed else 0)
