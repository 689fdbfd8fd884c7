"""``lvlm-ad models`` and ``doctor``: what is installed, and whether it works."""

from __future__ import annotations

import inspect
import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import conventions, shell
from lvlm_ad.cli.options import described, print_options
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from lvlm_ad.doctor import Finding
    from lvlm_ad.plugins import Kind, Model

_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("kind", "plugin", "description", "end", "why_not", "needs"), ""),
    "end_of_life": None,
    "engines": (),
}
"""What is said of a model of which nothing is known."""
_STYLES = {"ok": "green", "absent": "dim", "warning": "yellow", "problem": "red"}


@shell.guarded
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model, to list its methods and its options for --set.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Ask the model for squares at known places in four pictures.")
    ] = False,
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    json: shell.Json = False,
) -> None:
    """List the models and whether they can run here.

    With NAME: list the methods by which a model can be inspected, and its options.

    With --check: find out whether the model writes coordinates as its preset says. Exit status 2 if it does not.
    """
    from lvlm_ad.errors import ConfigError

    if name is None and (check or settings):
        raise ConfigError("Name the model: lvlm-ad models NAME.")
    values = shell.merged_settings(settings)
    if name is not None and check:
        return conventions.check(name, values, out, json=json)
    if name is not None:
        model = _details(name, values)
        return shell.print_json(model) if json else _print_details(model)
    from lvlm_ad.plugins import clashes
    from lvlm_ad.presets import preset_names

    listing = _listing()
    # Names that two packages offer.
    notes = list(clashes(preset_names("models")).values())
    return shell.print_json({"models": listing, "notes": notes}) if json else _print_listing(listing, notes)


def _listing() -> list[dict[str, Any]]:
    """Describe presets and plugins. Plugins of other packages are not imported; their entry points are listed."""
    from lvlm_ad.plugins import installed, is_ours, owner
    from lvlm_ad.presets import preset_names

    presets = preset_names("models")
    kinds: tuple[Kind, ...] = ("backend", "baseline")
    plugins = [(name, kind, entries) for kind in kinds for name, entries in sorted(installed(kind).items())]
    ours = [name for name, _, entries in plugins if is_ours(entries[0])]
    listing = [_summary(name) for name in dict.fromkeys([*presets, *ours])]
    for name, kind, entries in plugins:
        if name not in {*presets, *ours}:
            about = {"kind": kind, "plugin": name, "description": f"{kind} of {' and of '.join(map(owner, entries))}"}
            listing.append({"name": name, **_UNKNOWN, **about, "ready": None})
    return listing


def _summary(name: str) -> dict[str, Any]:
    """Describe a preset or a plugin of this package; build it to see whether it can run."""
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.plugins import build, end_in_words, find_model, utc_today

    entry: dict[str, Any] = {"name": name, **_UNKNOWN, "ready": False}
    try:
        model, _ = find_model(name, {})
        preset = model.preset
        entry |= {"kind": preset.kind, "plugin": preset.plugin, "description": preset.description}
        entry |= {
            "end_of_life": preset.end_of_life and str(preset.end_of_life),
            "end": end_in_words(model, utc_today()),
            "engines": _engines(model),
        }
        plugin = build(model)
        entry["ready"] = True
        if model.preset.kind == "backend":
            entry["needs"] = plugin.needs()
        plugin.close()
    except LvlmAdError as error:
        entry["why_not"] = str(error)
    return entry


def _print_listing(listing: list[dict[str, Any]], notes: list[str]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    about_column = Column("Description, and what is missing", overflow="fold")
    table = Table("Model", "Runs with", "Ready", about_column, box=None, pad_edge=False)
    states = {
        True: Text("yes", style="green"),
        False: Text("no", style="yellow"),
        None: Text("not loaded", style="dim"),
    }
    remedies: dict[str, list[str]] = {}
    for model in listing:
        about = Text(" · ".join(escaped(model[name]) for name in ("description", "needs") if model[name]))
        if model["end"]:
            about.append(f" · {escaped(model['end'])}", style="yellow")
        missing, remedy = _missing(model["why_not"])
        if missing:
            about.append(f"{' · ' if about else ''}{escaped(missing)}", style="yellow")
        if remedy:
            remedies.setdefault(remedy, []).append(model["name"])
        runs_with = "\n".join(map(escaped, model["engines"] or (model["plugin"],)))
        table.add_row(escaped(model["name"]), runs_with, states[model["ready"]], about)
    console = shell.table_console()
    console.print(table)
    for remedy, names in sorted(remedies.items()):
        console.print(escaped(f"To use {', '.join(names)}: {remedy}"))
    for note in notes:
        console.print(escaped(note), style="yellow")
    console.print("lvlm-ad models NAME lists a model's methods and options.", style="dim")


def _missing(why_not: str) -> tuple[str, str]:
    """Return what to say beside a model that is not ready, and the remedy that it shares with other models."""
    if key := re.match(r"The environment variable (\w+) contains no key", why_not):
        return "", f"put the provider's key into the variable {key[1]}"
    install = re.search(r"pip install [^.]+", why_not)
    return re.split(r"[:;] pip install", why_not)[0].partition(";")[0], install[0] if install else ""


def _details(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Describe a model with its options; "owner" is the package that provides it, empty for a user's own class."""
    from lvlm_ad.errors import ConfigError, nearest
    from lvlm_ad.plugins import end_in_words, find_model, installed, owner, utc_today
    from lvlm_ad.presets import ModelPreset, Pacing, Price

    model, known = find_model(name, settings)
    for key in settings:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}.{nearest(key, known)}")
    preset = model.preset
    entries = installed(preset.kind).get(preset.plugin, [])
    description = preset.description or inspect.cleandoc(model.plugin.cls.__doc__ or "").partition("\n\n")[0]
    options = described(model.plugin.Options, preset.options)
    if model.plugin.engines:
        options.insert(0, _engine(model))
    if preset.kind == "backend":
        of_chat = described(ModelPreset, preset.model_dump(include={"convention", "state_convention"}))
        options += [one for one in of_chat if one["name"] in {"convention", "state_convention"}]
        options += described(Price, preset.price.model_dump()) + described(Pacing, preset.pacing.model_dump())
    return {
        "name": preset.name,
        "kind": preset.kind,
        "plugin": preset.plugin,
        "owner": owner(entries[0]) if entries else "",
        "description": " ".join(description.split()),
        "end_of_life": preset.end_of_life and str(preset.end_of_life),
        "end": end_in_words(model, utc_today()),
        "options": options,
        "methods": conventions.method_list(model) if preset.kind == "backend" else [],
    }


def _engines(model: Model) -> tuple[str, ...]:
    """Return what can run a model of this machine; a preset of the package names vllm where nothing else can."""
    engines = model.plugin.engines
    return engines[engines.index(model.preset.plugin) :] if engines else ()


def _engine(model: Model) -> dict[str, Any]:
    """Describe the setting that chooses what runs a model of this machine; it is no option of the plugin itself."""
    about = "What runs the model. Its other options are those of this engine."
    kind = f"one of {', '.join(model.plugin.engines)}"
    value = model.preset.plugin
    return {"name": "engine", "type": kind, "value": value, "required": False, "about": about, "changes_answers": True}


def _print_details(model: dict[str, Any]) -> None:
    from rich.text import Text

    from lvlm_ad.errors import sentence

    console = shell.table_console()
    owner = f" of {model['owner']}" if model["owner"] else ""
    console.print(Text(escaped(model["name"]), style="bold"), escaped(f"{model['kind']} {model['plugin']}{owner}"))
    if model["description"]:
        console.print(escaped(model["description"]))
    if model["end"]:
        console.print(escaped(sentence(model["end"])), style="yellow")
    console.print()
    if not model["options"]:
        console.print("The model has no options.")
        return
    print_options(model["options"])
    if model["methods"]:
        conventions.print_methods(model["methods"])


@shell.guarded
def doctor(
    out: Annotated[Path, typer.Option(help="The folder given to bench as --out.")] = Path("runs"),
    repair: Annotated[bool, typer.Option("--repair", help="Make the repairs that lose nothing.")] = False,
    json: shell.Json = False,
) -> None:
    """Check the installation and the stored files.

    Shows packages, devices, keys and data sets, and checks the stored files of a folder.

    It shows whether a key is set, never the key itself. Exit status 2 if there is a problem.
    """
    from lvlm_ad.doctor import folder_findings, machine_findings

    findings = [*machine_findings(), *folder_findings(out)]
    if json:
        names = ("about", "name", "state", "text", "remedy")
        shell.print_json({"findings": [{name: getattr(finding, name) for name in names} for finding in findings]})
    else:
        _print_findings(findings)
    if repair:
        for finding in findings:
            if finding.repair is not None:
                shell.say(f"repaired: {finding.repair()}")
        findings = list(folder_findings(out))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(shell.EXIT_USAGE)


def _print_findings(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = shell.table_console()
    for about, group in groupby(findings, key=lambda finding: finding.about):
        console.print(about, style="bold")
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
        for finding in group:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            state = Text(finding.state, style=_STYLES[finding.state])
            table.add_row(state, escaped(finding.name), escaped(f"{finding.text}{remedy}"))
        console.print(table)
