"""Tables about multiple-choice questions: accuracies by source and subtask, and letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvlm_ad.cli import shell
from lvlm_ad.escape import escaped
from lvlm_ad.evaluate.choices import AVERAGE, letters_in_words, subtasks_of
from lvlm_ad.leaderboard import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from lvlm_ad.runs import Run


def print_choices(run: Run, console: Console) -> None:
    """Print a run's accuracies; nothing if it has none."""
    from rich.table import Table
    from rich.text import Text

    choices: Mapping[str, Any] | None = run.metrics.get("choices")
    if not choices:
        return
    names = subtasks_of(choices)
    title = f"{run.manifest.row_name}: accuracy, percent; an answer without a choice is wrong"
    table = Table(title=Text(escaped(title)), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for head in (*names, "Average", "left out", "as published", "no choice"):
        table.add_column(Text(escaped(head).replace(" ", "\n")), justify="right")
    for source, row in choices["sources"].items():
        whole = row[AVERAGE]
        accuracies = [percent(row[name]["accuracy"]) if name in row else "" for name in (*names, AVERAGE)]
        rest = [percent(whole["left_out"]), percent(whole["as_published"]), f"{whole['unread']} of {whole['asked']}"]
        table.add_row(Text(escaped(source)), *accuracies, *rest)
    console.print(table)
    console.print(letters_in_words(choices))
    console.print()


def show_choices(runs: list[Run]) -> None:
    """Print the accuracies of each run that has some."""
    for run in runs:
        print_choices(run, shell.table_console(shell.BOARD_WIDTH))
