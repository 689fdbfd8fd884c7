"""Measure how time, memory and disk grow with the number of questions: CPU, wall, start-up, bytes.

Compares sizes with each other, and the same command again with all answers stored:

    python benchmarks/scale.py --questions 1000 10000 100000

A stub endpoint answers at once and pictures are tiny, so this is lvlm-ad's own work. An exponent b means that the cost
grows as questions ** b: 1 is linear, 0 is constant.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench_command import make_data
from stub_endpoint import serving

SIDE = 32
"""Side of a picture, pixels."""
CATEGORIES = 10


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall: float  # seconds
    cpu: float  # CPU seconds, its children's included
    memory: float  # most MB of its own process


def run(*command: str) -> Cost:
    """Run ``lvlm-ad`` to its end.

    Raises:
        SystemExit: it failed.
    """
    clock = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, "OPENAI_API_KEY": "none"}
        arguments = [sys.executable, "-m", "lvlm_ad", *command]
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(arguments)}\n{errors.read()}")
    return Cost(time.perf_counter() - clock, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def measure(count: int, folder: Path) -> dict[str, float]:
    """Bench ``count`` questions twice; return costs, and the bytes of what was stored."""
    make_data(folder / "data", count, categories=CATEGORIES, side=SIDE)
    out, log = folder / "runs", folder / "again.jsonl"
    with serving(latency=0.0, limit=100_000) as url:
        settings = (
            f"base_url={url}",
            "model=stub",
            f"image_size={SIDE}",
            "min_area=0",
            "grid_rows=4",
            "grid_columns=4",
        )
        command = [
            *("bench", "--model", "openai", *(part for setting in settings for part in ("--set", setting))),
            *("--data", str(folder / "data"), "--dataset", "folder", "--division", "grid", "--out", str(out)),
            *("--no-reference-rows", "--no-report", "--concurrency", "64"),
        ]
        first = run(*command)
        began = time.time()
        again = run(*command, "--log", str(log))
    stored = next(event for event in map(json.loads, log.read_text().splitlines()) if event["event"] == "stored")
    files = {"answers": "answers.sqlite*", "divisions": "cache.sqlite*", "run": "openai*/*"}
    return {
        "wall s": first.wall,
        "CPU s": first.cpu,
        "MB": first.memory,
        "again: start-up s": datetime.fromisoformat(stored["time"]).timestamp() - began,
        "again: wall s": again.wall,
        "again: CPU s": again.cpu,
        "again: MB": again.memory,
        **{f"{name}: MB": sum(path.stat().st_size for path in out.glob(glob)) / 1e6 for name, glob in files.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=int, nargs="+", default=[1000, 10_000], metavar="N")
    args = parser.parse_args()
    sizes = sorted(args.questions)
    costs: list[dict[str, float]] = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            costs.append(measure(count, Path(folder)))
            print(
                f"{count} questions:", ", ".join(f"{name} {cost:.1f}" for name, cost in costs[-1].items()), flush=True
            )
    for (small, before), (large, after) in itertools.pairwise(zip(sizes, costs, strict=True)):
        times = math.log(large / small)
        exponents = (f"{name} {math.log(after[name] / before[name]) / times:.2f}" for name in before)
        print(f"exponents from {small} to {large}:", ", ".join(exponents))


if __name__ == "__main__":
    main()
