"""Write text of unknown origin so that it does no harm: on the terminal, in HTML, JSON, CSV, Markdown and LaTeX.

A name, a note or an answer may hold anything. Invisible characters and those that control the display (terminal
escapes, marks of writing direction, zero-width characters) are shown by their code. Pages filled by Jinja use
``visible``, and Jinja escapes the rest.
"""

from __future__ import annotations

import csv
import html as standard_html
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

__all__ = [
    "breakable_latex",
    "csv_cell",
    "csv_lines",
    "escaped",
    "html",
    "json_text",
    "latex",
    "latex_start",
    "markdown",
    "markdown_row",
    "visible",
]

_UNUSUAL = re.compile(r"[^\x20-\x7e]")

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that show nothing, but that Python counts as printable."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")

_MARKDOWN = re.compile(
    r"[\\`*_\[\]|~$#!&<>]"  # emphasis, code, links, cells, mathematics, references to issues, HTML
    r"|@(?=\w)|:(?=//|[\w+-]+:)|(?<=\w)\.(?=[^\W\d])"  # mentions, addresses, emoji
    r"|^[-+](?=[-+\s]|$)|(?:(?<=^\d)|(?<=^\d\d)|(?<=^\d\d\d))[.)](?=\s|$)"  # what begins a list
)

# GitHub looks for names and mail addresses in the finished text; only an element between two letters stops it.
_IN_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": r"\@<!-- -->"}

_WORD_KEPT = 16
"""Characters of a word in LaTeX after which a line may break."""

_LATIN_1_END = 0xFF
"""Every LaTeX engine knows the accented letters up to here."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\`{}",
    "·": r"\textperiodcentered{}",
    "±": r"\textpm{}",
    "µ": r"\textmu{}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _needs_code(character: str) -> bool:
    """Return whether a character is invisible or controls the display; the spaces of any script do not count."""
    return character in _BLANK or not (character.isprintable() or unicodedata.category(character) == "Zs")


def visible(text: str, keep: str = "\n\t") -> str:
    """Show ASCII control characters as their Unicode pictures (U+2400 onwards), other invisible ones by their code.

    Args:
        text: any text.
        keep: characters that stay as they are; "" where the text must be one line.

    Example:
        >>> visible("a" + chr(27) + chr(0x202E))
        'a␛⟨U+202E⟩'
    """

    def shown(match: re.Match[str]) -> str:
        character = match[0]
        code = ord(character)
        if character in keep or not _needs_code(character):
            return " " if unicodedata.category(character) == "Zs" else character
        if code < 0x20:  # noqa: PLR2004 - the control characters of ASCII
            return chr(0x2400 + code)
        return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{code:04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"

    return _UNUSUAL.sub(shown, text)


def escaped(text: str) -> str:
    r"""Write a text as one line for the terminal; invisible and control characters become Python's escapes.

    Example:
        >>> escaped("odd\x1b[31mname")
        'odd\\x1b[31mname'
    """

    def code(match: re.Match[str]) -> str:
        character = match[0]
        plain = character.isprintable() and character not in _BLANK
        return character if plain else character.encode("unicode_escape").decode()

    return _UNUSUAL.sub(code, text)


def html(text: str) -> str:
    """Write a text for an element or an attribute of HTML.

    Example:
        >>> html('<b title="x">')
        '&lt;b title=&quot;x&quot;&gt;'
    """
    return standard_html.escape(visible(text))


def json_text(value: Any) -> str:
    r"""Write a value as indented JSON that all parsers read alike, and that is safe to display.

    Example:
        >>> json_text("é" + chr(0x202E))
        '"é\\u202e"'
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # Between the tokens there are only line breaks and spaces.
    return _UNUSUAL.sub(
        lambda match: json.dumps(match[0])[1:-1] if _needs_code(match[0]) and match[0] != "\n" else match[0], text
    )


def csv_cell(value: Any) -> Any:
    """Return a cell for ``csv.writer`` that no spreadsheet runs as a formula.

    Example:
        >>> [csv_cell(value) for value in ("gpt-4o", " =1+1", "-0.5", -0.5, None)]
        ['gpt-4o', "' =1+1", '-0.5', -0.5, '']
    """
    if not isinstance(value, str):
        return "" if value is None else value
    start = next((character for character in value if not (character.isspace() or _needs_code(character))), "")
    # Spreadsheets read full-width signs, and the mathematical minus, like those of ASCII.
    runs = unicodedata.normalize("NFKC", start) in {"=", "+", "-", "@", "\N{MINUS SIGN}"}
    runs = runs and not _NUMBER.fullmatch(value)
    return f"'{visible(value, '')}" if runs or value[:1] in {"\t", "\r", "\n"} else visible(value, "")


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    r"""Write rows as CSV; no spreadsheet runs a cell as a formula.

    Example:
        >>> csv_lines([["model", "value"], ["a,b", None]])
        'model,value\n"a,b",\n'
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(csv_cell, row) for row in rows)
    return out.getvalue()


def markdown_row(cells: Iterable[str]) -> str:
    """Write a line of a table in Markdown; its cells are escaped already."""
    return f"| {' | '.join(cells)} |"


def markdown(text: str) -> str:
    r"""Write a text for a line or a table cell of Markdown, as CommonMark and GitHub read it.

    Example:
        >>> markdown("~x~ <b> by @me, www.example.org")
        '\\~x\\~ &lt;b&gt; by \\@<!-- -->me, www\\.example\\.org'
    """
    return _MARKDOWN.sub(lambda match: _IN_MARKDOWN.get(match[0], f"\\{match[0]}"), visible(text, "").strip())


def latex(text: str) -> str:
    r"""Write a text so that every LaTeX engine typesets it: ASCII and accented letters; others by their code.

    Example:
        >>> latex("50 % of $x_1$" + chr(27))
        '50~\\% of \\$x\\_1\\$[U+001B]'
    """
    # Two hyphens must not become a dash, and no line may break between a number and its per cent sign.
    parts = ("".join(map(_latex_character, part)) for part in re.split("(?<=-)(?=-)", text))
    return "{}".join(parts).replace(r" \%", r"~\%")


def latex_start(text: str) -> str:
    """Write a text that begins a line: after a line break, LaTeX takes a bracket or a star for an argument.

    Example:
        >>> latex_start("[a]"), latex_start("a")
        ('{}[a]', 'a')
    """
    return ("{}" if text[:1] in {"[", "*"} else "") + latex(text)


def breakable_latex(text: str) -> str:
    r"""Write a text for LaTeX, where lines may break within long words such as addresses and hashes.

    Example:
        >>> breakable_latex("see 0123456789abcdef0123")
        'see 0123456789abcdef\\allowbreak{}0123'
    """
    parts = re.split(rf"(\S{{{_WORD_KEPT}}})(?=\S)", text)
    return "".join(latex(part) + (r"\allowbreak{}" if at % 2 else "") for at, part in enumerate(parts))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if unicodedata.category(character) == "Zs":
        return " "
    accented = unicodedata.normalize("NFD", character)[0].isascii() and ord(character) <= _LATIN_1_END
    known = (character.isascii() or accented) and not _needs_code(character)
    return character if known else f"[U+{ord(character):04X}]"
