"""``lvlm-ad doctor``: what is here, what is wrong with it, and its repair."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import EXIT_USAGE, guarded, print_json, say

if TYPE_CHECKING:
    from lvlm_ad.doctor import Finding

__all__ = ["doctor"]

_STYLES = {"ok": "green", "absent": "dim", "warning": "yellow", "problem": "red"}


@guarded
def doctor(
    out: Annotated[Path, typer.Option(help="The folder given to bench as --out.")] = Path("runs"),
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Say what is installed, which devices, keys and data sets there are, and whether the stores of a folder are sound.

    Of a key it says whether it is set, never what it is. Exit status 2 if there is a problem.
    """
    from lvlm_ad.doctor import folder_findings, machine_findings

    found = [*machine_findings(), *folder_findings(out)]
    if json:
        fields = ("about", "name", "state", "text", "remedy")
        print_json({"findings": [{name: getattr(one, name) for name in fields} for one in found]})
    else:
        _show(found)
    if repair:
        for one in found:
            if one.repair is not None:
                say(f"repaired: {one.repair()}")
        found = list(folder_findings(out))
    if any(one.state == "problem" for one in found):
        raise typer.Exit(EXIT_USAGE)


def _show(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for about, findings in groupby(found, key=lambda one: one.about):
        console.print(Text(about, style="bold"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
        for one in findings:
            remedy = f"; with --repair {one.remedy}" if one.repair else f"; {one.remedy}" if one.remedy else ""
            table.add_row(Text(one.state, style=_STYLES[one.state]), Text(one.name), Text(f"{one.text}{remedy}"))
        console.print(table)
