"""Measure a bench of 296 real pictures at an endpoint of 0.2 s with room for 32: before, the first time, and again.

    python benchmarks/prepare_endpoint.py --data shared/data/magnetic_tile [--before COMMIT]

The data set is in MVTec's layout; its test images and their mirror images are written as files. Each row is a bench of
its own in a process of its own, without imports; images are divided already. The ideal is what the endpoint needs.

    drawn     no picture was drawn before
    kept      a second model asks about the same pictures
    stored    the same bench once more: every answer is stored
    dry run   a third model, of which --dry-run says what it would cost

``before`` is another commit, in a worktree of its own. Absolute times depend on the machine; the ratios are the result.
The whole bench also reads the data set, measures and writes; ``asking`` is its stage from the first question to the
last answer, with the processes that draw. The endpoint runs on the same processors; its share has a column of its own.
The ideal counts a share of a round as such: 296 questions, 32 at a time, take 9.25 times 0.2 s. They cannot end before
the tenth answer of some place, at 1.08 times the ideal.
"""
# ruff: noqa: PLC0415 - the job imports the lvlm-ad of its own commit

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

from older_version import version
from process import run_json
from stub_endpoint import serving

IMAGES, LATENCY, LIMIT = 296, 0.2, 32
BEFORE = "708b061"
"""The last commit that draws every picture anew."""
ROWS = {"drawn": "first", "kept": "second", "stored": "first", "dry run": "third"}
"""Name of a row -> the model that is asked."""


def write_images(source: Path, folder: Path, count: int) -> None:
    """Write the test images of a category, mirrored and turned, until there are enough."""
    from PIL import Image, ImageOps

    turns = {"": lambda one: one, "m": ImageOps.mirror, "f": ImageOps.flip, "r": lambda one: one.rotate(180)}
    files = ((turn, path) for turn in turns for path in sorted((source / "test").glob("*/*")))
    for turn, path in islice(files, count):
        masks = (source / "ground_truth" / path.parent.name).glob(f"{path.stem}[_.]*")
        for one in (path, *masks):
            target = folder / "tile" / one.relative_to(source)
            target = target.with_name(f"{turn}{target.name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(one) as image:
                turns[turn](image).save(target, **({"quality": 95} if one.suffix == ".jpg" else {}))


def seconds() -> float:
    """Return the CPU seconds of this process and of its children, whether or not they have ended; Linux only."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        # Another process may have ended just now.
        with suppress(OSError):
            # After the name: the state, the parent, and from the twelfth on the ticks in user and in system mode.
            fields = path.read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if int(fields[1]) == os.getpid() else 0
    return sum(one.ru_utime + one.ru_stime for one in used) + ticks / os.sysconf("SC_CLK_TCK")


class Stages:
    """What the stages of a bench took; it is told what a ``Progress`` is told.

    Attributes:
        took: name of a stage -> wall and CPU seconds.
    """

    def __init__(self) -> None:
        self.took: dict[str, dict[str, float]] = {}
        self._name, self._start, self._cpu = "", 0.0, 0.0

    def start(self, stage: str, total: int) -> None:  # noqa: ARG002
        """Start a stage."""
        self._name, self._cpu, self._start = stage, seconds(), perf_counter()

    def finish(self) -> None:
        """End the stage."""
        self.took[self._name] = {"wall": perf_counter() - self._start, "cpu": seconds() - self._cpu}

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def run_job(data: str, out: str, url: str, row: str) -> dict[str, float]:
    """Divide the images, or run the bench of a row; return what it took."""
    from lvlm_ad.evaluate import RunConfig, bench, dry_run, resolve
    from lvlm_ad.evaluate.divide import divide_dataset
    from lvlm_ad.log import Progress
    from lvlm_ad.regions import DivisionStore
    from lvlm_ad.store import open_cache

    settings = {
        "model": ROWS.get(row, "none"),
        "base_url": url,
        "price_input": 0,
        "price_output": 0,
    }
    config = RunConfig(["openai"], "mvtec", Path(data), settings=settings, out=Path(out), concurrency=LIMIT)
    config = config.with_options({"reference_rows": False, "resamples": 0})
    cpu, start, stages = seconds(), perf_counter(), Stages()
    if row == "divide":
        with closing(open_cache(Path(out) / "cache.sqlite")) as cache:
            plan = resolve(config)
            divide_dataset(plan.divided, DivisionStore(cache), Progress())
    elif row == "dry run":
        dry_run(config)
    else:
        bench(config, stages)  # type: ignore[arg-type] - a commit's own Progress is not known here
    took = {"wall": perf_counter() - start, "cpu": seconds() - cpu}
    asking = next((one for name, one in stages.took.items() if name != "dividing"), {})
    return took | {f"asking {name}": value for name, value in asking.items()}


def measured(commit: str | None, data: Path, repeat: int) -> dict[str, dict[str, float]]:
    """Run every row with the lvlm-ad of a commit, or as it is; of each the least of several rounds."""
    best: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, version(commit) as packages:
        environment = {**packages, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"}

        def job(out: Path, url: str, row: str) -> dict[str, Any]:
            arguments = json.dumps({"data": str(data), "out": str(out), "url": url, "row": row})
            return run_json(sys.executable, __file__, "--job", arguments, **environment)

        divided = Path(folder, "divided")
        job(divided, "http://127.0.0.1:9/v1", "divide")
        for number in range(repeat):
            out = Path(folder, f"out{number}")
            shutil.copytree(divided, out)
            # One endpoint for all: its address is a part of the question.
            with serving(LATENCY, LIMIT) as url:
                for row in ROWS:
                    took = job(out, url, row)
                    with urlopen(f"{url.removesuffix('/v1')}/stats") as stats:  # noqa: S310 - our own endpoint
                        took["endpoint cpu"] = json.load(stats)["cpu"]
                    best[row] = {key: min(value, best.get(row, took)[key]) for key, value in took.items()}
    return best


def show(name: str, rows: dict[str, dict[str, float]], images: int, before: dict[str, dict[str, float]]) -> None:
    """Print the rows of a commit."""
    ideal = images / LIMIT * LATENCY
    for row, took in rows.items():
        for part in ("", "asking "):
            if f"{part}wall" not in took:
                continue
            wall, cpu = took[f"{part}wall"], took[f"{part}cpu"]
            line = f"{name:8} {row:8} {part:8} {wall:8.2f} {wall / ideal:8.2f} {1000 * cpu / images:8.1f}"
            line += f" {1000 * took['endpoint cpu'] / images:8.1f}"
            if before:
                line += f" {before[row][f'{part}wall'] / wall:8.1f} {before[row][f'{part}cpu'] / cpu:8.1f}"
            print(line)


def main() -> None:
    """Measure, or be one bench."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="one category in MVTec's layout")
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with; empty: none")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--repeat", type=int, default=2, help="rounds; the least is printed")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(run_job(**json.loads(args.job))))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_images(args.data, data, args.images)
        print(f"{args.images} images, ideal {args.images / LIMIT * LATENCY:.2f} s, {os.cpu_count()} processors\n")
        columns = ("", "", "", "wall s", "/ ideal", "CPU ms/q", "endpoint", "wall x", "CPU x")
        print(" ".join(f"{column:>8}" for column in columns))
        before: dict[str, dict[str, float]] = {}
        if args.before:
            before = measured(args.before, data, 1)
            show("before", before, args.images, {})
        show("now", measured(None, data, args.repeat), args.images, before)


if __name__ == "__main__":
    main()
