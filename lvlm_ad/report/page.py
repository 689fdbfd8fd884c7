"""Makes self-contained pages: one HTML file that holds its style and scripts and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

__all__ = ["data_block", "render", "visible"]

_PARTS = "templates"

_ENDS = {"\u2028", "\u2029"}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - takes a while to import

    found = Environment(
        loader=PackageLoader("lvlm_ad.report", _PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "visible": visible, "number": number, "signed": signed}
    return found


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """Fill a template.

    The page's content-security policy lets in pictures from beside the page, its own style, and the scripts named here
    by their hashes; whatever a model's answer holds, it is text.

    Args:
        template: a file of ``templates/``.
        scripts: files of ``templates/`` that the page runs, in order.
        **values: what the template needs. Texts are escaped.

    Returns:
        The page.
    """
    codes = [_part(name) for name in scripts]
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    policy = (
        "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    own = {"policy": policy, "style": Markup(_part("page.css")), "scripts": [Markup(code) for code in codes]}  # nosec B704 # noqa: S704 - our own files
    return page.render(**own, **values)


def data_block(value: Any) -> Markup:
    """Return a value as JSON that may stand in a ``script`` element of type ``application/json``.

    No ``<`` remains, so that no text can end the element.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nosec B704 # noqa: S704 - escaped above


def visible(text: str) -> str:
    """Show characters that act instead of standing for something, as terminal escapes and marks of direction do.

    Line breaks and tabs stay. Control characters become their pictures (U+2400 onwards), others their code point.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t" or (character.isprintable() and character not in _ENDS):
        return character
    code = ord(character)
    if code < 0x20:  # noqa: PLR2004 - the control characters of ASCII
        return chr(0x2400 + code)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{code:04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as percent; a dash where it is undefined."""
    return "\N{EN DASH}" if value is None else f"{100 * value:.{digits}f}"


def signed(value: float | None) -> str:
    """Return a difference of fractions in points, with its sign; a dash where it is undefined."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{100 * value:+.1f}"
    return text[1:] if float(text) == 0 else text


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with thousands set apart; a dash where it is unknown."""
    return "\N{EN DASH}" if value is None else f"{value:,.{digits}f}"


def _part(name: str) -> str:
    return (resources.files("lvlm_ad.report") / _PARTS / name).read_text(encoding="utf-8")
