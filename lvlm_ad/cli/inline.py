"""Shows a picture in terminals that can: by kitty's graphics protocol, or iTerm2's."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

__all__ = ["show_picture"]

_PART = 4096
"""Bytes of one of kitty's messages."""


def show_picture(path: Path) -> bool:
    """Draw a PNG where stderr is a terminal known to draw pictures; say whether it was drawn.

    Others would print the picture's bytes as text, so nothing is sent to a terminal that is not known.
    """
    if not sys.stderr.isatty():
        return False
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = _written(data, dict(os.environ))
    if text:
        print(text, file=sys.stderr)  # noqa: T201 - this is the command line
    return bool(text)


def _written(data: str, environment: dict[str, str]) -> str:
    """Return what draws a PNG, given in base64, in this terminal; "" if it is not known to draw.

    Kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/ . iTerm2: https://iterm2.com/documentation-images.html .
    """
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or terminal.startswith("screen"):
        # They sit between and would have to be told to pass it on.
        return ""
    if terminal in {"xterm-kitty", "xterm-ghostty"} or program == "ghostty":
        parts = [data[start : start + _PART] for start in range(0, len(data), _PART)]
        return "".join(
            f"\x1b_G{'a=T,f=100,' if at == 0 else ''}m={int(at + 1 < len(parts))};{part}\x1b\\"
            for at, part in enumerate(parts)
        )
    if program in {"iTerm.app", "WezTerm"}:
        return f"\x1b]1337;File=inline=1;width=100%:{data}\x07"
    return ""
