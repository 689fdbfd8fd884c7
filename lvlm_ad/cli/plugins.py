"""``lvlm-ad new-*`` and ``check-*``: write a plugin to start from, and check whether one keeps its contract."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import shell

if TYPE_CHECKING:
    from lvlm_ad.plugins import AnyKind, Kind

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name for --model, such as my-model.")]
NewMethod = Annotated[str, typer.Argument(metavar="NAME", help="Name for --method, such as my-method.")]
NewFolder = Annotated[Path | None, typer.Option("--out", help="The package's folder.  [default: NAME]")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as in bench --model.")]
MethodName = Annotated[str, typer.Argument(metavar="NAME", help="A method, as in bench --method.")]


@shell.guarded
def new_backend(name: NewName, out: NewFolder = None) -> None:
    """Write a package with a working backend.

    It has a class, an entry point and a test of the contract.
    """
    _write("backend", name, out)


@shell.guarded
def new_baseline(name: NewName, out: NewFolder = None) -> None:
    """Write a package with a working baseline.

    It has a class, an entry point and a test of the contract.
    """
    _write("baseline", name, out)


@shell.guarded
def new_method(name: NewMethod, out: NewFolder = None) -> None:
    """Write a package with a working method: a way in which chat models inspect an image.

    It has a class, an entry point and a test of the contract.
    """
    _write("method", name, out)


@shell.guarded
def check_backend(name: Name, settings: shell.Settings = [], json: shell.Json = False) -> None:
    """Check that a backend keeps its contract.

    It asks the model about fifty questions; with a paid model, they cost money.
    """
    _check_model("backend", name, settings, json)


@shell.guarded
def check_baseline(name: Name, settings: shell.Settings = [], json: shell.Json = False) -> None:
    """Check that a baseline keeps its contract."""
    _check_model("baseline", name, settings, json)


@shell.guarded
def check_method(name: MethodName, settings: shell.Settings = [], json: shell.Json = False) -> None:
    """Check that a method keeps its contract. No model is asked."""
    from lvlm_ad.plugins import load_method

    values = shell.merged_settings(settings)
    method, known = load_method(name, values)
    _refuse_unknown(name, values, known)
    _check("method", name, method, json)


def _write(kind: AnyKind, name: str, out: Path | None) -> None:
    from lvlm_ad.new_plugin import new_plugin

    folder = new_plugin(kind, name, out)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            shell.say(f"wrote {path}")
    use = f"lvlm-ad check-method {name}" if kind == "method" else f"lvlm-ad bench --model {name}"
    shell.say(f"Next: pip install -e {shlex.quote(str(folder))} && {use}")


def _check_model(kind: Kind, name: str, settings: list[str], json: bool) -> None:
    from lvlm_ad.errors import ConfigError
    from lvlm_ad.plugins import build, find_model

    values = shell.merged_settings(settings)
    model, known = find_model(name, values)
    _refuse_unknown(name, values, known)
    if model.preset.kind != kind:
        raise ConfigError(f"{name} is a {model.preset.kind}; 'lvlm-ad check-{model.preset.kind} {name}' checks it.")
    _check(kind, model.preset.name, build(model), json)


def _refuse_unknown(name: str, values: dict[str, Any], known: set[str]) -> None:
    from lvlm_ad.errors import ConfigError, nearest

    for key in values:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")


def _check(kind: AnyKind, name: str, plugin: Any, json: bool) -> None:
    """Make the checks, one line each; exit status 2 if one fails."""
    from lvlm_ad.testing import CHECKS, SKIPPED, problems, sentence

    checks = CHECKS[kind]

    def report(check: str, problem: str) -> None:
        result = "skip" if problem.startswith(SKIPPED) else "FAIL" if problem else "ok  "
        shell.show(f"{result} {check}: {problem[:500] or sentence(checks[check])}")

    failed = problems(plugin, checks, report)
    if json:
        named = "method" if kind == "method" else "model"
        shell.print_json({named: name, "checks": {check: failed.get(check, "") for check in checks}})
    shell.show(f"{name}: {len(checks) - len(failed)} of {len(checks)} checks passed.")
    raise typer.Exit(shell.EXIT_USAGE if failed else 0)
