"""Kill ``lvlm-ad bench`` at any moment of its life: starting, dividing, asking, scoring and writing, writing pages.

After each kill every file must be whole and no stored answer gone; no answer may be given twice without need:

    python benchmarks/kill_stages.py --kills 100 --seed 1

The same command starts again after each kill; after five kills, or when it ended first, the next one starts in a fresh
folder. ``kill_drill.py`` kills during the asking alone, with an unreliable endpoint. Exit status 1: a check failed.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from bench_command import Command, make_data, start_bench, stored_answers
from flaky_endpoint import Endpoint, serving

from lvlm_ad.evaluate.verify import verify_runs
from lvlm_ad.runs import read_runs

KILLS_PER_FOLDER = 5
STAGES = ("starting", "dividing", "asking", "scoring and writing", "pages")


def broken_files(out: Path) -> list[str]:
    """Read and recompute every run, and check pages and stores; return what is not whole."""
    if not out.is_dir():
        return []
    runs, unreadable = read_runs(out)
    _, wrong = verify_runs(runs)
    pages = [page for page in out.rglob("*.html") if not page.read_text().rstrip().endswith("</html>")]
    faults = [*unreadable, *wrong, *(f"{page} is not whole" for page in pages)]
    for path in out.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            if (state := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                faults.append(f"{path.name}: {state}")
    return faults


def stage(log: Path, rows: int) -> str:
    """Return what a killed command was doing, by the last events in its log."""
    lines = log.read_text().splitlines() if log.exists() else []
    events = [json.loads(line)["event"] for line in lines if line.endswith("}")]
    if "bench" not in events:
        return "starting"
    if "divided" not in events:
        return "dividing"
    if events.count("run") >= rows:
        return "pages"
    asking = "run" not in events and events[-1] in {"divided", "answered", "stored", "again"}
    return "asking" if asking else "scoring and writing"


class Drill:
    """Kills commands, folder after folder, and checks what they leave.

    Args:
        work: folder for everything.
        args: the command line.

    Attributes:
        whole: seconds that a whole command takes, as measured last.
        rows: runs that it writes.
        stages: kills by what the command was doing.
        folders: number of folders.
        finished: commands that ended before their kill.
        repeated: answers that were given a second time.
        faults: failed checks.
    """

    def __init__(self, work: Path, args: argparse.Namespace) -> None:
        self._work, self._images, self._seed = work, args.images, args.seed
        self._draw = random.Random(args.seed)  # noqa: S311 - moments, no secret
        self.stages: Counter[str] = Counter()
        self.folders = self.finished = self.repeated = 0
        self.faults: list[str] = []
        make_data(work / "data", args.images, seed=args.seed)
        began = time.monotonic()
        with serving(Endpoint(args.seed, latency=0.1)) as url:
            command = self._start("whole", url)
            if command.process.wait():
                sys.exit(command.failure())
        self.whole = time.monotonic() - began
        self.rows = len(list((work / "0").glob("*/run.json")))

    def next_folder(self, kills: int) -> None:
        """Kill the same command up to ``kills`` times, let it run to its end, and check everything."""
        self.folders += 1
        endpoint = Endpoint(self._seed, latency=0.1)
        stored: set[str] = set()
        with serving(endpoint) as url:
            for attempt in range(kills):
                command, began = self._start(f"{self.folders}-{attempt}", url), time.monotonic()
                try:
                    command.process.wait(self._draw.uniform(0, self.whole))
                    self.finished += 1
                    if attempt == 0:  # the machine has become faster
                        self.whole = time.monotonic() - began
                    break
                except subprocess.TimeoutExpired:
                    endpoint.kill(command)
                self.stages[stage(self._work / f"{command.key}.log", self.rows)] += 1
                stored = self._check(stored)
            command = self._start(f"{self.folders}-last", url)
            if command.process.wait():
                self._fault(command.failure())
        if len(self._check(stored)) != self._images:
            self._fault("not every image has one stored answer")
        self.repeated += len(endpoint.given) - len(endpoint.answered)
        if lost := endpoint.lost({name for _, name, _ in stored_answers(self._out)}).unexplained:
            self._fault(f"{lost} answers were given and are not stored, though no kill explains it")

    def _check(self, before: set[str]) -> set[str]:
        for text in broken_files(self._out):
            self._fault(text)
        now = {key for key, _, _ in stored_answers(self._out)}
        for key in before - now:
            self._fault(f"the answer {key} is gone")
        print(f"{self.stages.total()} kills, {len(self.faults)} faults", file=sys.stderr)
        return now

    def _fault(self, text: str) -> None:
        self.faults.append(f"folder {self.folders}: {text}")

    @property
    def _out(self) -> Path:
        return self._work / str(self.folders)

    def _start(self, key: str, url: str) -> Command:
        log = str(self._work / f"{key}.log")
        options = ("--log", log, "--concurrency", "2", "--resamples", "100")
        return start_bench(key, self._work, url, "--out", str(self._out), *options)


def main() -> int:
    """Drill and print what was counted; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="decides on images and moments")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        drill = Drill(Path(work), args)
        while (done := drill.stages.total()) < args.kills:
            drill.next_folder(min(KILLS_PER_FOLDER, args.kills - done))
    print(f"a whole command: {drill.whole:.1f} s; {drill.rows} runs, {args.images} questions")
    print(f"kills: {args.kills} ({', '.join(f'{name} {drill.stages[name]}' for name in STAGES)})")
    print(f"folders: {drill.folders}; commands that ended before their kill: {drill.finished}")
    print(f"answers given twice: {drill.repeated}, each in flight at a kill unless a line below says otherwise")
    for text in drill.faults:
        print(f"FAILED: {text}")
    return int(bool(drill.faults))


if __name__ == "__main__":
    sys.exit(main())
