"""``lvlm-ad methods``: the methods by which chat models can inspect an image."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.cli.options import described, print_options
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@shell.guarded
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A method, to list its options for --set.")
    ] = None,
    json: shell.Json = False,
) -> None:
    """List the methods for bench --method: ways in which chat models inspect an image. With NAME: list its options."""
    if name is not None:
        details = _details(name)
        return shell.print_json(details) if json else _print_details(details)
    listing = _listing()
    return shell.print_json({"methods": listing}) if json else _print_listing(listing)


def _listing() -> list[dict[str, Any]]:
    """Describe the installed methods. Those of other packages are not imported."""
    from lvlm_ad.plugins import installed, is_ours, owner

    def summary(name: str, entries: list[EntryPoint]) -> dict[str, Any]:
        if is_ours(entries[0]):
            details = _details(name)
            return {key: details[key] for key in ("name", "places", "description")}
        about = f"method of {' and of '.join(map(owner, entries))}"
        return {"name": name, "places": None, "description": about}

    return [summary(name, entries) for name, entries in sorted(installed("method").items())]


def _details(name: str) -> dict[str, Any]:
    """Describe a method with its options; "owner" is the package that provides it, empty for a user's own class."""
    from lvlm_ad.plugins import installed, method_class, owner

    method, _ = method_class(name)
    entries = installed("method").get(name, [])
    description = inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0]
    return {
        "name": name,
        "owner": owner(entries[0]) if entries else "",
        "description": " ".join(description.split()),
        "places": method.places,
        "needs_regions": method.needs_regions,
        "prompt": method.prompt,
        "image_size": method.image_size,
        "options": described(method.Options, {}),
    }


def _print_listing(listing: list[dict[str, Any]]) -> None:
    from rich.table import Column, Table

    table = Table("Method", "Places", Column("Description", overflow="fold"), box=None, pad_edge=False)
    for method in listing:
        places = "not loaded" if method["places"] is None else method["places"] or "none"
        table.add_row(escaped(method["name"]), places, escaped(method["description"]))
    console = shell.table_console()
    console.print(table)
    console.print("lvlm-ad methods NAME lists a method's options.", style="dim")


def _print_details(method: dict[str, Any]) -> None:
    from rich.text import Text

    console = shell.table_console()
    owner = f" of {method['owner']}" if method["owner"] else ""
    console.print(Text(escaped(method["name"]), style="bold"), escaped(f"method{owner}"))
    if method["description"]:
        console.print(escaped(method["description"]))
    facts = [
        f"It answers with {method['places']}." if method["places"] else "It gives no anomaly map.",
        "Images are divided into regions." if method["needs_regions"] else "Images are not divided.",
        f"Its prompt preset is {method['prompt']}." if method["prompt"] else "Its prompt is the protocol's.",
        f"Images are stretched to {method['image_size']} pixels by default." if method["image_size"] else "",
    ]
    console.print(escaped(" ".join(filter(None, facts))))
    console.print()
    if method["options"]:
        print_options(method["options"])
    else:
        console.print("The method has no options.")
