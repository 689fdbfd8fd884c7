"""Kills ``lvlm-ad bench`` with SIGKILL again and again, at random moments, while an unreliable endpoint is asked.

A third of what the endpoint sends is no answer: status 429 with and without a wait, status 500, a connection reset, a
reply that never comes, JSON that is none, a body that breaks off, a completion without choices. The same command is
started anew after every kill and, after the last, left to its end. Then every image must have exactly one stored
answer, and nothing may have been answered twice but what was under way when a process was killed. With ``--two``, two
processes share the output folder, and of the two one is killed while the other goes on.

    python benchmarks/kill_drill.py --kills 20 --seed 1
    python benchmarks/kill_drill.py --kills 20 --seed 1 --two

Every process has a key of its own, by which the endpoint knows who asks; the key is no part of a question. Every answer
has a name of its own in its field "model", which is stored with it, so each stored answer says which of the given ones
it is. Exit status 1: a check failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flaky_endpoint import TIMEOUT, Endpoint, is_gone, serving
from PIL import Image, ImageDraw

PATIENCE = 600.0
"""Seconds after which a process that does not ask, or does not end, is taken to be stuck."""
STARTS = 8.0
"""Seconds in which a process that has something to ask begins to."""
SOONEST, LATEST = 0.1, 3.0
"""Seconds from a process's first question to its death."""
ON_ITS_WAY = 0.25
"""Seconds after which an answer that was handed to the socket must be on the disk; until then it is in flight."""
PIXELS = 64
"""Side of a picture, pixels."""


class DrillError(Exception):
    """The drill could not go on; the message says why."""


@dataclass(frozen=True)
class Kill:
    """A kill that hit a running process.

    Attributes:
        run: the process.
        at: seconds.
        after: seconds since the drill began to wait for its moment.
        in_flight: names of the answers to the questions that were received and not yet completely answered.
        due: those of them that no fault was meant for.
        stored: question -> the name of its stored answer, just after the kill.
    """

    run: str
    at: float
    after: float
    in_flight: frozenset[str]
    due: frozenset[str]
    stored: dict[str, str]


def make_data(root: Path, count: int, seed: int) -> None:
    """Write small images, each another, in the layout of MVTec AD: every second one with a red square and its mask."""
    draw = random.Random(seed)  # noqa: S311 - pictures, no secret
    for index in range(count):
        # A cloudy ground: superpixels need something to hold on to.
        cloud = Image.frombytes("RGB", (6, 6), draw.randbytes(3 * 6 * 6))
        image = cloud.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
        kind = ("good", "hole")[index % 2]
        if kind == "hole":
            row, column = (draw.randrange(4, PIXELS - 20) for _ in range(2))
            square = (column, row, column + 15, row + 15)
            ImageDraw.Draw(image).rectangle(square, fill=(220, 30, 30))
            mask = Image.new("L", image.size)
            ImageDraw.Draw(mask).rectangle(square, fill=255)
            save(mask, root / "bolt" / "ground_truth" / kind / f"{index:05}_mask.png")
        save(image, root / "bolt" / "test" / kind / f"{index:05}.png")


def save(image: Image.Image, path: Path) -> None:
    """Save an image, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@dataclass
class Run:
    """One process of the command.

    Attributes:
        name: its key at the endpoint.
        process: the process.
        folder: where its output goes.
    """

    name: str
    process: subprocess.Popen[bytes]
    folder: Path

    def failure(self) -> str:
        """Return how it ended and the end of what it said."""
        said = (self.folder / f"{self.name}.err").read_text(encoding="utf-8", errors="replace")
        return f"{self.name} ended with status {self.process.poll()}: {said[-1500:]}"


@dataclass
class Drill:
    """Starts and kills processes.

    Attributes:
        endpoint: whom they ask.
        command: what is run.
        work: the folder for everything; the output folder is ``work/out``.
        images: how many questions there are.
        kills_wanted: how many kills there are to be.
        draw: decides when whom to kill.
        kills: those that were.
        statuses: exit statuses of all processes, in order.
        early: kills that came sooner than drawn, so that the questions last for all kills.
    """

    endpoint: Endpoint
    command: list[str]
    work: Path
    images: int
    kills_wanted: int
    draw: random.Random
    kills: list[Kill] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    early: int = 0
    started: int = 0

    def drill(self, width: int) -> list[Run]:
        """Kill as often as wanted with ``width`` processes at once; returns those that then came to their end.

        Raises:
            DrillError: a process ended by itself, or is stuck.
        """
        live: list[Run] = []
        try:
            while len(self.kills) < self.kills_wanted:
                self._allow(0.5)
                live += [self._start() for _ in range(width - len(live))]
                victim = self.draw.choice(self._asking(live))
                self._allow(1.0)
                self._kill(victim)
                live.remove(victim)
                print(f"kill {len(self.kills)} of {self.kills_wanted}", file=sys.stderr)
            with self.endpoint.lock:
                self.endpoint.allowed = math.inf
            live += [self._start() for _ in range(width - len(live))]
            for run in live:
                self.statuses.append(run.process.wait(PATIENCE))
        except subprocess.TimeoutExpired as error:
            raise DrillError(f"a process did not end within {PATIENCE:g} s") from error
        finally:
            for run in live:
                run.process.kill()
                run.process.wait()
        return live

    def forecast(self) -> None:
        """Divide all images, once.

        Raises:
            DrillError: the command failed.
        """
        run = self._start("--dry-run")
        if run.process.wait(PATIENCE):
            raise DrillError(run.failure())

    def stored(self) -> list[tuple[str, str, str]]:
        """Return key, name of the answer and pictures' digests of each stored answer; nothing is written."""
        with closing(sqlite3.connect(f"file:{self.work / 'out' / 'answers.sqlite'}?mode=ro", uri=True)) as store:
            return store.execute("SELECT key, model, images FROM answers").fetchall()

    def _start(self, *more: str) -> Run:
        self.started += 1
        name = f"run-{self.started}"
        ours = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        ours |= {"OPENAI_API_KEY": name, "NO_PROXY": "127.0.0.1"}
        with (self.work / f"{name}.out").open("wb") as out, (self.work / f"{name}.err").open("wb") as err:
            process = subprocess.Popen([*self.command, *more], stdout=out, stderr=err, env=ours, cwd=self.work)
        return Run(name, process, self.work)

    def _allow(self, part: float) -> None:
        """Let so many questions be answered that each kill finds its share of them; ``part`` of the next share."""
        with self.endpoint.lock:
            self.endpoint.allowed = self.images * (len(self.kills) + part) / (self.kills_wanted + 1)

    def _asking(self, live: list[Run]) -> list[Run]:
        """Wait until all have asked something; returns those that have.

        A process all of whose questions the other has locked asks nothing, so it is not waited for long.
        """
        began = time.monotonic()
        while True:
            asking = [run for run in live if self.endpoint.arrived[run.name]]
            seconds = time.monotonic() - began
            if len(asking) == len(live) or (asking and seconds > STARTS):
                return asking
            for run in live:
                if run.process.poll() is not None:
                    raise DrillError(run.failure())
            if seconds > PATIENCE:
                raise DrillError(f"nothing was asked in {PATIENCE:g} s")
            time.sleep(0.005)

    def _kill(self, victim: Run) -> None:
        began, endpoint = time.monotonic(), self.endpoint
        seconds = self.draw.uniform(SOONEST, LATEST)
        while time.monotonic() < began + seconds:
            if len(endpoint.answered) >= endpoint.allowed:
                self.early += 1
                break
            time.sleep(0.002)
        # Under the lock nothing is answered: what is under way at the kill is known exactly.
        with endpoint.lock:
            under_way = [one for one in endpoint.under_way if one.run == victim.name and not is_gone(one.connection)]
            victim.process.kill()
            at = time.monotonic()
            endpoint.killed.add(victim.name)
        # Waited for: otherwise the zombie would count as a living owner of locks.
        self.statuses.append(victim.process.wait(PATIENCE))
        if self.statuses[-1] >= 0:
            raise DrillError(victim.failure())
        stored = {name.partition("-")[0]: name for _, name, _ in self.stored()}
        in_flight = frozenset(one.name for one in under_way)
        due = frozenset(one.name for one in under_way if one.kind == "answer")
        self.kills.append(Kill(victim.name, at, at - began, in_flight, due, stored))
        with endpoint.lock:
            endpoint.settled |= {given.question for name, given in endpoint.given.items() if name in stored.values()}


def examine(drill: Drill, last: list[Run]) -> tuple[dict[str, Any], list[str]]:
    """Compare what was given with what is stored.

    Returns:
        The counts, and what is wrong.
    """
    endpoint = drill.endpoint
    rows = drill.stored()
    names = [name for _, name, _ in rows]
    lost = {name: given for name, given in endpoint.given.items() if name not in names}
    kills = {kill.run: kill for kill in drill.kills}
    in_flight = {name for kill in drill.kills for name in kill.in_flight} | endpoint.posthumous
    # Handed to the socket and not stored when the kill came: name -> seconds before it.
    between = {
        name: kills[given.run].at - given.at
        for name, given in lost.items()
        if name not in in_flight and given.run in kills
    }
    in_flight |= {name for name, seconds in between.items() if seconds < ON_ITS_WAY}
    by_question = Counter(given.question for given in endpoint.given.values())
    counts: dict[str, Any] = {
        "images": drill.images,
        "stored": len(rows),
        "questions": len(by_question),
        "pictures": len({digests for *_, digests in rows}),
        "usable": [ok_answers(run) for run in last],
        "kills": len(drill.kills),
        "early_kills": drill.early,
        "requests": sum(endpoint.kinds.values()) - endpoint.kinds["too late"],
        "kinds": dict(sorted(endpoint.kinds.items())),
        "runs_that_asked_nothing": drill.started - 1 - len(+endpoint.arrived),
        "answers_given": len(endpoint.given),
        "questions_answered_twice_or_more": sum(times > 1 for times in by_question.values()),
        "repeated_answers": sum(by_question.values()) - len(by_question),
        "in_flight_at_kills": len(in_flight),
        "in_flight_still_on_the_wire": len(endpoint.posthumous),
        "in_flight_due_an_answer": sum(len(kill.due) for kill in drill.kills),
        "lost_in_flight": len(in_flight & set(lost)),
        "lost_between_socket_and_disk": len(between),
        "oldest_lost_between_ms": round(1000 * max(between.values(), default=0.0), 1),
        "lost_without_a_kill": len(lost) - len(in_flight & set(lost)),
        "stored_answers_that_vanished": len(
            {pair for kill in drill.kills for pair in kill.stored.items()} - {(n.partition("-")[0], n) for n in names}
        ),
        "asked_though_stored": endpoint.needless,
        "asked_by_two_at_once": endpoint.doubled,
        "statuses": drill.statuses,
    }
    wrong = {
        "each image has exactly one stored answer": counts["images"]
        == counts["stored"]
        == counts["questions"]
        == counts["pictures"],
        "each stored answer was given": set(names) <= set(endpoint.given),
        "each image has a usable answer in the metrics": all(ok == drill.images for ok in counts["usable"]),
        "the last runs end with status 0": not any(run.process.returncode for run in last),
        "no more answers are repeated than were in flight": counts["repeated_answers"] <= counts["in_flight_at_kills"],
        "no answer is lost without a kill": counts["lost_without_a_kill"] == 0,
        "no stored answer vanishes": counts["stored_answers_that_vanished"] == 0,
        "nothing is asked whose answer is stored": counts["asked_though_stored"] == 0,
        "no two living processes ask the same": counts["asked_by_two_at_once"] == 0,
    }
    return counts, [claim for claim, holds in wrong.items() if not holds]


def ok_answers(run: Run) -> int:
    """Return how many answers a finished run calls usable; -1 if it printed no result."""
    try:
        (found,) = json.loads((run.folder / f"{run.name}.out").read_text(encoding="utf-8"))["runs"]
    except ValueError:
        return -1
    return int(found["metrics"]["answers"]["ok"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how often to kill")
    parser.add_argument("--images", type=int, help="questions; default: 20 a kill, with --two 30")
    parser.add_argument("--seed", type=int, default=0, help="decides on images, faults and moments")
    parser.add_argument("--concurrency", type=int, default=16, help="questions under way at once, of each process")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that the endpoint takes, on average")
    parser.add_argument("--two", action="store_true", help="two processes at once, of which one is killed each time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was counted")
    parser.add_argument("--work", type=Path, help="an empty folder for images and runs; a passing one by default")
    args = parser.parse_args()
    args.images = args.images or max(1, args.kills) * (30 if args.two else 20)
    if args.kills < 0 or args.images < 2 * (args.kills + 1):
        parser.error("--kills takes 0 or more, and --images twice that and more")
    if not 0 < args.latency <= TIMEOUT / 3:
        parser.error(f"--latency takes more than 0 and at most {TIMEOUT / 3:.2f}")
    return args


def run_drill(args: argparse.Namespace, work: Path) -> tuple[dict[str, Any], list[str]]:
    """Make the data, drill, examine; returns the counts and what is wrong."""
    make_data(work / "data", args.images, args.seed)
    endpoint = Endpoint(args.seed, args.latency)
    with serving(endpoint) as url:
        # With --two, one is put off over and over while the other starts, and each time counts as a failure.
        retries = f"max_retries={1000 if args.two else 50}"
        # Small pictures: what is drilled is the asking, not the cutting into regions.
        options = [f"base_url={url}", f"timeout={TIMEOUT:g}", retries, "image_size=192"]
        command = [
            *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--no-reference-rows"),
            *("--dataset", "folder"),
            *("--data", str(work / "data"), *(part for option in options for part in ("--set", option))),
            *("--concurrency", str(args.concurrency), "--out", str(work / "out"), "--json"),
        ]
        draw = random.Random(args.seed)  # noqa: S311 - moments, no secret
        drill = Drill(endpoint, command, work, args.images, args.kills, draw)
        drill.forecast()
        began = time.monotonic()
        last = drill.drill(2 if args.two else 1)
        seconds = time.monotonic() - began
        counts, wrong = examine(drill, last)
    for run in last:
        if run.process.returncode:
            print(run.failure(), file=sys.stderr)
    kills = [
        {**asdict(kill), "in_flight": len(kill.in_flight), "due": len(kill.due), "stored": len(kill.stored)}
        for kill in drill.kills
    ]
    return {**counts, "seconds": round(seconds, 1), "each_kill": kills}, wrong


def main() -> int:
    """Drill and print what was counted; returns the exit status."""
    args = _arguments()
    with tempfile.TemporaryDirectory() as passing:
        work = (args.work or Path(passing)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        try:
            counts, wrong = run_drill(args, work)
        except DrillError as error:
            print(f"The drill could not go on: {error}", file=sys.stderr)
            return 1
    for name, value in counts.items():
        if name != "each_kill":
            print(f"{name.replace('_', ' ')}: {value}")
    for claim in wrong:
        print(f"FAILED: {claim}")
    if args.json:
        settings = {name: value for name, value in vars(args).items() if name not in {"json", "work"}}
        record = {"settings": settings, "wrong": wrong, **counts}
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
