"""``lvlm-ad models``: what can be run here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lvlm_ad.cli.shell import guarded, print_json

__all__ = ["models"]


@guarded
def models(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List model presets and plugins, and whether each can run here."""
    found = _listing()
    if json:
        print_json({"models": found})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Model", "Through", "Ready", "What it is, and what it lacks", box=None, pad_edge=False)
    for model in found:
        ready = Text("yes", style="green") if model["ready"] else Text("no", style="yellow")
        about = Text(model["description"])
        if model["needs"]:
            about.append(f"{' · ' if about else ''}{model['needs']}")
        if not model["ready"]:
            # The remedy after the semicolon is for who asks for this model; here it would be said many times.
            about.append(f"{' · ' if about else ''}{model['why_not'].partition(';')[0]}", style="yellow")
        table.add_row(Text(model["name"]), Text(model["plugin"]), ready, about)
    console = Console()
    console.print(table)
    # What is to be installed is said once for all.
    lacking = {model["why_not"] for model in found if "pip install" in model["why_not"]}
    for remedy in sorted({text.partition("; ")[2] for text in lacking}):
        console.print(Text(remedy))


def _listing() -> list[dict[str, Any]]:
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.plugins import build, find_model, plugin_names
    from lvlm_ad.presets import preset_names

    names = dict.fromkeys([*preset_names("models"), *plugin_names("backend"), *plugin_names("baseline")])
    found = []
    for name in names:
        entry: dict[str, Any] = {
            "name": name,
            "kind": "",
            "plugin": "",
            "description": "",
            "ready": False,
            "why_not": "",
            "needs": "",
        }
        try:
            model, _ = find_model(name, {})
            entry |= {"kind": model.preset.kind, "plugin": model.preset.plugin, "description": model.preset.description}
            plugin = build(model)
            entry["ready"] = True
            if model.preset.kind == "backend":
                entry["needs"] = plugin.needs()
            plugin.close()
        except LvlmAdError as error:
            entry["why_not"] = str(error)
        found.append(entry)
    return found
