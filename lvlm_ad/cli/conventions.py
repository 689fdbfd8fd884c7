"""``lvlm-ad models NAME``: which methods a model can be inspected with, and whether it keeps its convention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.backend import Capabilities
    from lvlm_ad.evaluate import ConventionCheck
    from lvlm_ad.plugins import Model

_METHOD = "boxes"
"""The method by which a convention is checked."""
_EXIT = {"holds": 0, "open": shell.EXIT_INCOMPLETE, "does not hold": shell.EXIT_USAGE}
_LISTED = 6


def method_list(model: Model) -> list[dict[str, Any]]:
    """Say for each installed method whether a chat model can be inspected with it, and why not."""
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.evaluate.views import asked_model
    from lvlm_ad.plugins.methods import load_method, method_names
    from lvlm_ad.presets import load_protocol

    asked = asked_model(model, _capabilities(model))
    most, protocol = asked.capabilities.max_images, load_protocol("default", {})
    methods = []
    for name in method_names():
        try:
            method, _ = load_method(name, {})
            why_not, pictures = method.why_not(asked), method.most_pictures(protocol)
        except LvlmAdError as error:
            why_not, pictures = str(error), 0
        if not why_not and most is not None and pictures > most:
            why_not = f"a question shows {pictures} pictures, and the model takes at most {most}"
        methods.append({"name": name, "can": not why_not, "why_not": why_not})
    return methods


def _capabilities(model: Model) -> Capabilities:
    """Return what a model can do; without its key, and of its class where it cannot be built here."""
    from dataclasses import replace

    from lvlm_ad.backend import Capabilities
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.plugins import build

    options = {**model.preset.options, **model.plugin.Options.keyless}
    try:
        backend = build(replace(model, preset=model.preset.model_copy(update={"options": options})))
        backend.close()
    except LvlmAdError:
        return getattr(model.plugin.cls, "capabilities", Capabilities())
    able: Capabilities = backend.capabilities
    return able


def print_methods(methods: list[dict[str, Any]]) -> None:
    """Print the methods that a model can be inspected with, and the others by the reason."""
    from lvlm_ad.errors import sentence

    console = shell.table_console()
    console.print()
    console.print(escaped(f"Methods: {', '.join(one['name'] for one in methods if one['can']) or 'none'}."))
    reasons: dict[str, list[str]] = {}
    for one in methods:
        if not one["can"]:
            reasons.setdefault(one["why_not"], []).append(one["name"])
    for reason, names in reasons.items():
        console.print(escaped(sentence(f"Not {', '.join(names)}: {reason}")), style="yellow")


def check(name: str, settings: dict[str, Any], out: Path, *, json: bool) -> None:
    """Ask a model for squares at known places, print what it found, and exit with 0 only if its convention holds."""
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.evaluate import RunConfig, check_convention

    with Bars() as bars:
        found = check_convention(RunConfig(models=(name,), method=_METHOD, settings=settings, out=out), bars)
    if json:
        shell.print_json(_as_json(found))
    else:
        _print_check(found)
    raise typer.Exit(_EXIT[found.verdict])


def _as_json(found: ConventionCheck) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(found), "iou": found.iou, "verdict": found.verdict}


def _print_check(found: ConventionCheck) -> None:
    from rich.table import Column, Table

    table = Table("Picture", "Square", "Box", "IoU", Column("Answer", overflow="fold"), box=None, pad_edge=False)
    for one in found.pictures:
        boxes = [", ".join(f"{side:.0f}" for side in _sides(box)) if box else "none" for box in (one.square, one.box)]
        state = ", ".join((one.status, *one.flags))
        answer = f"{state}: {one.text[:60]}"
        table.add_row("x".join(map(str, one.size)), *boxes, f"{one.iou:.2f}", escaped(" ".join(answer.split())))
    console = shell.table_console()
    console.print(table)
    stated = ", which the question states," if found.stated else ""
    sentences = {
        "holds": f"The convention {found.convention}{stated} holds: mean IoU {found.iou:.2f}.",
        "does not hold": f"The convention {found.convention}{stated} does not hold: mean IoU {found.iou:.2f}.",
        "open": f"Whether the convention {found.convention} holds is open: not every answer has a box.",
    }
    console.print(escaped(sentences[found.verdict]), style="green" if found.verdict == "holds" else "yellow")
    if found.others:
        fit = [f"{name} (mean IoU {iou:.2f})" for name, iou in found.others.items()]
        more = f" and {len(fit) - _LISTED} more" if len(fit) > _LISTED else ""
        console.print(
            escaped(
                f"The same answers would fit {', '.join(fit[:_LISTED])}{more}. Several conventions may fit by chance: "
                "look up what the model's makers document before you set one with --set convention=NAME."
            )
        )


def _sides(box: Any) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2
