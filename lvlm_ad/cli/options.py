"""The options of a model or method, as commands show them."""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from lvlm_ad.cli import shell
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from pydantic import BaseModel


def described(options: type[BaseModel], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe the fields of a settings model.

    Args:
        options: the model.
        values: the values of some fields; the others have their defaults.
    """
    from pydantic_core import to_jsonable_python

    from lvlm_ad.backend import Transport
    from lvlm_ad.presets import Pacing, Price

    rows = []
    for name, info in options.model_fields.items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        rows.append(
            {
                "name": name,
                "type": _type_name(info.annotation),
                "value": to_jsonable_python(values.get(name, default), fallback=str),
                "required": info.is_required() and name not in values,
                "about": " ".join((info.description or "").split()),
                "changes_answers": Transport not in info.metadata and options not in {Price, Pacing},
            }
        )
    return rows


def _type_name(annotation: Any) -> str:
    """Write a type for people: ``int or None``, ``one of low, high``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in {Union, UnionType}:
        return " or ".join(map(_type_name, parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(member.value) for member in annotation)}"
    if origin is not None:
        inner = [_type_name(part) for part in parts if part is not Ellipsis]
        return f"{origin.__name__} of {', '.join(inner)}" if inner else str(origin.__name__)
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def print_options(options: list[dict[str, Any]]) -> None:
    """Print options as a table."""
    from rich.table import Column, Table
    from rich.text import Text

    console = shell.table_console()
    table = Table("--set", Column("Value", overflow="fold"), "Description", box=None, pad_edge=False)
    for option in options:
        value = Text("required", style="yellow") if option["required"] else escaped(_shown(option["value"]))
        about = Text(escaped(option["about"].replace("``", "")))
        mark = "" if option["changes_answers"] else " *"
        about.append(f"{' ' if about else ''}({option['type']}){mark}", style="dim")
        table.add_row(option["name"], value, about)
    console.print(table)
    if not all(option["changes_answers"] for option in options):
        console.print("* does not change answers: stored answers stay valid.", style="dim")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "-" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)
