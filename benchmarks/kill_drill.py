"""Kill ``lvlm-ad bench`` again and again while it asks an unreliable endpoint, and count lost and repeated answers.

A third of the endpoint's replies fails. After the last kill each question must have exactly one stored answer:

    python benchmarks/kill_drill.py --kills 20 --seed 1 [--two] [--method zoom --per-image 5]

The same command starts again after every kill and finally runs to its end. An answer may be given twice only if it was
in flight when its asker was killed. ``--two``: two commands share the output folder, and one is killed while the other
goes on. Exit status 1: a check failed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_command import Command, make_data, start_bench, stored_answers
from flaky_endpoint import Endpoint, serving

TIMEOUT = 1.0
"""Seconds that the command waits for an answer."""
LATENCY = 0.3
"""Seconds that the endpoint takes for an answer, on average."""
PATIENCE = 600.0
"""Seconds after which a command that does not ask, or does not end, is stuck."""
STARTING = 8.0
"""Seconds in which a command that has something to ask begins to."""
SOONEST, LATEST = 0.1, 3.0
"""Seconds from a command's first question to its death."""


class Drill:
    """Starts and kills commands.

    Args:
        endpoint: the endpoint that they ask.
        url: its address.
        work: folder for everything.
        args: the command line.

    Attributes:
        out: the output folder.
        statuses: exit statuses of all commands, in order.
        vanished: stored answers that were gone after a later kill.
    """

    def __init__(self, endpoint: Endpoint, url: str, work: Path, args: argparse.Namespace) -> None:
        self._endpoint, self._url, self._work = endpoint, url, work
        self.out = work / "out"
        self._questions, self._kills, self._two = args.images * args.per_image, args.kills, args.two
        self._method = args.method
        self._draw = random.Random(args.seed)  # noqa: S311 - moments, no secret
        self._started = 0
        self._stored: set[tuple[str, str]] = set()
        self.statuses: list[int] = []
        self.vanished = 0

    def run(self) -> list[Command]:
        """Kill as often as wanted; return the commands that then ran to their end.

        Raises:
            SystemExit: a command ended by itself, or is stuck.
        """
        running: list[Command] = []
        try:
            for kill in range(self._kills):
                self._allow(kill + 0.5)
                running += self._start_missing(running)
                victim = self._draw.choice(self._asking(running))
                self._allow(kill + 1.0)
                self._kill(victim)
                running.remove(victim)
                print(f"kill {kill + 1} of {self._kills}", file=sys.stderr)
            self._allow(math.inf)
            running += self._start_missing(running)
            self.statuses += [command.process.wait(PATIENCE) for command in running]
        except subprocess.TimeoutExpired as error:
            raise SystemExit(f"A command did not end within {PATIENCE:g} s.") from error
        finally:
            for command in running:
                command.process.kill()
                command.process.wait()
        return running

    def _start_missing(self, running: list[Command]) -> list[Command]:
        return [self._start() for _ in range((2 if self._two else 1) - len(running))]

    def _start(self) -> Command:
        self._started += 1
        # With --two, one command has to wait while the other starts, and each time counts as a failed try.
        retries = f"max_retries={1000 if self._two else 50}"
        return start_bench(
            *(f"run-{self._started}", self._work, self._url, "--set", f"timeout={TIMEOUT:g}", "--set", retries),
            *("--no-reference-rows", "--concurrency", "16", "--out", str(self.out), "--json"),
            # A grid takes no time: the drill is about answers, not about dividing images.
            *("--method", self._method, "--division", "grid"),
        )

    def _allow(self, kills: float) -> None:
        """Let so many questions be answered that they last for all kills."""
        with self._endpoint.lock:
            self._endpoint.allowed = self._questions * kills / (self._kills + 1)

    def _asking(self, running: list[Command]) -> list[Command]:
        """Wait until all commands have asked something; return those that have.

        A command asks nothing if the other one has locked every question, so nobody waits long for it.
        """
        began = time.monotonic()
        while True:
            asking = [command for command in running if command.key in self._endpoint.askers]
            seconds = time.monotonic() - began
            if len(asking) == len(running) or (asking and seconds > STARTING):
                return asking
            for command in running:
                if command.process.poll() is not None:
                    sys.exit(command.failure())
            if seconds > PATIENCE:
                sys.exit(f"Nothing was asked in {PATIENCE:g} s.")
            time.sleep(0.005)

    def _kill(self, victim: Command) -> None:
        endpoint = self._endpoint
        deadline = time.monotonic() + self._draw.uniform(SOONEST, LATEST)
        while time.monotonic() < deadline and len(endpoint.answered) < endpoint.allowed:
            time.sleep(0.002)
        self.statuses.append(endpoint.kill(victim))
        if self.statuses[-1] >= 0:
            sys.exit(victim.failure())
        stored = {(key, name) for key, name, _ in stored_answers(self.out)}
        self.vanished += len(self._stored - stored)
        self._stored = stored
        with endpoint.lock:
            names = {name for _, name in stored}
            endpoint.settled |= {exchange.question for name, exchange in endpoint.given.items() if name in names}


def examine(drill: Drill, endpoint: Endpoint, last: list[Command], args: argparse.Namespace) -> dict[str, Any]:
    """Return what was counted and, as "wrong", which checks failed."""
    rows = stored_answers(drill.out)
    names = {name for _, name, _ in rows}
    lost = endpoint.lost(names)
    questions = len(endpoint.answered)
    counts: dict[str, Any] = {
        "images": args.images,
        "stored": len(rows),
        "questions": questions,
        "pictures": len({hashes for *_, hashes in rows}),
        "usable": [usable_answers(command) for command in last],
        "kills": args.kills,
        "requests": sum(endpoint.kinds.values()) - endpoint.kinds["too late"],
        "kinds": dict(sorted(endpoint.kinds.items())),
        "answers_given": len(endpoint.given),
        "repeated_answers": len(endpoint.given) - questions,
        "in_flight_at_kills": len(endpoint.in_flight) + len(lost.not_yet_stored),
        "lost_in_flight": lost.in_flight + len(lost.not_yet_stored),
        "given_but_not_yet_stored": len(lost.not_yet_stored),
        "oldest_of_those_ms": round(1000 * max(lost.not_yet_stored, default=0.0), 1),
        "lost_without_a_kill": lost.unexplained,
        "stored_answers_that_vanished": drill.vanished,
        "asked_though_stored": endpoint.needless,
        "asked_by_two_at_once": endpoint.doubled,
        "statuses": drill.statuses,
    }
    checks = {
        "each question has exactly one stored answer": {args.images * args.per_image}
        == {counts[name] for name in ("stored", "questions", "pictures")},
        "each stored answer was given": names <= set(endpoint.given),
        "each image has a usable answer in the metrics": set(counts["usable"]) == {args.images},
        "the last commands end with status 0": not any(command.process.returncode for command in last),
        "no more answers are repeated than were in flight": counts["repeated_answers"] <= counts["in_flight_at_kills"],
        "no answer is lost without a kill": not counts["lost_without_a_kill"],
        "no stored answer vanishes": not counts["stored_answers_that_vanished"],
        "no question with a stored answer is asked": not counts["asked_though_stored"],
        "no two living commands ask the same": not counts["asked_by_two_at_once"],
    }
    return {**counts, "wrong": [check for check, holds in checks.items() if not holds]}


def usable_answers(command: Command) -> int:
    """Return the number of usable answers in a finished command's result; -1 if it printed none."""
    try:
        (run,) = json.loads(command.output.read_text(encoding="utf-8"))["runs"]
    except ValueError:
        return -1
    return int(run["metrics"]["answers"]["ok"])


def run_drill(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Make the data, drill, and return what was counted."""
    make_data(work / "data", args.images, seed=args.seed)
    endpoint = Endpoint(args.seed, LATENCY, faults=1 / 3, timeout=TIMEOUT)
    with serving(endpoint) as url:
        drill = Drill(endpoint, url, work, args)
        last = drill.run()
        counts = examine(drill, endpoint, last, args)
    for command in last:
        if command.process.returncode:
            print(command.failure(), file=sys.stderr)
    return counts


def main() -> int:
    """Drill and print what was counted; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how often to kill")
    parser.add_argument("--images", type=int, help="default: 20 per kill, with --two 30")
    parser.add_argument("--method", default="regions", help="how images are inspected; it needs no training images")
    parser.add_argument("--per-image", type=int, default=1, help="how many questions the method asks about an image")
    parser.add_argument("--seed", type=int, default=0, help="decides on images, faults and moments")
    parser.add_argument("--two", action="store_true", help="two commands at once, one of which is killed each time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was counted")
    args = parser.parse_args()
    args.images = args.images or max(1, args.kills) * (30 if args.two else 20)
    with tempfile.TemporaryDirectory() as folder:
        counts = run_drill(args, Path(folder))
    for name, value in counts.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if args.json:
        args.json.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    return int(bool(counts["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
