"""``lvlm-ad doctor``: check the installation and the stored files, and repair them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvlm_ad.cli.shell import EXIT_USAGE, Json, escaped, guarded, print_json, say, table_console

if TYPE_CHECKING:
    from lvlm_ad.doctor import Finding

__all__ = ["doctor"]

_STYLES = {"ok": "green", "absent": "dim", "warning": "yellow", "problem": "red"}


@guarded
def doctor(
    out: Annotated[Path, typer.Option(help="The folder given to bench as --out.")] = Path("runs"),
    repair: Annotated[bool, typer.Option("--repair", help="Repair whatever can be repaired without loss.")] = False,
    json: Json = False,
) -> None:
    """Check the installation and the stored files.

    Shows packages, devices, keys and data sets, and checks the stored files of a folder.

    It shows whether a key is set, never the key itself. Exit status 2 if there is a problem.
    """
    from lvlm_ad.doctor import folder_findings, machine_findings

    findings = [*machine_findings(), *folder_findings(out)]
    if json:
        names = ("about", "name", "state", "text", "remedy")
        print_json({"findings": [{name: getattr(finding, name) for name in names} for finding in findings]})
    else:
        _print(findings)
    if repair:
        for finding in findings:
            if finding.repair is not None:
                say(f"repaired: {finding.repair()}")
        findings = list(folder_findings(out))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(EXIT_USAGE)


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = table_console()
    for about, group in groupby(findings, key=lambda finding: finding.about):
        console.print(Text(about, style="bold"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
        for finding in group:
            remedy = f"; {'with --repair ' if finding.repair else ''}{finding.remedy}" if finding.remedy else ""
            text = escaped(f"{finding.text}{remedy}")
            table.add_row(Text(finding.state, style=_STYLES[finding.state]), Text(escaped(finding.name)), Text(text))
        console.print(table)
