"""What ``lvlm-ad leaderboard --by-group`` shows in the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.leaderboard import GroupTable


def group_tables_text(tables: Sequence[GroupTable], width: int) -> str:
    """Return tables as plain text for a terminal of so many characters; long cells are folded."""
    written = io.StringIO()
    console = Console(file=written, width=width)
    for table in tables:
        console.print(Text(escaped(table.title)))
        printed = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for at, head in enumerate(table.heads):
            printed.add_column(Text(escaped(head)), justify="right" if at else "left", overflow="fold")
        for row in table.texts():
            printed.add_row(*(Text(escaped(text)) for text in row))
        console.print(printed)
        for note in table.notes():
            console.print(Text(f"  {escaped(note)}"))
        console.print()
    return written.getvalue()
