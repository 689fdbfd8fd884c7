"""Describes one model: who brings it, and each of its options with its type, value and meaning."""

from __future__ import annotations

import inspect
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["described", "print_description"]


def described(name: str) -> dict[str, Any]:
    """Return what there is to know of a model.

    Args:
        name: as ``--model`` takes it.

    Returns:
        "name", "kind", "plugin", "owner" (the package that brings it, and its version; empty for a class
        of one's own), "description", "options": each
        with "name", "type", "value", "required", "about" and "changes_answers".

    Raises:
        ConfigError: nothing has this name.
        PluginError: the plugin cannot be loaded.
    """
    from lvlm_ad.plugins import find_model, installed, owner
    from lvlm_ad.presets import Pacing, Price

    model, _ = find_model(name, {})
    preset = model.preset
    entries = installed(preset.kind).get(preset.plugin, [])
    about = preset.description or inspect.cleandoc(model.plugin.cls.__doc__ or "").partition("\n\n")[0]
    options = _options(model.plugin.Options, preset.options)
    if preset.kind == "backend":
        options += _options(Price, preset.price.model_dump()) + _options(Pacing, preset.pacing.model_dump())
    return {
        "name": preset.name,
        "kind": preset.kind,
        "plugin": preset.plugin,
        "owner": owner(entries[0]) if entries else "",
        "description": " ".join(about.split()),
        "options": options,
    }


def _options(options: type[BaseModel], given: dict[str, Any]) -> list[dict[str, Any]]:
    from lvlm_ad.backend import Transport
    from lvlm_ad.presets import Pacing, Price

    return [
        {
            "name": name,
            "type": _type(info),
            "value": given.get(
                name, None if info.is_required() else _plain(info.get_default(call_default_factory=True))
            ),
            "required": info.is_required() and name not in given,
            "about": " ".join((info.description or "").split()),
            "changes_answers": Transport not in info.metadata and options not in {Price, Pacing},
        }
        for name, info in options.model_fields.items()
    ]


def _plain(value: Any) -> Any:
    """Return a JSON value: numbers, texts and lists as they are, anything else as it is written."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _type(info: FieldInfo) -> str:
    """Write a type as one would say it: ``int or None``, ``one of low, high``."""
    return _written(info.annotation)


def _written(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _written(parts[0])
    if origin in {Union, UnionType}:
        return " or ".join(map(_written, parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(member.value) for member in annotation)}"
    if origin is not None:
        inner = [_written(part) for part in parts if part is not Ellipsis]
        return f"{origin.__name__} of {', '.join(inner)}" if inner else str(origin.__name__)
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def print_description(found: dict[str, Any]) -> None:
    """Print what ``described`` returns."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from lvlm_ad.cli.shell import table_width

    console = Console(width=table_width())
    owner = f" of {found['owner']}" if found["owner"] else ""
    console.print(Text(found["name"], style="bold"), Text(f"{found['kind']} {found['plugin']}{owner}"))
    if found["description"]:
        console.print(Text(found["description"]))
    console.print()
    if not found["options"]:
        console.print(Text("It takes no options."))
        return
    table = Table("--set", Column("Value", overflow="fold"), "What it is", box=None, pad_edge=False)
    for option in found["options"]:
        value = Text("required", style="yellow") if option["required"] else Text(_shown(option["value"]))
        about = Text(option["about"])
        about.append(f"{' ' if about else ''}({option['type']})", style="dim")
        if not option["changes_answers"]:
            about.append(" *", style="dim")
        table.add_row(Text(option["name"]), value, about)
    console.print(table)
    if not all(option["changes_answers"] for option in found["options"]):
        console.print(Text("* changes no answer: what was asked before is not asked again.", style="dim"))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "-" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)
