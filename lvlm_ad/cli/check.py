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
Limit = Annotated[
    float,
    typer.Option(min=0.1, metavar="SECONDS", help="A check hangs where so long nothing comes of the model."),
]
_LIMIT = 120.0
"""As ``lvlm_ad.testing.PATIENCE``, which takes a second to import."""


@guarded
def check_backend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model, as bench --model takes it.")],
    settings: Settings = [],
    limit: Limit = _LIMIT,
    json: Json = False,
) -> None:
    """Check that a backend keeps its contract. It is asked about fifty questions, which a paid model bills."""
    _check("backend", name, settings, limit, json)


@guarded
def check_baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A baseline, as bench --model takes it.")],
    settings: Settings = [],
    limit: Limit = _LIMIT,
    json: Json = False,
) -> None:
    """Check that a baseline keeps its contract."""
    _check("baseline", name, settings, limit, json)


def _check(kind: Literal["backend", "baseline"], name: str, settings: list[str], limit: float, json: bool) -> None:
    from lvlm_ad.errors import ConfigError, nearest
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.testing import BACKEND_CHECKS, BASELINE_CHECKS, problems, sentence
    from lvlm_ad.testing.state import look

    began = look()
    given = merged_settings(settings)
    model, known = find_model(name, given)
    for key in given:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")
    if model.preset.kind != kind:
        raise ConfigError(f"{name} is a {model.preset.kind}; 'lvlm-ad check-{model.preset.kind} {name}' checks it.")
    checks: dict[str, Any] = dict(BACKEND_CHECKS if kind == "backend" else BASELINE_CHECKS)

    passed = []

    def heard(check: str, wrong: str, earlier: str) -> None:
        if not wrong:
            passed.append(check)
        what = f"as above ({earlier})" if earlier else wrong[:500] or sentence(checks[check])
        say(f"{'FAIL' if wrong else 'ok  '} {check}: {what}")

    found = problems(build(model), checks, heard, limit, began)
    if json:
        print_json({"model": model.preset.name, "checks": {check: found.get(check, "") for check in checks}})
    say(f"{model.preset.name}: {len(passed)} of {len(checks)} checks passed.")
    _end(EXIT_USAGE if found else 0)


def _end(status: int) -> None:
    """End the command, though threads that the plugin has left running would hold up an ordinary end for ever."""
    import os
    import sys
    import threading

    left = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for thread in left:
        thread.join(1.0)
    if any(thread.is_alive() for thread in left):
        # With --json, sys.stdout is another for the while.
        for stream in (sys.stdout, sys.__stdout__, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status)
    raise typer.Exit(status)
