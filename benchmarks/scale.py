"""How a bench grows: 1,000, 10,000 and 100,000 questions to a stub endpoint, tiny pictures, and what is left behind.

    python benchmarks/scale.py --questions 1000 10000 100000

For each size a fresh output folder: the bench, then the same command again with all answers stored. Reported: wall and
processor seconds of the command, the most memory it held, bytes of its stores, and for the second command the seconds
until it looked up its first answer (start-up). Then ``lvlm-ad leaderboard`` over 1,000 copies of a run. The figure for
growth is the exponent b of "cost = a * questions ** b" between two sizes: 1 is linear, 0 is flat.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

SIDE = 32
"""Side of a picture, pixels."""
CATEGORIES = 10
RUNS = 1000
"""Runs on the leaderboard."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time, its children's included.
        memory: the most bytes that its own process held.
        startup: seconds until its first answer was there or looked up.
    """

    wall: float
    cpu: float
    memory: int
    startup: float


def make_data(root: Path, count: int) -> None:
    """Write pictures, each another, half of them with a mask, in the layout of MVTec AD."""
    draw = random.Random(0)  # noqa: S311 - pictures, no secret
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(255, (4, 4, 12, 12))
    for category in range(CATEGORIES):
        folder = root / f"c{category}"
        for part in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
            (folder / part).mkdir(parents=True)
        for index in range(count // CATEGORIES):
            picture = Image.frombytes("RGB", (4, 4), draw.randbytes(48)).resize((SIDE, SIDE))
            kind = "spot" if index % 2 else "good"
            picture.save(folder / "test" / kind / f"{index:06}.png")
            if kind == "spot":
                mask.save(folder / "ground_truth" / kind / f"{index:06}_mask.png")
        picture.save(folder / "train" / "good" / "000.png")


@contextmanager
def endpoint() -> Iterator[str]:
    """Serve the stub, which answers at once, and yield its address."""
    script = str(Path(__file__).parent / "stub_endpoint.py")
    stub = [sys.executable, script, "--latency", "0", "--limit", "100000", "--varied"]
    with subprocess.Popen(stub, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}/v1"
        process.communicate()


def timed(command: list[str], log: Path | None = None) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    began, clock = time.time(), time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OPENAI_API_KEY": "none"}
    )
    said = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - clock
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{said.decode()}")
    startup = math.nan
    if log is not None:
        with log.open() as lines:
            events = (json.loads(line) for line in lines)
            first = next(event for event in events if event["event"] in {"stored", "answered"})
        startup = datetime.fromisoformat(first["time"]).timestamp() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, startup)


def measured(count: int, url: str, folder: Path) -> tuple[Cost, Cost, dict[str, int]]:
    """Bench ``count`` questions twice; return both costs, and the bytes of what was stored."""
    make_data(folder / "data", count)
    out = folder / "runs"
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "openai", "--set", "model=stub"),
        *("--set", f"base_url={url}", "--set", f"image_size={SIDE}", "--set", "min_area=0"),
        *("--set", "grid_rows=4", "--set", "grid_columns=4"),
        *("--data", str(folder / "data"), "--dataset", "folder", "--division", "grid", "--out", str(out)),
        *("--no-reference-rows", "--no-report", "--concurrency", "64"),
    ]
    logs = [folder / "first.jsonl", folder / "again.jsonl"]
    first, again = (timed([*command, "--log", str(log)], log) for log in logs)
    kept = {"answers": "answers.sqlite*", "divisions": "cache.sqlite*", "run": "openai*/*"}
    return first, again, {name: sum(path.stat().st_size for path in out.glob(glob)) for name, glob in kept.items()}


def leaderboard(folder: Path) -> Cost:
    """Copy a run until there are 1,000, each of another model, and make the table of all."""
    (source,) = (folder / "runs").glob("openai*")
    many = folder / "many"
    for index in range(RUNS):
        copy = many / f"run{index:04}"
        shutil.copytree(source, copy)
        manifest = json.loads((copy / "run.json").read_text())
        manifest["model"]["name"] = f"model{index:04}"
        manifest["config_hash"] = f"{index:064x}"
        (copy / "run.json").write_text(json.dumps(manifest))
    return timed(
        [sys.executable, "-m", "lvlm_ad", "leaderboard", str(many), "--format", "html", "-o", str(folder / "b")]
    )


def growth(small: float, large: float, times: float) -> str:
    """Return the exponent between two sizes."""
    return f"{math.log(large / small) / math.log(times):.2f}" if small > 0 and large > 0 else "-"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How a bench grows with the number of questions.")
    parser.add_argument("--questions", type=int, nargs="+", default=[1000, 10_000], metavar="N")
    parser.add_argument("--no-leaderboard", action="store_true", help="leave the 1,000 runs out")
    args = parser.parse_args()
    rows: list[tuple[int, dict[str, float]]] = []
    print(
        "questions |  wall s   CPU s   MB | again: start-up s   wall s   CPU s   MB | stored bytes a question: answers "
        "divisions run"
    )
    board: Cost | None = None
    for count in sorted(args.questions):
        with tempfile.TemporaryDirectory() as scratch, endpoint() as url:
            first, again, stored = measured(count, url, Path(scratch))
            if not args.no_leaderboard and board is None:
                board = leaderboard(Path(scratch))
        print(
            f"{count:9} | {first.wall:7.1f} {first.cpu:7.1f} {first.memory / 1e6:4.0f} | "
            f"{again.startup:17.1f} {again.wall:8.1f} {again.cpu:7.1f} {again.memory / 1e6:4.0f} | "
            f"{'':25}{stored['answers'] / count:7.0f} {stored['divisions'] / count:9.0f} {stored['run'] / count:3.0f}",
            flush=True,
        )
        rows.append(
            (
                count,
                {
                    "wall": first.wall,
                    "CPU": first.cpu,
                    "memory": first.memory,
                    "start-up again": again.startup,
                    "wall again": again.wall,
                    "memory again": again.memory,
                    "answers": stored["answers"],
                },
            )
        )
    for (small, before), (large, after) in itertools.pairwise(rows):
        exponents = ", ".join(f"{name} {growth(before[name], after[name], large / small)}" for name in before)
        print(f"exponents from {small} to {large}: {exponents}")
    if board is not None:
        print(f"leaderboard of {RUNS} runs: {board.wall:.1f} s, {board.cpu:.1f} s CPU, {board.memory / 1e6:.0f} MB")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
