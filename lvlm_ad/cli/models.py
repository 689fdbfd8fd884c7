"""``lvlm-ad models``: what can be run here, and what a model can be told."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lvlm_ad.cli.shell import guarded, print_json, table_width

__all__ = ["models"]


@guarded
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model: show its options, as --set takes them.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List model presets and plugins, and whether each can run here; or describe one."""
    if name is not None:
        from lvlm_ad.cli.described import described, print_description

        found = described(name)
        return print_json(found) if json else print_description(found)
    listing, notes = _listing(), _notes()
    if json:
        return print_json({"models": listing, "notes": notes})
    _print(listing, notes)
    return None


def _print(listing: list[dict[str, Any]], notes: list[str]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    about_it = Column("What it is, and what it lacks", overflow="fold")
    table = Table("Model", "Through", "Ready", about_it, box=None, pad_edge=False)
    for model in listing:
        # A stranger's code is not run by a listing.
        ready = Text("not loaded", style="dim")
        if model["ready"] is not None:
            ready = Text("yes", style="green") if model["ready"] else Text("no", style="yellow")
        about = Text(model["description"])
        if model["needs"]:
            about.append(f"{' · ' if about else ''}{model['needs']}")
        if model["why_not"]:
            # The remedy after the semicolon is for who asks for this model; here it would be said many times.
            about.append(f"{' · ' if about else ''}{model['why_not'].partition(';')[0]}", style="yellow")
        table.add_row(Text(model["name"]), Text(model["plugin"]), ready, about)
    console = Console(width=table_width())
    console.print(table)
    # What is to be installed is said once for all.
    lacking = {model["why_not"] for model in listing if "pip install" in model["why_not"]}
    for remedy in sorted({text.partition("; ")[2] for text in lacking}):
        console.print(Text(remedy))
    for note in notes:
        console.print(Text(note, style="yellow"))
    console.print(Text("lvlm-ad models NAME shows what a model can be told.", style="dim"))


def _listing() -> list[dict[str, Any]]:
    """Describe the presets and plugins; of strangers' packages what their records say, without importing them."""
    from lvlm_ad.plugins import Kind, installed, is_ours, owner
    from lvlm_ad.presets import preset_names

    presets = preset_names("models")
    kinds: tuple[Kind, ...] = ("backend", "baseline")
    plugins = [(name, kind, entries) for kind in kinds for name, entries in sorted(installed(kind).items())]
    ours = [name for name, _, entries in plugins if is_ours(entries[0])]
    found = [_described(name) for name in dict.fromkeys([*presets, *ours])]
    for name, kind, entries in plugins:
        if name in {*presets, *ours}:
            continue
        owners = " and of ".join(owner(entry) for entry in entries)
        entry = {"name": name, "kind": kind, "plugin": name, "description": f"{kind} of {owners}"}
        wrong = "offered twice; uninstall one of them" if len(entries) > 1 else ""
        found.append(entry | {"ready": False if wrong else None, "why_not": wrong, "needs": ""})
    return found


def _notes() -> list[str]:
    """Say which names two packages offer."""
    from lvlm_ad.plugins import clashes
    from lvlm_ad.presets import preset_names

    return [*clashes(preset_names("models")).values()]


def _described(name: str) -> dict[str, Any]:
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.plugins import build, find_model

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
    return entry
