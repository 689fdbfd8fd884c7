"""Write docs/cli.md from the help of the command line. Run it after a change to the command line; a test checks it.

python docs/make_cli.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from lvlm_ad.cli import app

PAGE = Path(__file__).with_name("cli.md")

HEAD = """# Command line

`python docs/make_cli.py` writes this page from the help texts of the commands.

Results go to stdout, progress and messages to stderr. `--json` prints one JSON object on stdout and nothing else there.
The exit status does not change if a reader ends early (`| head`) or stdout is closed. Characters that the output's
encoding lacks are escaped.

| exit status | meaning |
|---|---|
| 0 | every image was answered |
| 2 | bad usage, configuration or data; a message of one line says what, where, and what to do |
| 3 | the run finished, but some images have no usable answer; the counts are printed |
| 130 | interrupted; stored answers are kept, and the same command continues |

`lvlm-ad inspect` also reports its decisions: 1 if a picture raised an alarm, 3 if none did but some are undecided.

`--set KEY=VALUE` sets any field of a model preset, any option of its plugin and any field of the protocol:
`--set base_url=...`, `--set temperature=0.5`, `--set n_segments=100`, `--set shots=2`. An unknown setting is an error.
"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, False, (), [], "") or callable(value):
        return ""
    return f" Default: `{getattr(value, 'value', value)}`."


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _section(path: str, command: Any) -> str:
    arguments = [_name(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
    lines = [
        f"## {path}",
        "",
        "    " + " ".join([path, *arguments]),
        "",
        *(" ".join(p.split()) + "\n" for p in (command.help or "").split("\n\n")),
    ]
    rows = [
        f"| `{_name(parameter)}` | {_cell(parameter.help or '')}{_default(parameter)} |"
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "hidden", False)
    ]
    if rows:
        lines += ["| option | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _sections(path: str, command: Any) -> list[str]:
    children = getattr(command, "commands", {})
    if not children:
        return [_section(path, command)]
    return [section for name in sorted(children) for section in _sections(f"{path} {name}", children[name])]


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_sections("lvlm-ad", typer.main.get_command(app))])


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is out of date: run {__file__}")
    PAGE.write_text(page(), encoding="utf-8")
