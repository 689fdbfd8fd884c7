"""``lvlm-ad check-backend`` and ``check-baseline``: whether a plugin keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import EXIT_USAGE, guarded, merged_settings, print_json, say

if TYPE_CHECKING:
    from lvlm_ad.plugins import Kind

__all__ = ["check_backend", "check_baseline"]

Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Set an option of the model. May be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@guarded
def check_backend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model, as bench --model takes it.")],
    settings: Settings = [],
    json: Json = False,
) -> None:
    """Check that a backend keeps its contract. It is asked about fifty questions, which a paid model bills."""
    _check("backend", name, settings, json)


@guarded
def check_baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A baseline, as bench --model takes it.")],
    settings: Settings = [],
    json: Json = False,
) -> None:
    """Check that a baseline keeps its contract."""
    _check("baseline", name, settings, json)


def _check(kind: Kind, name: str, settings: list[str], json: bool) -> None:
    from lvlm_ad.errors import ConfigError, nearest
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.testing import CHECKS, problems, sentence

    given = merged_settings(settings)
    model, known = find_model(name, given)
    for key in given:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")
    if model.preset.kind != kind:
        raise ConfigError(f"{name} is a {model.preset.kind}; 'lvlm-ad check-{model.preset.kind} {name}' checks it.")
    checks = CHECKS[kind]

    def report(check: str, problem: str) -> None:
        say(f"{'FAIL' if problem else 'ok  '} {check}: {problem[:500] or sentence(checks[check])}")

    found = problems(build(model), checks, report)
    if json:
        print_json({"model": model.preset.name, "checks": {check: found.get(check, "") for check in checks}})
    say(f"{model.preset.name}: {len(checks) - len(found)} of {len(checks)} checks passed.")
    raise typer.Exit(EXIT_USAGE if found else 0)
