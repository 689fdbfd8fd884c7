"""``lvlm-ad check-backend`` and ``check-baseline``: whether a plugin keeps its contract."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from lvlm_ad.cli.shell import EXIT_USAGE, guarded, merged_settings, print_json, say

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
    """Check that a backend keeps its contract. It is asked about forty questions, which a paid model bills."""
    _check("backend", name, settings, json)


@guarded
def check_baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A baseline, as bench --model takes it.")],
    settings: Settings = [],
    json: Json = False,
) -> None:
    """Check that a baseline keeps its contract."""
    _check("baseline", name, settings, json)


def _check(kind: Literal["backend", "baseline"], name: str, settings: list[str], json: bool) -> None:
    from lvlm_ad.errors import ConfigError, nearest
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.testing import BACKEND_CHECKS, BASELINE_CHECKS, problems, sentence

    given = merged_settings(settings)
    model, known = find_model(name, given)
    for key in given:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")
    if model.preset.kind != kind:
        raise ConfigError(f"{name} is a {model.preset.kind}; 'lvlm-ad check-{model.preset.kind} {name}' checks it.")
    checks: dict[str, Any] = dict(BACKEND_CHECKS if kind == "backend" else BASELINE_CHECKS)

    passed = []

    def heard(check: str, wrong: str, said: bool) -> None:
        if not wrong:
            passed.append(check)
        what = "the same" if said else wrong[:500] or sentence(checks[check])
        say(f"{'FAIL' if wrong else 'ok  '} {check}: {what}")

    found = problems(build(model), checks, heard)
    if json:
        print_json({"model": model.preset.name, "checks": {check: found.get(check, "") for check in checks}})
    say(f"{model.preset.name}: {len(passed)} of {len(checks)} checks passed.")
    if found:
        raise typer.Exit(EXIT_USAGE)
