"""Progress bars of a bench: images done, unusable answers, cost, remaining time."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

import lvlm_ad.log
from lvlm_ad.cli.shell import escaped


class Bars(lvlm_ad.log.Progress):
    """One progress bar per stage on stderr; without a terminal one line per finished stage."""

    def __init__(self) -> None:
        self._console = console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._stage = ""
        self._task = TaskID(0)
        self._total = self._failed = self._stored = 0
        self._cost: float | None = 0.0
        self._shown = (0, 0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, stage: str, total: int) -> None:
        """Start a bar."""
        self._stage, self._total, self._failed, self._stored, self._cost = stage, total, 0, 0, 0.0
        self._task = self._bars.add_task(stage, total=total, state="")

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Count steps."""
        self._failed += steps * failed
        self._stored += steps * stored
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        self._bars.update(self._task, advance=steps, state=self._state())

    def finish(self) -> None:
        """End the bar."""
        if not self._console.is_terminal:
            state = self._state()
            self._console.print(Text(f"{self._stage}: {self._total}{f' ({state})' if state else ''}"))

    def at(self, stage: str, done: int, total: int) -> None:
        """Show the state of work done elsewhere; without a terminal only its end."""
        if stage != self._stage:
            self.start(stage, total)
        ended = done == total and (done, total) != self._shown
        self._total, self._shown = total, (done, total)
        self._bars.update(self._task, completed=done, total=total)
        if ended:
            self.finish()

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(escaped(text)))

    def _state(self) -> str:
        parts = [f"{self._stored} stored"] if self._stored else []
        if self._failed:
            parts.append(f"{self._failed} unusable")
        if self._cost is None:
            parts.append("cost unknown")
        elif self._cost:
            parts.append(f"${self._cost:.4f}")
        return ", ".join(parts)
